import assert from "node:assert/strict";
import fc from "fast-check";
import { TikvError } from "./errors.ts";
import { compareKeys, decodeKey, encodeKey } from "./keys.ts";

const utf8 = new TextEncoder();

Deno.test("encodeKey() gives what TiKV gives", () => {
  const known = {
    "": "0000000000000000f7",
    "a": "6100000000000000f8",
    "abcdefgh": "6162636465666768ff0000000000000000f7",
    "salar/fn/1": "73616c61722f666eff2f31000000000000f9",
  };
  for (const [key, encoded] of Object.entries(known)) {
    assert.equal(encodeKey(utf8.encode(key)).toHex(), encoded, key);
    assert.deepEqual(decodeKey(Uint8Array.fromHex(encoded)), utf8.encode(key));
  }
});

Deno.test("encodeKey() keeps the order of keys and decodeKey() gives them back", () => {
  const key = fc.uint8Array({ maxLength: 20 });
  fc.assert(fc.property(key, key, (a, b) => {
    assert.equal(Math.sign(compareKeys(encodeKey(a), encodeKey(b))), Math.sign(compareKeys(a, b)));
    assert.deepEqual([...decodeKey(encodeKey(a))], [...a]);
  }));
});

Deno.test("decodeKey() refuses what encodeKey() cannot have made", () => {
  for (
    const wrong of [
      "",
      "00",
      "0000000000000000f6",
      "0000000000000001f7",
      "0000000000000000ff",
      "6100000000000000f900",
    ]
  ) {
    assert.throws(
      () => decodeKey(Uint8Array.fromHex(wrong)),
      (error) => error instanceof TikvError && error.code === "corrupt",
      wrong,
    );
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (input) => {
    try {
      assert.deepEqual(encodeKey(decodeKey(input)), input);
    } catch (error) {
      assert.ok(error instanceof TikvError, String(error));
    }
  }));
});
