import assert from "node:assert/strict";
import fc from "fast-check";
import { ByteReader, EndOfStream } from "./byte_reader.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);
const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield await Promise.resolve(bytesOf(text));
}

Deno.test("ByteReader gives the same bytes whatever the pieces are", async () => {
  const cuts = fc.array(fc.nat({ max: 40 }), { maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(fc.string({ maxLength: 40 }), cuts, cuts, async (text, pieceSizes, takes) => {
      const whole = bytesOf(text);
      let at = 0;
      const cut = [...pieceSizes, whole.length].map((size) => whole.subarray(at, at += size));
      const reader = new ByteReader((async function* () {
        for (const piece of cut) yield await Promise.resolve(piece);
      })());
      const taken: number[] = [];
      for (const size of takes) {
        if (taken.length + size > whole.length) break;
        taken.push(...await reader.take(size));
      }
      assert.deepEqual(taken, [...whole.subarray(0, taken.length)]);
      await assert.rejects(reader.take(whole.length - taken.length + 1), EndOfStream);
    }),
  );
});

Deno.test("ByteReader.line() gives lines, and cuts one that is too long", async () => {
  const reader = new ByteReader(pieces("fi", "rst\nsecond\n\nmuch too l", "ong\nrest"));
  const lines = [];
  for (let n = 0; n < 5; n++) lines.push(await reader.line(10));
  assert.deepEqual(lines, ["first", "second", "", "much too l", "ong"]);
  await assert.rejects(
    reader.line(10),
    (error) => error instanceof EndOfStream && textOf(error.rest) === "rest",
  );
});

Deno.test("ByteReader.behind() passes over what comes before, in any pieces, up to a bound", async () => {
  const reader = new ByteReader(pieces("\xff noise ma", "rk", ":rest"));
  assert.equal(textOf(await reader.behind("mark:", 100)), "\xff noise ");
  assert.equal(textOf(await reader.take(4)), "rest");
  await assert.rejects(new ByteReader(pieces("noise", "noise", "mark")).behind("mark", 5), RangeError);
  await assert.rejects(new ByteReader(pieces("noise")).behind("mark", 5), EndOfStream);
});
