import assert from "node:assert/strict";
import fc from "fast-check";
import { unifiedDiff } from "./unified_diff.ts";

Deno.test("unifiedDiff() shows changes with three lines around them, in hunks", () => {
  const before = Array.from({ length: 20 }, (_, n) => `${n + 1}\n`).join("");
  const after = before.replace("3\n", "three\n").replace("18\n", "18\nand a half\n");
  assert.deepEqual(unifiedDiff(before, after), [
    "@@ -1,6 +1,6 @@",
    ...[" 1", " 2", "-3", "+three", " 4", " 5", " 6"],
    "@@ -16,5 +16,6 @@",
    ...[" 16", " 17", " 18", "+and a half", " 19", " 20"],
  ]);
  assert.deepEqual(unifiedDiff("same\n", "same\n"), []);
  assert.deepEqual(unifiedDiff("", "new\n"), ["@@ -0,0 +1,1 @@", "+new"]);
  assert.deepEqual(unifiedDiff("x\n", "x"), ["@@ -1,1 +1,1 @@", "-x", "+x\n\\ No newline at end of file"]);
});

Deno.test("unifiedDiff() of any two texts gives the second one when it is applied to the first", () => {
  const text = fc.array(fc.constantFrom("a", "b", "c", ""), { maxLength: 30 }).map((lines) =>
    lines.map((line) => line + "\n").join("")
  );
  fc.assert(fc.property(text, text, (before, after) => {
    assert.equal(applied(before, unifiedDiff(before, after)), after);
  }));
});

Deno.test("unifiedDiff() ends soon for large texts that have nothing in common", () => {
  const lines = (name: string) => Array.from({ length: 20_000 }, (_, n) => `${name} ${n}\n`).join("");
  assert.equal(unifiedDiff(lines("a"), lines("b")).length, 40_001);
});

/** As `patch` does it. */
function applied(before: string, diff: readonly string[]): string {
  const old = before.split("\n").slice(0, -1);
  const out: string[] = [];
  let at = 0;
  for (const line of diff) {
    const [, begin, count] = /^@@ -(\d+),(\d+) /.exec(line) ?? [];
    if (begin !== undefined) {
      const start = Number(count) === 0 ? Number(begin) : Number(begin) - 1;
      out.push(...old.slice(at, start));
      at = start;
    } else if (line.startsWith("+")) out.push(line.slice(1));
    else {
      assert.equal(line.slice(1), old[at++]);
      if (line.startsWith(" ")) out.push(line.slice(1));
    }
  }
  return [...out, ...old.slice(at)].map((line) => line + "\n").join("");
}
