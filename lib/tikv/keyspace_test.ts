import assert from "node:assert/strict";
import fc from "fast-check";
import { compareKeys, encodeKey } from "./keys.ts";
import { checkedValue, plainKeyspace, prefixedKeyspace } from "./keyspace.ts";
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from "./limits.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("prefixedKeyspace() puts keys where TiKV looks for them", () => {
  const keyspace = prefixedKeyspace("one", 1);
  assert.equal(keyspace.wireKey(bytes("k")).toHex(), "780000016b");
  assert.equal(encodeKey(keyspace.wireKey(bytes("k"))).toHex(), "780000016b000000fc");
});

Deno.test("prefixedKeyspace() takes off what it put on, and keeps order and bounds", () => {
  const keyspace = prefixedKeyspace("some", 0xabcdef);
  const key = fc.uint8Array({ minLength: 1, maxLength: 12 });
  const { from, to } = keyspace.wireRange({});
  fc.assert(fc.property(key, key, (a, b) => {
    const [wireA, wireB] = [keyspace.wireKey(a), keyspace.wireKey(b)];
    assert.deepEqual([...keyspace.userKey(wireA)], [...a]);
    assert.equal(Math.sign(compareKeys(wireA, wireB)), Math.sign(compareKeys(a, b)));
    assert.ok(compareKeys(from, wireA) < 0 && compareKeys(wireA, to) < 0);
  }));
});

Deno.test("prefixedKeyspace() ends the last keyspace where the mode ends, and refuses ids beyond", () => {
  assert.equal(prefixedKeyspace("last", 0xff_ffff).wireRange({}).to.toHex(), "79000000");
  assert.throws(() => prefixedKeyspace("beyond", 0x100_0000), { code: "malformed" });
});

Deno.test("a keyspace refuses keys that are empty or too long, and values likewise", () => {
  for (const keyspace of [plainKeyspace, prefixedKeyspace("one", 1)]) {
    assert.throws(() => keyspace.wireKey(bytes("")), { code: "invalid" });
    assert.throws(() => keyspace.wireKey(new Uint8Array(KEY_BYTES_MAX + 1)), { code: "too-large" });
    keyspace.wireKey(new Uint8Array(KEY_BYTES_MAX));
  }
  assert.throws(() => checkedValue(bytes("")), { code: "invalid" });
  assert.throws(() => checkedValue(new Uint8Array(VALUE_BYTES_MAX + 1)), { code: "too-large" });
});

Deno.test("plainKeyspace leaves ranges as they are, open where they are absent", () => {
  assert.deepEqual(plainKeyspace.wireRange({}), { from: bytes(""), to: bytes("") });
  assert.deepEqual(plainKeyspace.wireRange({ from: bytes("a") }), { from: bytes("a"), to: bytes("") });
});
