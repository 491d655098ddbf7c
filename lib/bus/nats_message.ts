/** A message as JetStream delivers it: where it stands in the stream is written in its reply subject. */
import type { Msg } from "nats";
import { SalarError } from "../errors.ts";
import type { StoredMessage } from "./bus.ts";

export interface Delivered extends StoredMessage {
  attempt: number;
  /** Number of the delivery by its consumer, from 1, without gaps. */
  delivery: number;
  /** Matching messages that were stored behind it when it was sent. */
  pending: number;
  /** Where acks go. */
  reply: string;
}

/**
 * `$JS.ACK.<stream>.<consumer>.<attempt>.<seq>.<delivery>.<nanoseconds>.<pending>`; servers with domains put two
 * tokens before the stream and may put more behind.
 */
export function readDelivered(message: Msg): Delivered {
  const reply = message.reply ?? "";
  const tokens = reply.split(".");
  const [attempt, seq, delivery, atNanos, pending] = tokens.slice(tokens.length === 9 ? 4 : 6).map(Number);
  if (!reply.startsWith("$JS.ACK.") || !attempt || !seq || !delivery || !atNanos || pending === undefined) {
    throw new SalarError(
      "bad-peer",
      `Cannot read message of ${message.subject}: its reply is not JetStream's`,
    );
  }
  const atMs = Math.floor(atNanos / 1_000_000);
  return { subject: message.subject, data: bytesOf(message), seq, atMs, attempt, delivery, pending, reply };
}

/** Plain bytes: the client hands out Node buffers. */
export function bytesOf({ data }: Msg): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** Messages that a pull request did not get, as its last answer says. */
export function unfilled(status: Msg): number {
  return Number(status.headers?.get("Nats-Pending-Messages") || 0);
}
