import assert from "node:assert/strict";
import { parseJsonc } from "./jsonc.ts";

Deno.test("parseJsonc() takes comments and last commas, and leaves strings alone", () => {
  const text = `// a comment with "quotes"
  {
    "url": "http://a/*b*/,}", // not a comment inside
    "list": [1, 2,], /* gone, */
    "quote": "\\"//",
  }`;
  assert.deepEqual(parseJsonc(text), { url: "http://a/*b*/,}", list: [1, 2], quote: '"//' });
});

Deno.test("parseJsonc() refuses what is no JSON", () => {
  for (const text of ["", "{", "{a: 1}", "[1 2]"]) {
    assert.throws(() => parseJsonc(text), /Cannot read standard input: it is no JSON/, text);
  }
});
