/**
 * The free-form line of `command` and its kin, taken apart: `touch /x creates=/x` is a command and an argument.
 *
 * In: a module's arguments from the plan. Out: the arguments as its action gets them, the command in `_raw_params`.
 * F1. A line stands in `free_form`; `cmd` and `_raw_params` are taken as they are.
 * F2. Quotes and blanks of the command stay as they were written.
 * Source: behaviour of ansible-core's `parsing/splitter.py`; its Jinja2 blocks are left out, since there is no Jinja2 here.
 */
import type { JsonObject } from "../json.ts";
import { ModuleError, type ReadArgs } from "./library.ts";

const FREE_FORM = /^ansible\.(?:builtin|legacy)\.(?:command|shell|script|raw)$/;
const ARGUMENTS: ReadonlySet<string> = new Set([
  "chdir",
  "creates",
  "executable",
  "removes",
  "stdin",
  "stdin_add_newline",
  "strip_empty_ends",
  "warn",
]);

/** @throws {ModuleError} a quote that is not closed, or two commands */
export const readArgs: ReadArgs = (module, args) => {
  if (!FREE_FORM.test(module)) return args;
  const { free_form, cmd, _raw_params, ...rest } = args;
  const given = [free_form, cmd, _raw_params].filter((each) =>
    each !== undefined && each !== null && each !== ""
  );
  if (given.length > 1) {
    throw new ModuleError(
      module,
      `Cannot read the arguments of ${module}: it has two commands; leave cmd or free_form`,
    );
  }
  const [command] = given;
  if (command === undefined) return rest;
  if (typeof free_form === "string" && free_form !== "") return { ...rest, ...readLine(module, free_form) };
  return { ...rest, _raw_params: command };
};

function readLine(module: string, line: string): JsonObject {
  const args: JsonObject = {};
  let command = "";
  for (const word of words(module, line)) {
    const plain = unescaped(word);
    const [, name, value] = /^(\w+)=(.*)$/s.exec(plain) ?? [];
    if (name !== undefined && value !== undefined && ARGUMENTS.has(name)) {
      args[name] = unquoted(value.trim());
      continue;
    }
    const isEscaped = plain.includes("=") && !/[^\\]=/s.test(plain);
    const part = isEscaped ? plain.replaceAll("\\=", "=") : word;
    command += command === "" || command.endsWith("\n") ? part : ` ${part}`;
  }
  return command === "" ? args : { ...args, _raw_params: command };
}

/** Words at blanks and ends of lines outside quotes, each with the further blanks and the end of line that follow it. */
function words(module: string, line: string): string[] {
  const found: string[] = [];
  let quote: string | null = null;
  let isContinued = false;
  const extend = (text: string) => {
    if (found.length === 0) found.push("");
    found[found.length - 1] += text;
  };

  for (const [number, row] of line.split("\n").entries()) {
    if (number > 0 && !isContinued) extend("\n");
    isContinued = false;
    for (const [n, token] of row.split(" ").entries()) {
      if (token === "" && n > 0) {
        extend(" ");
      } else if (token === "\\" && quote === null) {
        isContinued = true;
      } else {
        const isInside: boolean = quote !== null;
        quote = quoteAfter(token, quote);
        if (isInside) extend((n > 0 ? " " : "") + token);
        else if (token !== "") found.push(token);
      }
    }
  }
  if (quote === null) return found;
  throw new ModuleError(
    module,
    `Cannot read the arguments of ${module}: a ${quote} is not closed in ${line}`,
  );
}

/** The quote that is open after a word. */
function quoteAfter(word: string, open: string | null): string | null {
  let quote = open;
  for (const [n, character] of [...word].entries()) {
    if (character !== '"' && character !== "'" || n > 0 && [...word][n - 1] === "\\") continue;
    if (quote === null) quote = character;
    else if (quote === character) quote = null;
  }
  return quote;
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

function unescaped(word: string): string {
  return word.replace(
    /\\U([\da-fA-F]{8})|\\u([\da-fA-F]{4})|\\x([\da-fA-F]{2})|\\([\\'"abfnrtv])/g,
    (_, long, short, byte, plain) =>
      plain === undefined
        ? String.fromCodePoint(Number.parseInt(long ?? short ?? byte, 16))
        : ESCAPES[plain] ?? plain,
  );
}

function unquoted(text: string): string {
  return /^(["'])(?:.*[^\\])?\1$/s.test(text) ? text.slice(1, -1) : text;
}
