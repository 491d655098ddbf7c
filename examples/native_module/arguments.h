/*
 * The arguments of a module: one JSON object in a file, which a run leaves there and takes away again.
 *
 * Texts and booleans are given to the module; other values are checked and passed over (the engine's own, such as lists).
 * A file that is no such object ends the program with a result that says so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES_MAX = 64 * 1024 * 1024, DEPTH_MAX = 64 };

/* One argument. text is NULL for a value that is no text. */
struct argument {
    const char *name;
    const char *text;
    int is_true;
};

/* Prints the one result and ends. what and about are put together: "cannot open /etc/motd". */
static _Noreturn void finish(int failed, int changed, const char *what, const char *about)
{
    printf("{\"failed\": %s, \"changed\": %s, \"msg\": \"", failed ? "true" : "false", changed ? "true" : "false");
    const char *parts[] = {what, about};
    for (int i = 0; i < 2; i++)
        for (const char *c = parts[i]; *c; c++)
            if ((unsigned char)*c < 0x20) printf("\\u%04x", *c);
            else printf(*c == '"' || *c == '\\' ? "\\%c" : "%c", *c);
    printf("\"}\n");
    exit(failed ? 1 : 0);
}

static _Noreturn void fail(const char *what, const char *about) { finish(1, 0, what, about); }

static void *memory(size_t bytes)
{
    void *found = malloc(bytes);
    if (!found) fail("there is no memory left", "");
    return found;
}

/* A whole file, with a NUL behind it. */
static char *read_file(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    if (!file) fail("cannot open ", path);
    if (fseek(file, 0, SEEK_END) != 0) fail("cannot read ", path);
    long bytes = ftell(file);
    if (bytes < 0 || bytes > FILE_BYTES_MAX) fail("too large, or no file: ", path);
    rewind(file);
    char *text = memory((size_t)bytes + 1);
    *length = fread(text, 1, (size_t)bytes, file);
    if (ferror(file)) fail("cannot read ", path);
    fclose(file);
    text[*length] = 0;
    return text;
}

static void skip_blanks(const char **at) { *at += strspn(*at, " \t\r\n"); }

static void expect(const char **at, char wanted)
{
    skip_blanks(at);
    if (**at != wanted) fail("the arguments are no JSON object", "");
    ++*at;
}

static unsigned hex4(const char **at)
{
    unsigned value = 0;
    for (int i = 0; i < 4; i++, ++*at) {
        const char *digits = "0123456789abcdef";
        const char *found = **at ? strchr(digits, **at | 0x20) : NULL;
        if (!found) fail("a \\u in the arguments has no four digits", "");
        value = value << 4 | (unsigned)(found - digits);
    }
    return value;
}

/* Behind "\u". Half a pair becomes U+FFFD; a NUL has no place in a text of C. */
static char *put_character(char *into, const char **at)
{
    unsigned code = hex4(at);
    if (code >> 10 == 0xd800 >> 10 && (*at)[0] == '\\' && (*at)[1] == 'u') {
        const char *next = *at + 2;
        unsigned low = hex4(&next);
        if (low >> 10 == 0xdc00 >> 10) {
            code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
            *at = next;
        }
    }
    if (code == 0) fail("a text in the arguments has a NUL", "");
    if (code >> 11 == 0xd800 >> 11) code = 0xfffd;
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    const unsigned char leads[] = {0, 0xc0, 0xe0, 0xf0};
    *into++ = (char)(leads[more] | code >> 6 * more);
    while (more--) *into++ = (char)(0x80 | (code >> 6 * more & 0x3f));
    return into;
}

static char *read_text(const char **at)
{
    expect(at, '"');
    char *text = memory(strlen(*at) + 1), *into = text; /* what is unescaped is never longer */
    for (; **at != '"';) {
        if (!**at) fail("a text in the arguments does not end", "");
        if (**at != '\\') {
            *into++ = *(*at)++;
            continue;
        }
        const char *escapes = "\"\"\\\\//b\bf\fn\nr\rt\t";
        char which = *++*at;
        if (which == 'u') {
            ++*at;
            into = put_character(into, at);
            continue;
        }
        const char *found = escapes;
        while (*found && *found != which) found += 2;
        if (!which || !*found) fail("the arguments have an unknown escape", "");
        *into++ = found[1];
        ++*at;
    }
    ++*at;
    *into = 0;
    return text;
}

static void skip_value(const char **at, int depth)
{
    skip_blanks(at);
    if (depth > DEPTH_MAX) fail("the arguments are too deep", "");
    if (**at == '"') {
        free(read_text(at));
    } else if (**at == '[' || **at == '{') {
        char end = *(*at)++ == '[' ? ']' : '}';
        for (skip_blanks(at); **at != end; skip_blanks(at)) {
            if (end == '}') {
                skip_blanks(at);
                free(read_text(at));
                expect(at, ':');
            }
            skip_value(at, depth + 1);
            skip_blanks(at);
            if (**at != end) expect(at, ',');
        }
        ++*at;
    } else {
        size_t length = strspn(*at, "+-.0123456789Eaeflnrstu"); /* numbers, true, false, null */
        if (length == 0) fail("the arguments are no JSON object", "");
        *at += length;
    }
}

/* Calls take for each argument, in order. Names and texts live until the program ends. */
static void read_arguments(const char *path, void (*take)(const struct argument *))
{
    size_t length;
    const char *at = read_file(path, &length);
    expect(&at, '{');
    for (skip_blanks(&at); *at != '}'; skip_blanks(&at)) {
        struct argument argument = {.name = read_text(&at)};
        expect(&at, ':');
        skip_blanks(&at);
        argument.is_true = strncmp(at, "true", 4) == 0;
        if (*at == '"') argument.text = read_text(&at);
        else skip_value(&at, 0);
        take(&argument);
        skip_blanks(&at);
        if (*at != '}') expect(&at, ',');
    }
}
