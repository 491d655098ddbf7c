/*
 * line: a line of a text file is there, or is not. A module of one's own for nanostates, in C.
 *
 * In: argv[1], the path of a file with the arguments, one JSON object:
 *   path    the file; it has to be there
 *   line    the line, without its end
 *   state   "present", which it is when left out, or "absent"
 *   _ansible_check_mode   true: say what would change, and change nothing
 *   Others that begin with _ansible_ are the run's and are passed over. Any other is refused: a slip of the pen, most likely.
 * Out: one JSON object on standard output: changed, msg, failed.
 * L1. The same arguments again change nothing.
 * L2. The file is replaced at once, with its owner and mode: nobody reads half of it, and a full disk spoils nothing.
 */
#define _XOPEN_SOURCE 700
#include "arguments.h"

#include <sys/stat.h>
#include <unistd.h>

static const char *path, *line;
static int is_absent, is_check;

static void take(const struct argument *argument)
{
    const char *name = argument->name;
    if (strcmp(name, "_ansible_check_mode") == 0) {
        is_check = argument->is_true;
        return;
    }
    if (strncmp(name, "_ansible_", 9) == 0) return;
    if (!argument->text) fail("this is no text, or no argument of this module: ", name);
    if (strcmp(name, "path") == 0) path = argument->text;
    else if (strcmp(name, "line") == 0) line = argument->text;
    else if (strcmp(name, "state") != 0) fail("this module has no argument ", name);
    else if (strcmp(argument->text, "absent") == 0) is_absent = 1;
    else if (strcmp(argument->text, "present") != 0) fail("state is present or absent, not ", argument->text);
}

/* Copies all lines but those that are to go. Returns how many are as the argument. */
static size_t copy_others(const char *text, size_t length, FILE *into)
{
    size_t found = 0;
    for (const char *end = text + length, *next; text < end; text = next) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t bytes = (size_t)((newline ? newline : end) - text);
        next = newline ? newline + 1 : end;
        int is_it = bytes == strlen(line) && memcmp(text, line, bytes) == 0;
        found += (size_t)is_it;
        if (!is_it || !is_absent) fwrite(text, 1, (size_t)(next - text), into);
    }
    return found;
}

/* L2. */
static void replace(const char *target, const char *content, size_t length)
{
    struct stat old;
    char *part = memory(strlen(target) + sizeof ".XXXXXX");
    strcat(strcpy(part, target), ".XXXXXX");
    int file = mkstemp(part);
    if (file < 0) fail("cannot write beside ", target);
    int is_whole = stat(target, &old) == 0 && fchown(file, old.st_uid, old.st_gid) == 0 &&
                   fchmod(file, old.st_mode & 07777) == 0;
    for (size_t done = 0; is_whole && done < length;) {
        ssize_t bytes = write(file, content + done, length - done);
        if (bytes <= 0) is_whole = 0;
        else done += (size_t)bytes;
    }
    is_whole = is_whole && fsync(file) == 0;
    is_whole = close(file) == 0 && is_whole;
    if (is_whole && rename(part, target) == 0) return;
    unlink(part);
    fail("cannot replace ", target);
}

int main(int count, char **arguments)
{
    if (count != 2) fail("usage: line FILE, with the arguments in the file", "");
    read_arguments(arguments[1], take);
    if (!path || !line) fail("path and line are needed", "");
    if (strchr(line, '\n')) fail("line is one line", "");
    char *target = realpath(path, NULL); /* a link stays one */
    if (!target) fail("there is no file ", path);

    size_t length, written;
    char *text = read_file(target, &length), *content;
    FILE *into = open_memstream(&content, &written);
    if (!into) fail("there is no memory left", "");
    size_t found = copy_others(text, length, into);
    if (!is_absent && found == 0)
        fprintf(into, "%s%s\n", length > 0 && text[length - 1] != '\n' ? "\n" : "", line);
    if (fclose(into) != 0) fail("there is no memory left", "");

    int changed = is_absent ? found > 0 : found == 0;
    if (changed && !is_check) replace(target, content, written);
    finish(0, changed, !changed ? "" : is_absent ? "line removed" : "line added", "");
}
