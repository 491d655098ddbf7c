import assert from "node:assert/strict";
import fc from "fast-check";
import { TikvError } from "./errors.ts";
import { encodeFrame, FrameReader } from "./grpc_frames.ts";
import { bytes, message } from "./protobuf.ts";

const Blob = message("Blob", { blob: [1, bytes] });

function read(reader: FrameReader, chunk: Uint8Array): Uint8Array[] {
  const messages: Uint8Array[] = [];
  reader.push(chunk, (each) => messages.push(each));
  return messages;
}

Deno.test("encodeFrame() puts flag and length in front of the message", () => {
  assert.equal(encodeFrame(Blob, { blob: new Uint8Array([7, 8]) }).toHex(), "0000000004" + "0a020708");
  assert.equal(encodeFrame(Blob, {}).toHex(), "0000000000");
});

Deno.test("push() gives the same messages however the bytes were cut", () => {
  const blobs = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 });
  fc.assert(fc.property(blobs, fc.array(fc.integer({ min: 1, max: 20 })), (sent, cuts) => {
    const stream = sent.flatMap((blob) => [...encodeFrame(Blob, { blob })]);
    const reader = new FrameReader();
    const received: Uint8Array[] = [];
    for (let at = 0, cut = 0; at < stream.length; cut++) {
      const size = cuts[cut] ?? stream.length;
      received.push(...read(reader, new Uint8Array(stream.slice(at, at + size))));
      at += size;
    }
    assert.ok(reader.empty);
    assert.deepEqual(received.map((each) => [...Blob.decode(each).blob]), sent.map((blob) => [...blob]));
  }));
});

Deno.test("push() copies nothing of a message that came in one piece", () => {
  const chunk = encodeFrame(Blob, { blob: new Uint8Array(100) });
  assert.equal(read(new FrameReader(), chunk)[0]?.buffer, chunk.buffer);
});

Deno.test("push() refuses a compressed message and one over the limit", () => {
  const malformed = (error: unknown) => error instanceof TikvError && error.code === "malformed";
  assert.throws(() => read(new FrameReader(), Uint8Array.fromHex("010000000100")), malformed);
  assert.throws(() => read(new FrameReader(10), Uint8Array.fromHex("000000000b")), malformed);
  assert.throws(() => read(new FrameReader(), Uint8Array.fromHex("00ffffffff")), malformed);
});

Deno.test("push() waits for a long message without reserving its length", () => {
  const reader = new FrameReader();
  assert.deepEqual(read(reader, Uint8Array.fromHex("0030000000aabb")), []); // 768 MiB are promised
  assert.equal(reader.empty, false);
});
