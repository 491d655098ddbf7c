import assert from "node:assert/strict";
import fc from "fast-check";
import { isSalarError } from "../../lib/errors.ts";
import { pgoutputDecoder } from "./pgoutput.ts";

const text = (value: string) => [...new TextEncoder().encode(value), 0];
const u16 = (value: number) => [value >> 8, value & 255];
const u32 = (value: number) => [...u16(value >>> 16), ...u16(value & 0xffff)];
const tag = (letter: string) => letter.charCodeAt(0);
const value = (content: string) => {
  const bytes = [...new TextEncoder().encode(content)];
  return [tag("t"), ...u32(bytes.length), ...bytes];
};
const NULL = [tag("n")];
const UNCHANGED = [tag("u")];

const RELATION = [
  tag("R"),
  ...u32(7),
  ...text("public"),
  ...text("notes"),
  tag("d"),
  ...u16(3),
  ...[1, ...text("id"), ...u32(1700), ...u32(0)],
  ...[0, ...text("title"), ...u32(25), ...u32(0)],
  ...[0, ...text("body"), ...u32(25), ...u32(0)],
];
const row = (...values: number[][]) => [...u16(values.length), ...values.flat()];
const change = (letter: string, ...rest: (number | number[])[]) => [tag(letter), ...u32(7), ...rest.flat()];

function decode(...messages: number[][]) {
  const decoder = pgoutputDecoder();
  return [RELATION, ...messages].map((message) => decoder(Uint8Array.from(message))).slice(1);
}

function only(message: number[]) {
  const [decoded] = decode(message);
  return decoded?.kind === "changes" ? decoded.changes[0] : undefined;
}

const table = "notes";
const KEYED = [
  change("I", tag("N"), row(value("12345678901234567890"), NULL, value("ü"))),
  change("U", tag("N"), row(value("1"), value("t"), UNCHANGED)),
  change("U", tag("K"), row(value("1"), NULL, NULL), tag("N"), row(value("2"), NULL, UNCHANGED)),
  change("D", tag("K"), row(value("2"), NULL, NULL)),
] as const;

Deno.test("pgoutputDecoder() reads inserts, updates, changed identities and deletes", () => {
  assert.deepEqual(KEYED.map(only), [
    { table, op: "insert", row: { id: "12345678901234567890", title: null, body: "ü" }, oldKey: null },
    { table, op: "update", row: { id: "1", title: "t" }, oldKey: null },
    { table, op: "update", row: { id: "2", title: null }, oldKey: { id: "1" } },
    { table, op: "delete", row: { id: "2" }, oldKey: null },
  ]);
});

Deno.test("pgoutputDecoder() gives no old key where a whole old row has the same identity", () => {
  const message = change(
    "U",
    tag("O"),
    row(value("1"), value("a"), NULL),
    tag("N"),
    row(value("1"), NULL, NULL),
  );
  assert.deepEqual(only(message)?.oldKey, null);
});

Deno.test("pgoutputDecoder() reads begin, commit, truncate, and passes over what is not asked for", () => {
  const u64 = (high: number, low: number) => [...u32(high), ...u32(low)];
  const messages = decode(
    [tag("B"), ...u64(0x16, 0xb374d848), ...u64(0, 0), ...u32(1)],
    [tag("T"), ...u32(1), 1, ...u32(7)],
    [tag("Y"), ...u32(1)],
    [tag("C"), 0, ...u64(0, 1), ...u64(0xffffffff, 0xffffffff), ...u64(0, 0)],
  );
  assert.deepEqual(messages, [
    { kind: "begin", commitLsn: 0x16b374d848n },
    { kind: "changes", changes: [{ table, op: "truncate", row: {}, oldKey: null }] },
    { kind: "other" },
    { kind: "commit", endLsn: 0xffffffffffffffffn },
  ]);
});

Deno.test("pgoutputDecoder() refuses a message that ends early, wherever it ends", () => {
  for (const message of [RELATION, ...KEYED]) {
    for (let length = 0; length < message.length; length++) {
      assert.throws(() => decode(message.slice(0, length)), (error) => isSalarError(error, "bad-peer"));
    }
  }
});

Deno.test("pgoutputDecoder() ends in a change or an error for any bytes", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(3), (bytes, which) => {
    const message = [...KEYED[which] ?? []];
    bytes.forEach((byte, at) => at % 3 === 0 && (message[byte % message.length] = byte));
    try {
      decode(message);
    } catch (error) {
      assert(isSalarError(error, "bad-peer"));
    }
  }));
  for (const letter of ["S", "E", "z"]) assert.throws(() => decode([tag(letter)]), /version 1/);
  assert.throws(() => pgoutputDecoder()(Uint8Array.from(KEYED[0])), /never described/);
});
