import assert from "node:assert/strict";
import fc from "fast-check";
import type { Changes, RowChange } from "../../lib/cluster/protocol.ts";
import { CHANGES_BYTES_MAX, CHANGES_PER_MESSAGE_MAX } from "../../lib/limits.ts";
import { parts } from "./parts.ts";

function cut(changes: readonly RowChange[], index = 0) {
  const emitted: Changes[] = [];
  const cuts: string[][] = [];
  const cutter = parts({
    origin: "o",
    originNo: 1,
    emit: (part) => emitted.push(part),
    onCut: (_table, columns) => cuts.push(columns),
  });
  cutter.begin(0xabcn, index);
  changes.forEach(cutter.add);
  cutter.end();
  return { emitted, cuts };
}

const insert = (row: RowChange["row"]): RowChange => ({ table: "t", op: "insert", row, oldKey: null });
const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value)).length;

Deno.test("parts() keeps every change in order, in messages within both limits", () => {
  const value = fc.oneof(fc.string({ unit: "binary", maxLength: 40 }), fc.constant("€".repeat(9_000)));
  const rows = fc.array(fc.tuple(value, fc.nat(600)), { maxLength: 12 });
  fc.assert(
    fc.property(rows, fc.nat(5), (rows, index) => {
      const changes = rows.flatMap(([text, count]) =>
        Array.from({ length: count }, () => insert({ a: text }))
      );
      const { emitted, cuts } = cut(changes, index);
      assert.deepEqual(emitted.flatMap(({ changes }) => changes), changes);
      let next = index;
      for (const part of emitted) {
        assert.equal(part.first, next);
        assert(part.changes.length > 0 && part.changes.length <= CHANGES_PER_MESSAGE_MAX);
        assert(bytes(part) <= CHANGES_BYTES_MAX);
        next += part.changes.length;
      }
      assert.deepEqual(emitted.map(({ more }) => more), emitted.map((_, at) => at < emitted.length - 1));
      assert.deepEqual(cuts, []);
    }),
    { numRuns: 30 },
  );
});

Deno.test("parts() says nothing of a transaction without changes", () => {
  assert.deepEqual(cut([]).emitted, []);
});

Deno.test("parts() takes the largest values from a row that does not fit alone, and says which", () => {
  const big = "x".repeat(CHANGES_BYTES_MAX);
  const { emitted, cuts } = cut([insert({ id: "1", note: "n", a: big, b: big + big })]);
  assert.deepEqual(emitted[0]?.changes[0]?.row, { id: "1", note: "n" });
  assert.deepEqual(cuts, [["b", "a"]]);
});

Deno.test("parts() writes the position as 16 digits", () => {
  assert.equal(cut([insert({})]).emitted[0]?.lsn, "0000000000000ABC");
});
