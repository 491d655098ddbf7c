/**
 * The import statements of a Python file, found without a Python.
 *
 * In: a source, one character a byte (Latin-1): all that matters here is ASCII. Out: its imports in their order.
 * P1. A statement is required when it stands at the top level; inside anything (`try`, `if`, a function) it is optional.
 * P2. Strings, comments, brackets and continued lines are passed over as Python does; what they hold is never an import.
 * Source: Python's language reference, "Lexical analysis". Nested quotes of one kind in f-strings (3.12) are not known:
 *     module_utils run on older Pythons.
 */

export interface PythonImport {
  /** Leading dots of a relative import. */
  level: number;
  /** `a.b` of `from a.b import c`, "" of `from . import c`; null of `import a.b`. */
  from: string | null;
  /** `c`, or `a.b`, without what they are called here. */
  names: readonly string[];
  required: boolean;
}

export function importsOf(source: string): PythonImport[] {
  const marks = /"""|'''|["'#\n;:()[\]{}\\]/g; // all that can end a statement or hide one
  const imports: PythonImport[] = [];
  /** The import statement that is being read; null in any other one. */
  let statement = beginsImport(source, 0) ? "" : null;
  let required = !isIndented(source, 0);
  let depth = 0;
  for (let at = 0; at < source.length;) {
    marks.lastIndex = at;
    const mark = marks.exec(source);
    if (statement !== null) statement += `${source.slice(at, mark?.index)} `;
    if (mark === null) break;
    at = marks.lastIndex;

    const [text] = mark;
    if (text.startsWith('"') || text.startsWith("'")) at = stringEnd(source, at, text);
    else if (text === "#") at = lineEnd(source, at);
    else if (text === "\\") at = afterContinuation(source, at);
    else if ("([{".includes(text)) depth++;
    else if (")]}".includes(text)) depth = Math.max(0, depth - 1);
    else if (depth === 0) {
      if (statement !== null) imports.push(readImport(statement, required));
      if (text === "\n") required = !isIndented(source, at);
      else if (text === ":") required = false; // what follows on the line is the body of a compound statement
      statement = beginsImport(source, at) ? "" : null;
    }
  }
  if (statement !== null) imports.push(readImport(statement, required));
  return imports;
}

function beginsImport(source: string, at: number): boolean {
  const word = /[ \t\f]*(?:import|from)\b/y;
  word.lastIndex = at;
  return word.test(source);
}

function isIndented(source: string, at: number): boolean {
  return source[at] === " " || source[at] === "\t";
}

function readImport(statement: string, required: boolean): PythonImport {
  const text = statement.replace(/[()\s]+/g, " ").replace(/ ?\. ?/g, ".").trim();
  if (text.startsWith("import")) {
    return { level: 0, from: null, names: namesOf(text.slice("import".length)), required };
  }
  const [, dots = "", from = "", names = ""] = /^from ?(\.*)(\S*) ?\bimport\b(.*)$/.exec(text) ?? [];
  return { level: dots.length, from, names: namesOf(names), required };
}

/** `a as b, c,` → a, c */
function namesOf(list: string): string[] {
  return list.split(",").map((item) => item.trim().split(" ")[0] ?? "").filter((name) => name !== "");
}

/** Behind the quote that ends a string; a backslash before a quote guards it, in raw strings too. */
function stringEnd(source: string, from: number, quote: string): number {
  for (let at = from;;) {
    const found = source.indexOf(quote, at);
    if (found < 0) return source.length;
    let backslashes = 0;
    while (found - backslashes > from && source[found - backslashes - 1] === "\\") backslashes++;
    if (backslashes % 2 === 0) return found + quote.length;
    at = found + 1;
  }
}

/** At the end of the line, not behind it. */
function lineEnd(source: string, from: number): number {
  const found = source.indexOf("\n", from);
  return found < 0 ? source.length : found;
}

function afterContinuation(source: string, at: number): number {
  if (source[at] === "\n") return at + 1;
  return source.startsWith("\r\n", at) ? at + 2 : at;
}
