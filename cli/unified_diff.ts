/**
 * Two texts → the lines between them, as `diff -u` shows them, with three lines around each change.
 *
 * U1. The shortest way from one to the other is looked for (Myers), at most EDITS_MAX lines long; what differs more is
 *     shown as all old lines and all new ones.
 * Source: E. Myers, An O(ND) Difference Algorithm and Its Variations, 1986.
 */

const AROUND = 3;
const EDITS_MAX = 1_000;

interface Line {
  mark: " " | "-" | "+";
  text: string;
}

/** Without headers of files; empty when the texts are equal. */
export function unifiedDiff(before: string, after: string): string[] {
  const lines = compared(linesOf(before), linesOf(after));
  const shown = new Set<number>();
  for (const [n, { mark }] of lines.entries()) {
    if (mark === " ") continue;
    for (let near = n - AROUND; near <= n + AROUND; near++) shown.add(near);
  }
  const out: string[] = [];
  const at = { old: 1, new: 1 };
  for (let n = 0; n < lines.length;) {
    const hunk: Line[] = [];
    const begin = { ...at };
    for (; n < lines.length && shown.has(n); n++) hunk.push(step(lines[n], at));
    if (hunk.length > 0) out.push(header(hunk, begin), ...hunk.map(({ mark, text }) => mark + text));
    else step(lines[n++], at);
  }
  return out;
}

function step(line: Line | undefined, at: { old: number; new: number }): Line {
  const found = line ?? { mark: " ", text: "" };
  if (found.mark !== "+") at.old++;
  if (found.mark !== "-") at.new++;
  return found;
}

function header(hunk: readonly Line[], begin: { old: number; new: number }): string {
  const range = (start: number, without: string) => {
    const count = hunk.filter(({ mark }) => mark !== without).length;
    return `${count === 0 ? start - 1 : start},${count}`;
  };
  return `@@ -${range(begin.old, "+")} +${range(begin.new, "-")} @@`;
}

/** A text without an end of line at its end says so, as `diff` does. */
function linesOf(text: string): string[] {
  if (text === "") return [];
  const lines = text.split("\n");
  const last = lines.pop() ?? "";
  if (last !== "") lines.push(`${last}\n\\ No newline at end of file`);
  return lines;
}

/** U1, between what both have at their beginning and end. */
function compared(before: string[], after: string[]): Line[] {
  let head = 0;
  while (head < before.length && head < after.length && before[head] === after[head]) head++;
  let tail = 0;
  while (
    tail < before.length - head && tail < after.length - head &&
    before[before.length - 1 - tail] === after[after.length - 1 - tail]
  ) tail++;
  const same = (lines: string[]) => lines.map((text): Line => ({ mark: " ", text }));
  const middle = shortest(
    before.slice(head, before.length - tail),
    after.slice(head, after.length - tail),
  );
  return [...same(before.slice(0, head)), ...middle, ...same(before.slice(before.length - tail))];
}

function shortest(before: string[], after: string[]): Line[] {
  const whole = (): Line[] => [
    ...before.map((text): Line => ({ mark: "-", text })),
    ...after.map((text): Line => ({ mark: "+", text })),
  ];
  // How far along `before` one gets with so many edits, by diagonal; kept for each number of edits to walk back.
  const reached: Map<number, number>[] = [];
  let far = new Map([[1, 0]]);
  for (let edits = 0; edits <= Math.min(before.length + after.length, EDITS_MAX); edits++) {
    reached.push(new Map(far));
    for (let diagonal = -edits; diagonal <= edits; diagonal += 2) {
      let x = isDown(far, diagonal, edits) ? far.get(diagonal + 1) ?? 0 : (far.get(diagonal - 1) ?? 0) + 1;
      while (x < before.length && x - diagonal < after.length && before[x] === after[x - diagonal]) x++;
      far.set(diagonal, x);
      if (x >= before.length && x - diagonal >= after.length) return walkedBack(before, after, reached);
    }
    far = new Map(far);
  }
  return whole();
}

function isDown(far: ReadonlyMap<number, number>, diagonal: number, edits: number): boolean {
  if (diagonal === -edits) return true;
  return diagonal !== edits && (far.get(diagonal - 1) ?? 0) < (far.get(diagonal + 1) ?? 0);
}

function walkedBack(
  before: string[],
  after: string[],
  reached: readonly ReadonlyMap<number, number>[],
): Line[] {
  const lines: Line[] = [];
  let [x, y] = [before.length, after.length];
  for (let edits = reached.length - 1; edits >= 0; edits--) {
    const far = reached[edits] ?? new Map<number, number>();
    const diagonal = x - y;
    const previous = isDown(far, diagonal, edits) ? diagonal + 1 : diagonal - 1;
    const fromX = far.get(previous) ?? 0;
    const fromY = fromX - previous;
    while (x > Math.max(fromX, 0) && y > Math.max(fromY, 0)) {
      lines.push({ mark: " ", text: before[--x] ?? "" });
      y--;
    }
    if (edits === 0) break;
    if (x === fromX) lines.push({ mark: "+", text: after[--y] ?? "" });
    else lines.push({ mark: "-", text: before[--x] ?? "" });
  }
  return lines.reverse();
}
