import assert from "node:assert/strict";
import fc from "fast-check";
import { checkScan, compareKeys, utf8Bytes } from "./keys.ts";

const text = fc.string({ unit: "grapheme", maxLength: 6 });
const encoder = new TextEncoder();

Deno.test("compareKeys() orders as the UTF-8 bytes do", () => {
  fc.assert(fc.property(text, text, (a, b) => {
    assert.equal(Math.sign(compareKeys(a, b)), compareBytes(encoder.encode(a), encoder.encode(b)));
  }));
  assert.ok(compareKeys("\u{ffee}", "😀") < 0, "JavaScript's own order has it the other way round");
});

Deno.test("utf8Bytes() counts what the encoder makes", () => {
  fc.assert(fc.property(text, (a) => assert.equal(utf8Bytes(a), encoder.encode(a).length)));
});

Deno.test("checkScan() never widens the range", () => {
  const range = { from: "b", to: "d" };
  assert.deepEqual(checkScan(range, { limit: 1, after: "a" }), range);
  assert.deepEqual(checkScan(range, { limit: 1, after: "c" }), { from: "c\0", to: "d" });
  assert.deepEqual(checkScan(range, { limit: 1, after: "e", reverse: true }), range);
  assert.deepEqual(checkScan(range, { limit: 1, after: "c", reverse: true }), { from: "b", to: "c" });
});

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, i) => byte !== b[i]);
  if (at === -1) return Math.sign(a.length - b.length);
  return Math.sign((a[at] ?? 0) - (b[at] ?? -1));
}
