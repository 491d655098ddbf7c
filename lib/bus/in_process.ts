/**
 * The bus inside one process: for the embedded mesh, the demo, tests and the simulation.
 *
 * `createBroker` is the server, each `connect()` one client of it, so that several replicas share one broker.
 * I1. Streams live in memory: what they hold ends with the process (the store is the truth, bus.ts B1).
 * I2. Time, chance and concurrency come from the scopes alone: same seed, same deliveries.
 * I3. As in NATS, a published message that a stream captures is stored too, and an appended one reaches core
 *     subscribers too; never ask (`request`) on a subject that a stream captures.
 * Source: the delivery rules of nats-server, as seen by `bus_suite.ts` on both adapters.
 */
import { SalarError } from "../errors.ts";
import {
  BUS_ACK_WAIT_MS,
  BUS_HANDLERS_MAX,
  BUS_IN_FLIGHT_MAX,
  BUS_REQUEST_MS,
  BUS_WAITING_MAX,
} from "../limits.ts";
import { type Log, silentLog } from "../log.ts";
import type { Scope } from "../seams.ts";
import type { Bus, DurableMessage, Message, StreamSpec } from "./bus.ts";
import {
  checkConsume,
  checkGroup,
  checkMessageId,
  checkSize,
  checkStream,
  checkStreamName,
  thrownNakMs,
} from "./message.ts";
import { createPool } from "./pool.ts";
import { createSharedConsumer, type SharedConsumer } from "./shared_consumer.ts";
import { createStoredStream, type StoredStream } from "./stored_stream.ts";
import { checkPattern, checkSubject, isPattern, matcher, overlap } from "./subject.ts";
import { createSubscriptions } from "./subscriptions.ts";
import { checkScope, waitFor, within } from "./wait.ts";

export interface InProcessBus extends Bus {
  /** Ends as a killed process does: nothing is drained, what it held unacked goes to others after the ack wait. */
  sever(): void;
}

export interface Broker {
  connect(): InProcessBus;
}

export interface BrokerOptions {
  log?: Log;
}

/** A bus of its own for a process that has no other replica beside it. */
export function openInProcessBus(options: { scope: Scope } & BrokerOptions): InProcessBus {
  return createBroker(options.scope, options).connect();
}

/** `scope` is the life of the broker: redelivery runs on its clock. */
export function createBroker(scope: Scope, options: BrokerOptions = {}): Broker {
  const log = options.log ?? silentLog;
  const router = createRouter(scope);
  const streams = new Map<string, KeptStream>();

  const store = (subject: string, data: Uint8Array, id: string | null) => {
    for (const kept of streams.values()) {
      if (!kept.stream.takes(subject)) continue;
      const stored = kept.stream.append(subject, data, id, scope.nowMs());
      if (!stored.duplicate) { for (const consumer of kept.consumers.values()) consumer.wake(); }
      return stored;
    }
    return null;
  };

  const ensure = (spec: StreamSpec) => {
    const action = `Cannot ensure stream ${spec.name}`;
    checkStream(action, spec);
    for (const { stream } of streams.values()) {
      const other = stream.spec();
      const shared = spec.subjects.find((a) => other.subjects.some((b) => overlap(a, b)));
      if (other.name === spec.name || shared === undefined) continue;
      throw new SalarError("bad-input", `${action}: stream ${other.name} also takes ${shared}`);
    }
    const kept = streams.get(spec.name);
    if (kept) kept.stream.update(spec);
    else streams.set(spec.name, { stream: createStoredStream(spec), consumers: new Map() });
  };

  const streamOf = (action: string, name: string): KeptStream => {
    const kept = streams.get(name);
    if (!kept) throw new SalarError("unavailable", `${action}: there is no stream ${name}`);
    return kept;
  };

  return { connect: () => createClient({ scope, log, router, store, ensure, streamOf }) };
}

interface KeptStream {
  stream: StoredStream;
  consumers: Map<string, SharedConsumer>;
}

interface BrokerParts {
  scope: Scope;
  log: Log;
  router: Router;
  store(subject: string, data: Uint8Array, id: string | null): { seq: number; duplicate: boolean } | null;
  ensure(spec: StreamSpec): void;
  streamOf(action: string, name: string): KeptStream;
}

