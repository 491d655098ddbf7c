/**
 * `{call(args)}` inside a text: where the expressions are, each loaded as Lua.
 *
 * X1. Only `{`, a name and `(` begin one, and only in states that have `import:`: `${x}`, `{a,b}` and JSON stay as
 *     they are. `\{` keeps the text where it looks like one.
 * X2. A text that is one expression and nothing else takes the result with its type; any other joins texts.
 */
import type { Place } from "./errors.ts";
import { isFailure, loadProgram, type Program } from "./lua/program.ts";

export interface Expression {
  /** The function that is called first: `users.all`. */
  name: string;
  /** `users.all("x")` */
  text: string;
  program: Program;
}

/** Parts in order, none of them empty. */
export type TextParts = (string | Expression)[];

const START = /(\\?)\{([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\(/y;

/** @throws {ExpressionError} */
export function readText(text: string, place: Place): TextParts {
  const parts: TextParts = [];
  let plain = "";
  for (let at = 0; at < text.length;) {
    START.lastIndex = at;
    const found = START.exec(text);
    if (found === null) plain += text[at++];
    else if (found[1] !== "") {
      plain += found[0].slice(1);
      at += found[0].length;
    } else {
      const end = endOf(text, at + found[0].length);
      if (plain !== "") parts.push(plain);
      plain = "";
      parts.push(readExpression(text.slice(at + 1, end), found[2] ?? "", place));
      at = end + 1;
    }
  }
  return plain === "" && parts.length > 0 ? parts : [...parts, plain];
}

export class ExpressionError extends Error {
  override readonly name = "ExpressionError";
}

function readExpression(text: string, name: string, place: Place): Expression {
  const program = loadProgram(place.file, `return ${text}`);
  if (isFailure(program)) {
    throw new ExpressionError(`{${text}} is no expression: ${program.reason}; \\{ keeps it as text`);
  }
  return { name, text, program };
}

/** Where the `}` stands that ends the expression whose arguments begin at `from`. */
function endOf(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at++) {
    const char = text[at];
    if (char === '"' || char === "'") at = quoteEnd(text, at);
    else if (char === "(") depth++;
    else if (char === ")" && --depth === 0) {
      const end = at + 1 + (/^\s*/.exec(text.slice(at + 1))?.[0].length ?? 0);
      if (text[end] === "}") return end;
      break;
    }
  }
  throw new ExpressionError(
    `"${text.slice(from, from + 20)}" does not end with \`)}\`; write \\{ where it is no expression`,
  );
}

function quoteEnd(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === text[from]) return at;
  }
  return text.length;
}
