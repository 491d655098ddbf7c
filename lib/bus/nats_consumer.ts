/**
 * One replica's part in a durable pull consumer: asks for as many messages as it has free handlers, no more.
 *
 * So nothing waits in this process while its ack wait runs down, and a drain has only running handlers to wait for.
 * Q1. A pull request that got lost (server restart, new leader, consumer gone) is noticed by a reconnect, by an error
 *     status or by the missing heartbeat; the consumer is then ensured again and asked anew.
 * Q2. An ack resolves once the server has it, over reconnects; else the message comes again (bus.ts, B3).
 */
import type { Msg } from "nats";
import { isSalarError } from "../errors.ts";
import {
  BUS_APPEND_MS,
  BUS_ATTEMPT_MS,
  BUS_PULL_HEARTBEAT_MS,
  BUS_PULL_MS,
  BUS_RETRY_MS_MAX,
} from "../limits.ts";
import type { Log } from "../log.ts";
import type { Scope } from "../seams.ts";
import type { DurableMessage, Subscription } from "./bus.ts";
import { thrownNakMs } from "./message.ts";
import { type ConsumerSpec, encode, type JetStreamApi, nanos } from "./nats_api.ts";
import type { NatsLink } from "./nats_link.ts";
import { type Delivered, readDelivered, unfilled } from "./nats_message.ts";
import { createPool } from "./pool.ts";
import type { Subscriptions } from "./subscriptions.ts";
import { retry } from "./wait.ts";

export interface PullParts {
  link: NatsLink;
  api: JetStreamApi;
  log: Log;
  subscriptions: Subscriptions;
}

export async function consumePull(
  { link, api, log, subscriptions }: PullParts,
  scope: Scope,
  spec: ConsumerSpec,
  handler: (message: DurableMessage) => Promise<void>,
): Promise<Subscription> {
  const name = `bus ${spec.stream} ${spec.durable}`;
  await api.ensureConsumer(scope, spec);

  const ending = new AbortController();
  const life = scope.child(name, ending.signal); // of the pulling; handlers run on after it
  const inbox = link.inbox();
  let pulling = true;
  let resuming = false;
  let askedFor = 0; // messages that pull requests still stand for
  let heardMs = 0;

  const pool = createPool<Delivered>(scope, {
    name,
    runningMax: spec.inFlightMax,
    waitingMax: spec.inFlightMax,
    async work(delivered) {
      const message = durableMessage(scope, link, log, spec, delivered);
      try {
        await handler(message);
      } catch (error) {
        message.nak(thrownNakMs(delivered.attempt));
        throw error;
      }
    },
    freed: () => pull(),
  });

  const pull = () => {
    const free = spec.inFlightMax - pool.held() - askedFor;
    const enough = askedFor > 0 && free < spec.inFlightMax / 4; // fewer, larger requests
    if (!pulling || resuming || link.state() !== "connected" || free < 1 || enough) return;
    askedFor += free;
    heardMs = scope.monoMs();
    const request = {
      batch: free,
      expires: nanos(BUS_PULL_MS),
      idle_heartbeat: nanos(BUS_PULL_HEARTBEAT_MS),
    };
    link.send(`$JS.API.CONSUMER.MSG.NEXT.${spec.stream}.${spec.durable}`, encode(request), { reply: inbox });
  };

  const take = (message: Msg) => {
    heardMs = scope.monoMs();
    if (message.subject !== inbox) {
      askedFor = Math.max(0, askedFor - 1);
      pool.push(readDelivered(message));
      return pull();
    }
    const code = message.headers?.code;
    if (code === 100) return; // the request stands
    if (code === 404 || code === 408) {
      askedFor = Math.max(0, askedFor - unfilled(message));
      return pull();
    }
    resume(message.headers?.description ?? "no answer");
  };

  /** Makes sure that the consumer is there, then asks anew. */
  const resume = (reason: string) => {
    if (!pulling || resuming) return;
    resuming = true;
    log.info("bus consumer resumes", { stream: spec.stream, durable: spec.durable, reason });
    life.spawn(name, async () => {
      while (pulling && !await ensured()) await life.sleep(BUS_RETRY_MS_MAX);
      askedFor = 0;
      resuming = false;
      pull();
    });
  };
  const ensured = async () => {
    try {
      await api.ensureConsumer(life, spec);
      return true;
    } catch (error) {
      if (isSalarError(error, "cancelled") || isSalarError(error, "closed")) throw error;
      log.warn("bus consumer cannot resume yet", { stream: spec.stream, durable: spec.durable, error });
      return false;
    }
  };

  const listener = await link.listen(scope, `Cannot consume ${spec.stream}`, inbox, undefined, take);
  const forget = link.onReconnect(() => resume("reconnected"));
  life.every(BUS_PULL_HEARTBEAT_MS, name, () => {
    const silentMs = scope.monoMs() - heardMs;
    if (askedFor === 0) pull();
    else if (silentMs > 2 * BUS_PULL_HEARTBEAT_MS && link.state() === "connected") resume("no heartbeat");
    return Promise.resolve();
  });
  pull();
  return subscriptions.keep(scope, pool, async () => {
    pulling = false;
    forget();
    ending.abort();
    await listener.leave();
  });
}

function durableMessage(
  scope: Scope,
  link: NatsLink,
  log: Log,
  { stream, durable }: ConsumerSpec,
  { subject, data, seq, atMs, attempt, reply }: Delivered,
): DurableMessage {
  let settled = false;
  let acked = Promise.resolve();
  const once = (settle: () => void) => {
    if (settled) return;
    settled = true;
    settle();
  };
  const send = (words: string) => link.send(reply, new TextEncoder().encode(words));
  return {
    subject,
    data,
    seq,
    atMs,
    attempt,
    ack() {
      once(() => acked = sendAck(scope, link, `Cannot ack ${stream} ${seq}`, reply));
      return acked;
    },
    nak: (delayMs = 0) =>
      once(() => send(delayMs > 0 ? `-NAK ${JSON.stringify({ delay: nanos(delayMs) })}` : "-NAK")),
    term: (reason) =>
      once(() => {
        log.warn("bus message termed", { stream, durable, seq, reason });
        send(`+TERM ${reason}`);
      }),
    working() {
      if (!settled) send("+WPI");
    },
  };
}

/** The server answers an ack once its consumer has stored it; the same ack twice does no harm. */
function sendAck(scope: Scope, link: NatsLink, action: string, reply: string): Promise<void> {
  const ack = new TextEncoder().encode("+ACK");
  return retry(scope, BUS_APPEND_MS, action, async (inner) => {
    const answer = await link.ask(inner, reply, ack, { ms: BUS_ATTEMPT_MS });
    return "missing" in answer ? { again: answer.missing } : { value: undefined };
  });
}
