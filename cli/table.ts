/**
 * Tables for people: aligned, without borders, a header, two blanks between columns.
 *
 * T1. What other machines sent cannot steer the terminal: control characters are shown as `?`.
 * T2. Pages of one long list keep their columns: widths only ever grow.
 */

export type Tone = "good" | "busy" | "bad" | "dim" | "head";

export interface Cell {
  text: string;
  tone?: Tone;
}

export type Paint = (text: string, tone: Tone | undefined) => string;

const ANSI: Record<Tone, string> = { good: "32", busy: "36", bad: "31", dim: "2", head: "1" };

export const plain: Paint = (text) => text;
export const coloured: Paint = (text, tone) =>
  tone === undefined || text === "" ? text : `\x1b[${ANSI[tone]}m${text}\x1b[0m`;

/** T1 */
export function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "?");
}

export interface Heading {
  title: string;
  /** Numbers line up at their right end. */
  right?: boolean;
}

/** @returns a function from rows to their lines; the first call's lines begin with the header. */
export function tableWriter(headings: readonly Heading[], paint: Paint): (rows: Cell[][]) => string {
  const widths = headings.map(({ title }) => title.length);
  let first = true;
  return (rows) => {
    const lines = [
      ...(first ? [headings.map(({ title }): Cell => ({ text: title, tone: "head" }))] : []),
      ...rows,
    ]
      .map((row) => row.map(({ text, ...tone }) => ({ text: printable(text), ...tone })));
    first = false;
    for (const row of lines) {
      row.forEach(({ text }, column) => widths[column] = Math.max(widths[column] ?? 0, [...text].length));
    }
    return lines.map((row) => lineOf(row, headings, widths, paint) + "\n").join("");
  };
}

function lineOf(row: Cell[], headings: readonly Heading[], widths: readonly number[], paint: Paint): string {
  const last = row.findLastIndex(({ text }) => text !== "");
  return row.slice(0, last + 1).map(({ text, tone }, column) => {
    const gap = " ".repeat(Math.max(0, (widths[column] ?? 0) - [...text].length));
    const shown = paint(text, tone);
    if (headings[column]?.right) return gap + shown;
    return column === last ? shown : shown + gap;
  }).join("  ");
}

/** One thing: a line for each field, the values under each other. */
export function detailLines(rows: readonly (Cell & { title: string })[], paint: Paint): string {
  const width = Math.max(...rows.map(({ title }) => title.length));
  return rows.map(({ title, text, tone }) =>
    `${paint(title, "head")}${" ".repeat(width - title.length)}  ${paint(printable(text), tone)}`.trimEnd() +
    "\n"
  ).join("");
}
