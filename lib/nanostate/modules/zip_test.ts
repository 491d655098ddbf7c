/** tests/nanostate/modules_files_test.ts has Python read such archives. */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { inflateRawSync } from "node:zlib";
import { zip, zipContent } from "./zip.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("zip() gives the same bytes for the same files, in whatever order they come", () => {
  const [a, b] = [zipContent(bytes("a".repeat(100))), zipContent(bytes("b"))];
  assert.deepEqual(zip(new Map([["x/a", a], ["x/b", b]])), zip(new Map([["x/b", b], ["x/a", a]])));
});

Deno.test("zip() packs what becomes smaller, and stores what does not", () => {
  const archive = Buffer.from(
    zip(new Map([["a", zipContent(bytes("a".repeat(1000)))], ["b", zipContent(bytes("b"))]])),
  );
  assert.equal(archive.readUInt16LE(8), 8);
  const packed = archive.readUInt32LE(18);
  assert.equal(inflateRawSync(archive.subarray(31, 31 + packed)).toString(), "a".repeat(1000));
  assert.equal(archive.readUInt16LE(31 + packed + 8), 0);
  assert.equal(archive.subarray(31 + packed + 31, 31 + packed + 32).toString(), "b");
});
