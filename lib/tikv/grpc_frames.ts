/**
 * gRPC's messages within the bytes of a stream: a flag (0: not compressed), a length of four bytes, the message.
 *
 * G1. A message may be split over chunks and several may share one; how they were cut makes no difference.
 * G2. Nothing is reserved for a promised length before its bytes are there; a length over the limit is `malformed`.
 * Source: grpc/grpc doc/PROTOCOL-HTTP2.md, Length-Prefixed-Message.
 */
import { TikvError } from "./errors.ts";
import { REPLY_BYTES_MAX } from "./limits.ts";
import { type Message, Writer } from "./protobuf.ts";

const PREFIX = 5;

/** `value` as one message of a stream. */
export function encodeFrame<T, I>(message: Message<T, I>, value: I): Uint8Array {
  const writer = new Writer();
  message.writeFields(writer, value);
  return finishFrame(writer);
}

/** Puts the prefix in front of all that was written. */
export function finishFrame(writer: Writer): Uint8Array {
  const { length } = writer;
  for (let shift = 0; shift < 32; shift += 8) writer.byte((length >>> shift) & 0xff);
  writer.byte(0);
  return writer.finish();
}

export class FrameReader {
  readonly #bytesMax: number;
  /** What came of a message that is not whole yet, and how much that is. */
  #parts: Uint8Array[] = [];
  #held = 0;
  /** How much must be there before it is worth looking again. */
  #needed = PREFIX;

  constructor(bytesMax = REPLY_BYTES_MAX) {
    this.#bytesMax = bytesMax;
  }

  /** True between messages. */
  get empty(): boolean {
    return this.#held === 0;
  }

  /** Hands `each` the messages that `chunk` completes; they are views of it where they came in one piece. */
  push(chunk: Uint8Array, each: (message: Uint8Array) => void): void {
    let rest = chunk;
    if (this.#held > 0) {
      this.#parts.push(chunk);
      this.#held += chunk.length;
      if (this.#held < this.#needed) return;
      rest = joined(this.#parts, this.#held);
      this.#parts = [];
      this.#held = 0;
    }
    for (;;) {
      this.#needed = PREFIX;
      if (rest.length >= PREFIX) this.#needed += this.#lengthOf(rest);
      if (rest.length < this.#needed) break;
      const message = rest.subarray(PREFIX, this.#needed);
      rest = rest.subarray(this.#needed);
      each(message);
    }
    if (rest.length === 0) return;
    this.#parts = [rest];
    this.#held = rest.length;
  }

  #lengthOf(bytes: Uint8Array): number {
    if (bytes[0] !== 0) {
      throw new TikvError("malformed", `read message: flag ${bytes[0]}, but nothing may be compressed`);
    }
    const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
    if (length <= this.#bytesMax) return length;
    throw new TikvError("malformed", `read message: ${length} bytes promised, more than ${this.#bytesMax}`);
  }
}

function joined(parts: Uint8Array[], length: number): Uint8Array {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
