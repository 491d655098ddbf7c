/**
 * One process's way to the bus: the real in-process broker behind a network that loses, doubles, delays and cuts off.
 *
 * B1. Core messages may be lost, doubled and overtaken; durable ones are kept, but acks and answers may be lost.
 * B2. While it is cut off nothing of it gets there: no message, no answer, no ack, nak or term.
 */
import type { Bus, DurableMessage, Message, Subscription } from "../../lib/bus/bus.ts";
import type { Broker } from "../../lib/bus/in_process.ts";
import { waitFor, within } from "../../lib/bus/wait.ts";
import { SalarError } from "../../lib/errors.ts";
import { BUS_APPEND_MS, BUS_REQUEST_MS } from "../../lib/limits.ts";
import type { Probe, Scope } from "../../lib/seams.ts";
import type { Faults } from "./faults.ts";
import { type Life, never } from "./life.ts";

const LATENCY_MS_MAX = 5;
/** How long a bus that does not answer is waited for. */
const SILENT_MS = 2_000;
/** How far a message may be held up on its way. */
const HELD_MS_MAX = 10_000;

export interface BusWay {
  broker: Broker;
  /** In whose time the broker works. */
  brokerScope: Scope;
  faults: Faults;
  probe: Probe;
}

export function simBus(life: Life, { broker, brokerScope, faults, probe }: BusWay): Bus {
  const { kernel } = life;
  const own = broker.connect(); // its subscriptions die with it
  const wire = broker.connect(); // what it sent is on its way, whatever becomes of it
  life.onKill(() => own.sever());
  const random = life.random.fork("bus");
  const site = (kind: Parameters<Faults["site"]>[0]) => faults.site(kind, `bus.${life.name}`);
  const [isLost, isTwice, isHeld, isUnacked] = [
    site("loss"),
    site("duplicate"),
    site("reorder"),
    site("lost-ack"),
  ];
  const legMs = () => 1 + random.below(isHeld() ? HELD_MS_MAX : LATENCY_MS_MAX);
  /** B2. */
  const passes = () => !life.isDead() && !life.isCut("bus");
  const unavailable = (action: string) => new SalarError("unavailable", `${action}: the bus does not answer`);

  /** Runs `send` where the broker is, and gives back what comes of it; `unavailable` while either way is cut. */
  function there<T>(action: string, send: () => Promise<T>): Promise<T> {
    if (life.isDead()) return never();
    return new Promise((resolve, reject) => {
      const refuse = () =>
        void kernel.after(SILENT_MS, () => life.deliver(() => reject(unavailable(action))));
      const back = (settle: () => void) =>
        void kernel.after(legMs(), () => life.isCut("bus") ? refuse() : life.deliver(settle));
      if (life.isCut("bus")) return refuse();
      kernel.after(legMs(), () => {
        send().then((value) => back(() => resolve(value)), (error) => back(() => reject(error)));
      });
    });
  }

  /** A message that reaches the process, or does not. */
  function arrives<M>(handler: (message: M) => Promise<void>): (message: M) => Promise<void> {
    return (message) => life.isCut("bus") ? Promise.resolve() : life.enter(() => handler(message));
  }

  function heard(subscription: Subscription): Subscription {
    return { drain: () => life.hear(subscription.drain()) };
  }

  return {
    publish(_scope, subject, data) {
      if (life.isDead()) return never();
      const copy = data.slice();
      const send = () => void wire.publish(brokerScope, subject, copy);
      if (!life.isCut("bus") && !isLost()) {
        kernel.after(legMs(), send);
        if (isTwice()) kernel.after(legMs() + 1, send);
      }
      return Promise.resolve(); // at most once: nobody is told
    },

    request(scope, subject, data, { deadlineMs = BUS_REQUEST_MS } = {}) {
      const action = `Cannot request ${subject}`;
      const copy = data.slice();
      const isGone = isLost();
      return within(scope, deadlineMs, action, (limited) => {
        const answer = there(
          action,
          () => isGone ? never<Uint8Array>() : wire.request(brokerScope, subject, copy, { deadlineMs }),
        );
        if (isTwice()) {
          there(action, () => wire.request(brokerScope, subject, copy, { deadlineMs })).catch(() => {});
        }
        return waitFor(limited, action, answer);
      });
    },

    async subscribe(scope, pattern, options, handler) {
      const deliver = arrives((message: Message) =>
        handler({
          ...message,
          respond: (reply) => {
            if (passes()) message.respond(reply);
          },
        })
      );
      return heard(await life.hear(own.subscribe(scope, pattern, options, deliver)));
    },

    ensureStreams: (scope, streams) =>
      there("Cannot ensure streams", () => own.ensureStreams(scope, streams)),

    append(scope, subject, data, options) {
      const action = `Cannot append ${subject}`;
      const copy = data.slice();
      const isUnheard = isUnacked();
      return within(scope, BUS_APPEND_MS, action, (limited) => {
        const stored = there(action, () => wire.append(brokerScope, subject, copy, options));
        if (isUnheard) {
          return waitFor(limited, action, stored.then(() => Promise.reject(unavailable(action))));
        }
        return waitFor(limited, action, stored);
      });
    },

    async consume(scope, options, handler) {
      const deliver = arrives((message: DurableMessage) => {
        probe.sometimes("a durable message comes again", message.attempt > 1);
        return handler({
          ...message,
          ack: () =>
            isUnacked() || life.isCut("bus")
              ? Promise.resolve()
              : there("Cannot ack", () => message.ack()).catch(() => {}),
          nak(delayMs) {
            if (passes()) message.nak(delayMs);
          },
          term(reason) {
            if (passes()) message.term(reason);
          },
          working() {
            if (passes()) message.working();
          },
        });
      });
      return heard(await life.hear(own.consume(scope, options, deliver)));
    },

    replay: (scope, stream, options) => own.replay(scope, stream, options),
    state: () => life.isCut("bus") ? "reconnecting" : own.state(),
    close: () => own.close(),
  };
}
