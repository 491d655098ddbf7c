/**
 * One durable consumer of a stream in memory: hands each message to one of its members until it is acked.
 *
 * C1. At most `inFlightMax` messages are delivered and not settled, over all members; redeliveries come first.
 * C2. A message not settled `ackWaitMs` after its delivery (or its last `working`) goes out again, to any member.
 * C3. An ack counts whichever delivery it comes from; nak, term and working count for the newest delivery only.
 */
import type { Scope } from "../seams.ts";
import type { DurableMessage } from "./bus.ts";
import { matcher } from "./subject.ts";
import type { StoredStream } from "./stored_stream.ts";

export interface ConsumerSpec {
  filter: string;
  ackWaitMs: number;
  inFlightMax: number;
}

export interface SharedConsumer {
  update(spec: ConsumerSpec): void;
  /** Takes part from now on; the answer ends that (what it holds stays in flight). */
  join(deliver: (message: DurableMessage) => void): () => void;
  /** The stream grew. */
  wake(): void;
}

interface InFlight {
  seq: number;
  attempt: number;
  dueMs: number;
}

export function createSharedConsumer(
  scope: Scope,
  stream: StoredStream,
  first: ConsumerSpec,
  termed: (seq: number, reason: string) => void,
): SharedConsumer {
  let spec = first;
  let takes = matcher(first.filter);
  const members: ((message: DurableMessage) => void)[] = [];
  let turn = 0;
  let cursor = 0; // last seq looked at
  const inFlight = new Map<number, InFlight>();
  const sleepers: number[] = []; // when they wake; each earlier than those before it

  const send = (flight: InFlight): boolean => {
    const stored = stream.get(flight.seq, scope.nowMs());
    if (!stored) return false;
    flight.attempt++;
    flight.dueMs = scope.monoMs() + spec.ackWaitMs;
    wakeAt(flight.dueMs);
    const deliver = members[turn++ % members.length];
    deliver?.({ ...stored, ...settlers(flight, flight.attempt) });
    return true;
  };

  const settlers = (flight: InFlight, attempt: number) => {
    let settled = false;
    const once = (settle: () => void) => {
      if (!settled) settle();
      settled = true;
    };
    const newest = () => inFlight.get(flight.seq) === flight && flight.attempt === attempt;
    const forget = () => {
      inFlight.delete(flight.seq);
      pump();
    };
    return {
      attempt,
      ack: () => {
        once(forget);
        return Promise.resolve();
      },
      nak: (delayMs = 0) =>
        once(() => {
          if (!newest()) return;
          flight.dueMs = scope.monoMs() + delayMs;
          wakeAt(flight.dueMs);
        }),
      term: (reason: string) =>
        once(() => {
          if (!newest()) return;
          termed(flight.seq, reason);
          forget();
        }),
      working: () => {
        if (!settled && newest()) flight.dueMs = scope.monoMs() + spec.ackWaitMs;
      },
    };
  };

  const pump = () => {
    if (members.length === 0) return;
    while (inFlight.size < spec.inFlightMax && cursor < stream.lastSeq()) {
      cursor = Math.min(Math.max(cursor + 1, stream.firstSeq(scope.nowMs())), stream.lastSeq());
      const stored = stream.get(cursor, scope.nowMs());
      if (!stored || !takes(stored.subject)) continue;
      const flight = { seq: cursor, attempt: 0, dueMs: 0 };
      inFlight.set(cursor, flight);
      send(flight);
    }
  };

  const redeliver = () => {
    if (members.length === 0) return;
    const nowMs = scope.monoMs();
    let nextMs = Infinity;
    for (const flight of [...inFlight.values()]) {
      if (flight.dueMs <= nowMs && !send(flight)) inFlight.delete(flight.seq);
      else nextMs = Math.min(nextMs, flight.dueMs);
    }
    wakeAt(nextMs);
    pump();
  };

  const wakeAt = (dueMs: number) => {
    if (dueMs === Infinity || dueMs >= (sleepers.at(-1) ?? Infinity)) return;
    sleepers.push(dueMs);
    scope.spawn("bus redelivery", async () => {
      await scope.sleep(Math.max(0, dueMs - scope.monoMs()));
      sleepers.splice(sleepers.indexOf(dueMs), 1);
      redeliver();
    });
  };

  return {
    update(next) {
      spec = next;
      takes = matcher(next.filter);
    },
    join(deliver) {
      members.push(deliver);
      redeliver();
      return () => {
        const at = members.indexOf(deliver);
        if (at >= 0) members.splice(at, 1);
      };
    },
    wake: pump,
  };
}