function createClient(broker: BrokerParts): InProcessBus {
  const subscriptions = createSubscriptions();
  let open = true;
  let closing: Promise<void> | null = null;

  const enter = (scope: Scope, action: string) => {
    if (!open) throw new SalarError("closed", `${action}: the bus is closed`);
    checkScope(scope, action);
  };

  return {
    publish: asyncly((scope, subject, data) => {
      const action = `Cannot publish ${subject}`;
      enter(scope, action);
      checkSubject(action, subject);
      checkSize(action, data);
      const copy = data.slice();
      broker.store(subject, copy, null);
      broker.router.send(subject, copy, null);
    }),

    async request(scope, subject, data, options = {}) {
      const action = `Cannot request ${subject}`;
      enter(scope, action);
      checkSubject(action, subject);
      checkSize(action, data);
      return await within(scope, options.deadlineMs ?? BUS_REQUEST_MS, action, (inner) => {
        const answer = new Promise<Uint8Array>((resolve, reject) => {
          if (broker.router.send(subject, data.slice(), resolve) > 0) return;
          reject(new SalarError("unavailable", `${action}: nobody listens`));
        });
        return waitFor(inner, action, answer);
      });
    },

    subscribe: asyncly((scope, pattern, { group }, handler) => {
      const action = `Cannot subscribe ${pattern}`;
      enter(scope, action);
      checkPattern(action, pattern);
      if (group !== undefined) checkGroup(action, group);
      const pool = createPool<Message>(scope, {
        name: `bus ${pattern}`,
        runningMax: BUS_HANDLERS_MAX,
        waitingMax: BUS_WAITING_MAX,
        work: handler,
        dropped: ({ subject }) =>
          broker.log.warn("bus subscription too slow: message dropped", { pattern, subject }),
      });
      const leave = broker.router.add({ pattern, group: group ?? null, deliver: pool.push });
      return subscriptions.keep(scope, pool, asyncly(leave));
    }),

    ensureStreams: asyncly((scope, specs) => {
      enter(scope, "Cannot ensure streams");
      for (const spec of specs) broker.ensure(spec);
    }),

    append: asyncly((scope, subject, data, { id }) => {
      const action = `Cannot append ${subject}`;
      enter(scope, action);
      checkSubject(action, subject);
      checkSize(action, data);
      checkMessageId(action, id);
      const copy = data.slice();
      const stored = broker.store(subject, copy, id);
      if (!stored) throw new SalarError("unavailable", `${action}: no stream takes it`);
      broker.router.send(subject, copy, null);
      return stored;
    }),

    consume: asyncly((scope, options, handler) => {
      const action = `Cannot consume ${options.stream} as ${options.durable}`;
      enter(scope, action);
      checkConsume(action, options);
      const { stream, consumers } = broker.streamOf(action, options.stream);
      const spec = {
        filter: options.filter ?? ">",
        ackWaitMs: options.ackWaitMs ?? BUS_ACK_WAIT_MS,
        inFlightMax: options.inFlightMax ?? BUS_IN_FLIGHT_MAX,
      };
      const known = consumers.get(options.durable);
      known?.update(spec);
      const consumer = known ?? createSharedConsumer(broker.scope, stream, spec, (seq, reason) => {
        broker.log.warn("bus message termed", {
          stream: options.stream,
          durable: options.durable,
          seq,
          reason,
        });
      });
      consumers.set(options.durable, consumer);
      const pool = createPool<DurableMessage>(scope, {
        name: `bus ${options.stream} ${options.durable}`,
        runningMax: spec.inFlightMax,
        waitingMax: spec.inFlightMax,
        async work(message) {
          try {
            await handler(message);
          } catch (error) {
            message.nak(thrownNakMs(message.attempt));
            throw error;
          }
        },
      });
      const leave = consumer.join(pool.push);
      return subscriptions.keep(scope, pool, asyncly(leave));
    }),

    async *replay(scope, name, options = {}) {
      const action = `Cannot replay ${name}`;
      enter(scope, action);
      checkStreamName(action, name);
      if (options.filter !== undefined) checkPattern(action, options.filter);
      const { stream } = broker.streamOf(action, name);
      const takes = matcher(options.filter ?? ">");
      const lastSeq = stream.lastSeq();
      for (let seq = options.fromSeq ?? 1; seq <= lastSeq; seq++) {
        enter(scope, action);
        seq = Math.max(seq, stream.firstSeq(broker.scope.nowMs()));
        const stored = stream.get(seq, broker.scope.nowMs());
        if (stored && seq <= lastSeq && takes(stored.subject)) yield stored;
      }
    },

    state: () => open ? "connected" : "closed",

    close() {
      closing ??= (async () => {
        await subscriptions.drainAll();
        open = false;
      })();
      return closing;
    },

    sever() {
      open = false;
      subscriptions.endAll();
    },
  };
}

/** A synchronous step as the contract's promise: what it throws rejects. */
function asyncly<A extends unknown[], T>(step: (...args: A) => T): (...args: A) => Promise<T> {
  return (...args) => {
    try {
      return Promise.resolve(step(...args));
    } catch (error) {
      return Promise.reject(error);
    }
  };
}

interface Listener {
  pattern: string;
  group: string | null;
  deliver(message: Message): void;
}

interface Router {
  add(listener: Listener): () => void;
  /** Hands a message to every listener without a group and to one of each group; answers how many took it. */
  send(subject: string, data: Uint8Array, answer: ((data: Uint8Array) => void) | null): number;
}

function createRouter(scope: Scope): Router {
  const random = scope.random.fork("bus groups");
  const exact = new Map<string, Set<Listener>>(); // most listeners name one subject: no pattern is tried for them
  const patterns = new Map<Listener, (subject: string) => boolean>();

  const listenersOf = function* (subject: string) {
    yield* exact.get(subject) ?? [];
    for (const [listener, takes] of patterns) if (takes(subject)) yield listener;
  };

  return {
    add(listener) {
      if (isPattern(listener.pattern)) {
        patterns.set(listener, matcher(listener.pattern));
        return () => patterns.delete(listener);
      }
      const same = exact.get(listener.pattern) ?? new Set();
      exact.set(listener.pattern, same.add(listener));
      return () => {
        same.delete(listener);
        if (same.size === 0 && exact.get(listener.pattern) === same) exact.delete(listener.pattern);
      };
    },
    send(subject, data, answer) {
      const chosen: Listener[] = [];
      const groups = new Map<string, Listener[]>();
      for (const listener of listenersOf(subject)) {
        if (listener.group === null) chosen.push(listener);
        else groups.set(listener.group, [...groups.get(listener.group) ?? [], listener]);
      }
      for (const members of groups.values()) {
        const member = members[random.below(members.length)];
        if (member) chosen.push(member);
      }
      const message: Message = {
        subject,
        data,
        respond(reply) {
          checkSize(`Cannot respond to ${subject}`, reply);
          answer?.(reply.slice());
        },
      };
      for (const listener of chosen) listener.deliver(message);
      return chosen.length;
    },
  };
}
