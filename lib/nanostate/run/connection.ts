/**
 * The one connection to a host: opened when it is first needed, and once more after a reboot.
 *
 * K1. At most one session is open. Setting one up is bounded in time, and by the run's gate.
 * K2. Trying again is for hosts that are expected to be away for a while; nothing that ran is run again by it.
 */
import type { AgentSession, Become, WireEvent, WireResult } from "../agent/protocol.ts";
import { RECONNECT_MS, RECONNECT_MS_MAX } from "../limits.ts";
import { HostError, type Transport } from "../transport/transport.ts";
import { causeOf, limited, pause } from "./limit.ts";
import type { Gate } from "./pool.ts";
import type { Target } from "./run.ts";

/** See `agent/session.ts`. */
export type StartAgent = (
  transport: Transport,
  options: { become: Become | null; signal: AbortSignal },
) => Promise<AgentSession>;

interface Means {
  start: StartAgent;
  gate: Gate;
  /** Besides the transport's own time-outs; people who are asked for a password have no longer, either. */
  connectMs: number | null;
  signal: AbortSignal;
  onConnecting: () => void;
  onConnected: () => void;
}

export class Connection {
  #session: AgentSession | null = null;

  constructor(readonly target: Target, readonly means: Means) {}

  get isOpen(): boolean {
    return this.#session !== null;
  }

  /** @throws {HostError} */
  async session(): Promise<AgentSession> {
    return this.#session ?? await this.#keep(this.#open(this.means.connectMs, this.means.signal));
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = null;
    await session?.close();
  }

  /**
   * A new session that `isThere` takes, tried until there is one.
   * @param everyMs between two tries; null for growing pauses @throws {HostError} `timed-out`, `host-key`, `login`
   */
  async reopen(
    isThere: (session: AgentSession) => Promise<boolean>,
    { withinMs, everyMs, connectMs }: { withinMs: number; everyMs: number | null; connectMs: number },
  ): Promise<void> {
    const { name } = this.target;
    const why = `${name} did not come back within ${withinMs / 1000} s`;
    using limit = limited(this.means.signal, withinMs, why);
    for (let waitMs = everyMs ?? RECONNECT_MS;; waitMs = everyMs ?? Math.min(2 * waitMs, RECONNECT_MS_MAX)) {
      await this.close();
      try {
        const session = await this.#keep(this.#open(connectMs, limit.signal));
        if (await isThere(session)) return;
      } catch (error) {
        const cause = causeOf(error, limit.signal);
        if (!isForAWhile(cause)) throw cause;
      }
      await pause(waitMs, limit.signal); // K2: ends with the limit
    }
  }

  async #keep(opening: Promise<AgentSession>): Promise<AgentSession> {
    const session = await opening;
    this.#session = session;
    this.means.onConnected();
    return session;
  }

  async #open(connectMs: number | null, signal: AbortSignal): Promise<AgentSession> {
    const { start, gate, onConnecting } = this.means;
    return await gate.run(async () => {
      onConnecting();
      const { target: { transport, become } } = this;
      const begin = (signal: AbortSignal) =>
        start(transport, { become, signal }).catch((error) => {
          throw causeOf(error, signal);
        });
      if (connectMs === null) return await begin(signal);
      using limit = limited(
        signal,
        connectMs,
        `${transport.address} did not answer within ${connectMs / 1000} s`,
      );
      return await begin(limit.signal);
    });
  }
}

function isForAWhile(error: unknown): boolean {
  return error instanceof HostError && ["refused", "timed-out", "lost", "no-shell"].includes(error.code);
}

/** Of a run of one step, to its end: a run that is left in the middle ends its session. */
export async function lastResult(events: AsyncIterable<WireEvent>): Promise<WireResult | null> {
  let last: WireResult | null = null;
  for await (const event of events) if (event.type === "result") last = event.result;
  return last;
}
