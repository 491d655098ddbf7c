/**
 * The bus over NATS: core subjects and JetStream.
 *
 * V1. Nothing that was acknowledged is lost: `append` and `ack` go on over reconnects and new leaders, with the same
 *     id, until the server has answered. So `duplicate` may be the caller's own first try.
 * V2. While reconnecting, calls wait (BUS_APPEND_MS, request: its deadline) and then reject with `unavailable`.
 * V3. JetStream acknowledges a message before it is on disk unless the server says `sync_interval: always`:
 *     see deploy/nats. Nothing here can check that.
 * V4. Nanoseconds, snake_case and npm:nats stay inside the nats_*.ts files.
 * The program that connects also calls `installNatsGuard` (nats_errors.ts), once.
 */
import { headers, type Msg } from "nats";
import { SalarError } from "../errors.ts";
import {
  BUS_ACK_WAIT_MS,
  BUS_APPEND_MS,
  BUS_ATTEMPT_MS,
  BUS_HANDLERS_MAX,
  BUS_IN_FLIGHT_MAX,
  BUS_REQUEST_MS,
  BUS_WAITING_MAX,
} from "../limits.ts";
import type { Scope } from "../seams.ts";
import type { Bus, Message } from "./bus.ts";
import {
  checkConsume,
  checkGroup,
  checkMessageId,
  checkSize,
  checkStream,
  checkStreamName,
} from "./message.ts";
import { createJetStreamApi, decode, isPassing, type PubAck, reasonOf } from "./nats_api.ts";
import { consumePull } from "./nats_consumer.ts";
import { type NatsLinkOptions, openNatsLink } from "./nats_link.ts";
import { bytesOf } from "./nats_message.ts";
import { replayStream } from "./nats_replay.ts";
import { createPool } from "./pool.ts";
import { checkPattern, checkSubject, isPattern } from "./subject.ts";
import { createSubscriptions } from "./subscriptions.ts";
import { retry } from "./wait.ts";

export interface NatsOptions extends NatsLinkOptions {
  /** Copies of each stream that `ensureStreams` makes; 3 needs a cluster of at least as many servers. */
  replicas: 1 | 3;
}

const MESSAGE_ID = "Nats-Msg-Id";

/**
 * Connects, for as long as `scope` lives. Errors: `unavailable` (no server reached or trusted), `unauthenticated`,
 * `bad-config`, `cancelled`.
 */
export async function connectNats(scope: Scope, options: NatsOptions): Promise<Bus> {
  const { log } = options;
  const link = await openNatsLink(scope, options);
  const api = createJetStreamApi(link);
  const subscriptions = createSubscriptions();
  let closing: Promise<void> | null = null;

  return {
    async publish(scope, subject, data) {
      const action = `Cannot publish ${subject}`;
      checkSubject(action, subject);
      checkSize(action, data);
      // What need not be waited for is not awaited: it would cost as much as all the rest of a publish.
      if (link.state() !== "connected" || scope.signal.aborted) await link.ready(scope, action);
      link.send(subject, data);
      if (link.isFull()) await link.flush();
    },

    async request(scope, subject, data, { deadlineMs = BUS_REQUEST_MS } = {}) {
      const action = `Cannot request ${subject}`;
      checkSubject(action, subject);
      checkSize(action, data);
      const answer = await link.ask(scope, subject, data, { ms: deadlineMs });
      if ("message" in answer) return bytesOf(answer.message);
      if (answer.missing !== "no answer") throw new SalarError("unavailable", `${action}: ${answer.missing}`);
      throw new SalarError("deadline", `${action}: no answer within ${deadlineMs} ms`);
    },

    async subscribe(scope, pattern, { group }, handler) {
      const action = `Cannot subscribe ${pattern}`;
      checkPattern(action, pattern);
      if (group !== undefined) checkGroup(action, group);
      const pool = createPool<Message>(scope, {
        name: `bus ${pattern}`,
        runningMax: BUS_HANDLERS_MAX,
        waitingMax: BUS_WAITING_MAX,
        work: handler,
        dropped: ({ subject }) =>
          log.warn("bus subscription too slow: message dropped", { pattern, subject }),
      });
      const subjectOf = isPattern(pattern) ? (message: Msg) => message.subject : () => pattern;
      const listener = await link.listen(scope, action, pattern, group, (message) =>
        pool.push({
          subject: subjectOf(message),
          data: bytesOf(message),
          respond(data) {
            checkSize(`Cannot respond to ${message.subject}`, data);
            // An appended message is no request: its reply subject waits for the stream's own answer.
            if (message.reply && !message.headers?.has(MESSAGE_ID)) link.send(message.reply, data);
          },
        }));
      return subscriptions.keep(scope, pool, listener.leave);
    },

    async ensureStreams(scope, specs) {
      for (const spec of specs) checkStream(`Cannot ensure stream ${spec.name}`, spec);
      for (const spec of specs) await api.ensureStream(scope, spec, options.replicas);
    },

    async append(scope, subject, data, { id }) {
      const action = `Cannot append ${subject}`;
      checkSubject(action, subject);
      checkSize(action, data);
      checkMessageId(action, id);
      await link.ready(scope, action);
      const withId = headers();
      withId.set(MESSAGE_ID, id);
      return await retry(scope, BUS_APPEND_MS, action, async (inner) => {
        const answer = await link.ask(inner, subject, data, { ms: BUS_ATTEMPT_MS, headers: withId });
        if ("missing" in answer) {
          // Nobody listens while a stream elects its leader, and where there is no stream: only the latter stays.
          if (answer.missing !== "nobody listens" || await api.isTaken(inner, subject)) {
            return { again: answer.missing };
          }
          throw new SalarError("unavailable", `${action}: no stream takes it`);
        }
        const ack = decode<PubAck>(answer.message.data);
        if (isPassing(ack)) return { again: reasonOf(ack) };
        if (ack.error) throw new SalarError("unavailable", `${action}: ${reasonOf(ack)}`);
        if (ack.seq === undefined) throw new SalarError("bad-peer", `${action}: the answer is no stream's`);
        return { value: { seq: ack.seq, duplicate: ack.duplicate ?? false } };
      });
    },

    async consume(scope, consume, handler) {
      checkConsume(`Cannot consume ${consume.stream} as ${consume.durable}`, consume);
      const spec = {
        stream: consume.stream,
        durable: consume.durable,
        filter: consume.filter,
        ackWaitMs: consume.ackWaitMs ?? BUS_ACK_WAIT_MS,
        inFlightMax: consume.inFlightMax ?? BUS_IN_FLIGHT_MAX,
      };
      return await consumePull({ link, api, log, subscriptions }, scope, spec, handler);
    },

    async *replay(scope, stream, replay = {}) {
      const action = `Cannot replay ${stream}`;
      checkStreamName(action, stream);
      if (replay.filter !== undefined) checkPattern(action, replay.filter);
      yield* replayStream({ link, api }, scope, stream, replay);
    },

    state: link.state,

    close() {
      closing ??= (async () => {
        await subscriptions.drainAll();
        await link.flush();
        await link.close();
      })();
      return closing;
    },
  };
}
