import assert from "node:assert/strict";
import fc from "fast-check";
import { fromBase64url, fromUtf8, hasDuplicateKeys, parseJsonObject, toBase64url } from "./encoding.ts";

Deno.test("fromBase64url() returns what toBase64url() was given", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    assert.deepEqual(new Uint8Array(fromBase64url(toBase64url(bytes)) ?? []), bytes);
  }));
});

Deno.test("fromBase64url() accepts one spelling per value", () => {
  fc.assert(fc.property(fc.string({ maxLength: 8 }), (text) => {
    const bytes = fromBase64url(text);
    if (bytes !== null) assert.equal(toBase64url(bytes), text);
  }));
  for (const text of ["AA==", "AA\n", "A+", "A/", "AB", "A", "ÄA"]) {
    assert.equal(fromBase64url(text), null, text);
  }
});

Deno.test("fromUtf8() refuses what is not UTF-8 and keeps a byte order mark for JSON to refuse", () => {
  assert.equal(fromUtf8(Uint8Array.of(0xff)), null);
  assert.equal(parseJsonObject(fromUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d)) ?? ""), null);
});

Deno.test("parseJsonObject() takes objects only", () => {
  for (const text of ["[]", "null", "1", '"a"', "{", "", "{} {}"]) {
    assert.equal(parseJsonObject(text), null, text);
  }
  assert.deepEqual(parseJsonObject('{"__proto__":1}'), JSON.parse('{"__proto__":1}'));
});

Deno.test("hasDuplicateKeys() finds none in what JSON.stringify() wrote", () => {
  fc.assert(fc.property(fc.object({ key: fc.string(), maxDepth: 4 }), (value) => {
    assert.equal(hasDuplicateKeys(JSON.stringify(value)), false);
    assert.equal(hasDuplicateKeys(JSON.stringify(value, null, 2)), false);
  }));
});

Deno.test("hasDuplicateKeys() finds a doubled key at any place, whatever is around it", () => {
  fc.assert(fc.property(fc.string(), fc.json(), fc.json(), fc.nat({ max: 5 }), (key, one, two, depth) => {
    const name = JSON.stringify(key);
    const doubled = `{"other":[${one}], ${name} :${one},${name}\t:${two}}`;
    const json = '{"deep":['.repeat(depth) + doubled + "]}".repeat(depth);
    JSON.parse(json);
    assert.equal(hasDuplicateKeys(json), true, json);
  }));
});

Deno.test("hasDuplicateKeys() sees through escapes and tells keys from values", () => {
  assert.equal(hasDuplicateKeys('{"a":1,"\\u0061":2}'), true);
  assert.equal(hasDuplicateKeys('{"\\"":1,"\\u0022":2}'), true);
  assert.equal(hasDuplicateKeys('{"a":"a","b":["a","a"],"c":{"a":1},"d":"\\\\"}'), false);
  assert.equal(hasDuplicateKeys('{"a":"{\\"a\\":1,","b":"\\"a\\":"}'), false);
});

Deno.test("hasDuplicateKeys() does not run out of stack on deep nesting", () => {
  const depth = 40_000;
  assert.equal(hasDuplicateKeys('{"a":'.repeat(depth) + "1" + "}".repeat(depth)), false);
});
