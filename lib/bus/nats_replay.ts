/**
 * Reads a stream in order, batch by batch, with a consumer of its own that needs no acks.
 *
 * Y1. Deliveries of one consumer are numbered without gaps; a gap or a silence (reconnect, new leader) makes a new
 *     consumer that starts behind the last message that was yielded.
 */
import type { Msg } from "nats";
import { isSalarError, SalarError } from "../errors.ts";
import { BUS_APPEND_MS, BUS_ATTEMPT_MS, BUS_REPLAY_BATCH, BUS_REPLAY_BATCH_BYTES_MAX } from "../limits.ts";
import type { Scope } from "../seams.ts";
import type { StoredMessage } from "./bus.ts";
import { encode, type JetStreamApi } from "./nats_api.ts";
import type { NatsLink } from "./nats_link.ts";
import { type Delivered, readDelivered } from "./nats_message.ts";
import { waitFor, within } from "./wait.ts";

export async function* replayStream(
  { link, api }: { link: NatsLink; api: JetStreamApi },
  scope: Scope,
  stream: string,
  options: { filter?: string; fromSeq?: number },
): AsyncGenerator<StoredMessage> {
  const action = `Cannot replay ${stream}`;
  const lastSeq = await api.lastSeq(scope, stream);
  let nextSeq = options.fromSeq ?? 1;
  let failures = 0;
  while (nextSeq <= lastSeq) {
    const reader = await api.createReader(scope, { stream, filter: options.filter, fromSeq: nextSeq });
    try {
      for await (const batch of batches(link, scope, action, `${stream}.${reader}`)) {
        for (const { subject, data, seq, atMs } of batch) {
          if (seq > lastSeq) return;
          yield { subject, data, seq, atMs };
          nextSeq = seq + 1;
          failures = 0;
        }
      }
      return;
    } catch (error) {
      if (!(error instanceof BrokenRead)) throw error;
      if (++failures * BUS_ATTEMPT_MS > BUS_APPEND_MS) {
        throw new SalarError("unavailable", `${action}: ${error.message} at ${nextSeq}, ${failures} times`);
      }
    } finally {
      // Unread, it also goes by itself.
      if (link.state() === "connected") await api.removeConsumer(scope, stream, reader).catch(() => {});
    }
  }
}

/** Stays inside this file: the reader is of no use any more, a new one may be. */
class BrokenRead extends Error {}

/** Batches of one reader until it has no more. */
async function* batches(
  link: NatsLink,
  scope: Scope,
  action: string,
  reader: string,
): AsyncGenerator<Delivered[]> {
  const inbox = link.inbox();
  let batch: Delivered[] = [];
  let deliveries = 0;
  let done: (how: "end" | "more" | "broken") => void = () => {};
  const take = (message: Msg) => {
    if (message.subject !== inbox) {
      const delivered = readDelivered(message);
      if (delivered.delivery !== ++deliveries) return done("broken");
      batch.push(delivered);
      if (delivered.pending === 0) done("end");
      else if (batch.length === BUS_REPLAY_BATCH) done("more");
      return;
    }
    const code = message.headers?.code;
    if (code === 404) done("end");
    else if (code === 408 || code === 409) done(batch.length > 0 ? "more" : "broken");
    else if (code !== 100) done("broken");
  };
  const listener = await link.listen(scope, action, inbox, undefined, take);
  try {
    for (;;) {
      batch = [];
      const request = { batch: BUS_REPLAY_BATCH, max_bytes: BUS_REPLAY_BATCH_BYTES_MAX, no_wait: true };
      const how = await within(scope, BUS_ATTEMPT_MS, action, (inner) => {
        const ended = new Promise<"end" | "more" | "broken">((resolve) => done = resolve);
        link.send(`$JS.API.CONSUMER.MSG.NEXT.${reader}`, encode(request), { reply: inbox });
        return waitFor(inner, action, ended);
      }).catch((error) => {
        if (isSalarError(error, "deadline")) return "broken" as const;
        throw error;
      });
      if (how === "broken") throw new BrokenRead("the reader broke off");
      yield batch;
      if (how === "end") return;
    }
  } finally {
    await listener.leave();
  }
}
