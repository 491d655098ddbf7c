import assert from "node:assert/strict";
import fc from "fast-check";
import { TikvError } from "./errors.ts";
import { TRANSACTION_BYTES_MAX, VALUE_BYTES_MAX } from "./limits.ts";
import { Op } from "./messages_kv.ts";
import { WriteBuffer } from "./write_buffer.ts";
import { type Entry, mergePages } from "./write_buffer_merge.ts";

const utf8 = new TextEncoder();
const bytes = (text: string) => utf8.encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);
const everything = { from: bytes(""), to: bytes("") };

Deno.test("WriteBuffer gives changes by ascending key, in whatever order they came", () => {
  const key = fc.uint8Array({ minLength: 1, maxLength: 4 });
  fc.assert(fc.property(fc.array(key, { maxLength: 50 }), (keys) => {
    const buffer = new WriteBuffer();
    keys.forEach((key, at) => {
      buffer.put(key, bytes("v"));
      if (at % 7 === 0) buffer.changes(); // sorted in between as well
    });
    const expected = [...new Set(keys.map((key) => key.toHex()))].sort();
    assert.deepEqual(buffer.changes().map(({ key }) => key.toHex()), expected);
  }));
});

Deno.test("WriteBuffer keeps an insertion one, whatever follows it", () => {
  const after = (...steps: ((buffer: WriteBuffer) => void)[]) => {
    const buffer = new WriteBuffer();
    for (const step of steps) step(buffer);
    const [change] = buffer.changes();
    return [change?.op, text(change?.value ?? bytes("?")), buffer.read(bytes("k")) === null];
  };
  const put = (buffer: WriteBuffer) => buffer.put(bytes("k"), bytes("p"));
  const insert = (buffer: WriteBuffer) => buffer.insert(bytes("k"), bytes("i"));
  const remove = (buffer: WriteBuffer) => buffer.delete(bytes("k"));
  const lock = (buffer: WriteBuffer) => buffer.lock(bytes("k"));
  const holdAbsent = (buffer: WriteBuffer) => buffer.hold(bytes("k"), null);

  assert.deepEqual(after(insert), [Op.insert, "i", false]);
  assert.deepEqual(after(insert, put), [Op.insert, "p", false]);
  assert.deepEqual(after(insert, remove), [Op.checkNotExists, "", true]);
  assert.deepEqual(after(insert, remove, put), [Op.insert, "p", false]);
  assert.deepEqual(after(insert, remove, insert), [Op.insert, "i", false]);
  assert.deepEqual(after(insert, lock), [Op.insert, "i", false]);
  assert.deepEqual(after(lock, insert), [Op.insert, "i", false]);
  assert.deepEqual(after(put, remove), [Op.delete, "", true]);
  assert.deepEqual(after(remove, insert), [Op.put, "i", false], "its absence is our own doing");
  assert.deepEqual(after(holdAbsent, insert), [Op.put, "i", false], "its absence is protected");
  for (const known of [put, insert, (buffer: WriteBuffer) => buffer.hold(bytes("k"), bytes("h"))]) {
    assert.throws(() => after(known, insert), { code: "already-exists" });
  }
});

Deno.test("WriteBuffer reads a held key as it was locked, and a merely locked one not at all", () => {
  const buffer = new WriteBuffer();
  buffer.lock(bytes("locked"));
  buffer.hold(bytes("held"), bytes("latest"));
  buffer.hold(bytes("absent"), null);
  assert.equal(buffer.read(bytes("locked")), undefined);
  assert.deepEqual(buffer.read(bytes("held")), bytes("latest"));
  assert.equal(buffer.read(bytes("absent")), null);
  assert.deepEqual(buffer.range(everything, false).map(({ key }) => text(key)), ["absent", "held"]);
  buffer.put(bytes("held"), bytes("own"));
  assert.deepEqual(buffer.read(bytes("held")), bytes("own"));
  assert.ok(buffer.holds(bytes("held")));
});

Deno.test("WriteBuffer refuses what is over the limit of a transaction, and keeps what it had", () => {
  const buffer = new WriteBuffer();
  const value = new Uint8Array(VALUE_BYTES_MAX);
  const fit = Math.floor(TRANSACTION_BYTES_MAX / (VALUE_BYTES_MAX + 2));
  for (let at = 0; at < fit; at++) buffer.put(bytes(String(10 + at)), value);
  const over = () => buffer.put(bytes("99"), value);
  assert.throws(over, (error) => error instanceof TikvError && error.code === "too-large");
  assert.equal(buffer.size, fit);
  buffer.put(bytes("10"), bytes("small")); // makes room
  over();
});

/** A transaction's reads against a model: a map of strings. */
Deno.test("reads of a transaction are those of a map that its changes were made to", async () => {
  const key = fc.constantFrom(..."abcdefghij");
  const change = fc.oneof(
    fc.record({ op: fc.constant("put" as const), key, value: fc.constantFrom("x", "y", "z") }),
    fc.record({ op: fc.constant("delete" as const), key, value: fc.constant("") }),
    fc.record({ op: fc.constant("lock" as const), key, value: fc.constant("") }),
  );
  const stored = fc.dictionary(key, fc.constantFrom("1", "2"));
  const bound = fc.option(key, { nil: "" });
  await fc.assert(fc.asyncProperty(
    stored,
    fc.array(change, { maxLength: 12 }),
    bound,
    bound,
    fc.boolean(),
    fc.integer({ min: 1, max: 4 }),
    async (stored, changes, from, to, reverse, pagePairs) => {
      const buffer = new WriteBuffer();
      const model = new Map<string, string>(Object.entries(stored));
      for (const { op, key, value } of changes) {
        if (op === "put") buffer.put(bytes(key), bytes(value)), model.set(key, value);
        else if (op === "delete") buffer.delete(bytes(key)), model.delete(key);
        else buffer.lock(bytes(key));
      }
      for (const key of "abcdefghij") {
        const own = buffer.read(bytes(key));
        const value = own === undefined ? stored[key] : own === null ? undefined : text(own);
        assert.equal(value, model.get(key), `get of ${key}`);
      }

      const inside = ([key]: [string, string]) => key >= from && (to === "" || key < to);
      const sorted = (entries: Iterable<[string, string]>) => {
        const ascending = [...entries].filter(inside).sort(([a], [b]) => a < b ? -1 : 1);
        return reverse ? ascending.reverse() : ascending;
      };
      const pages = pagesOf(sorted(Object.entries(stored)), pagePairs);
      const own = buffer.range({ from: bytes(from), to: bytes(to) }, reverse);
      const seen: [string, string][] = [];
      for await (const page of mergePages(pages, own, reverse)) {
        for (const { key, value } of page) seen.push([text(key), text(value)]);
      }
      assert.deepEqual(seen, sorted(model));
    },
  ));
});

async function* pagesOf(entries: [string, string][], pagePairs: number): AsyncGenerator<Entry[]> {
  for (let at = 0; at < entries.length; at += pagePairs) {
    yield await Promise.resolve(
      entries.slice(at, at + pagePairs).map(([key, value]) => ({ key: bytes(key), value: bytes(value) })),
    );
  }
}
