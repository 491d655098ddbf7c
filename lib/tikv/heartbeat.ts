/**
 * Keeps the locks of long transactions alive: readers and writers that meet them ask the primary.
 *
 * H1. Nearly every transaction ends before its first heartbeat is due, so none has a timer of its own: one clock looks
 *     through all of them, and stands still while there are none.
 * H2. One stops by itself when the primary's lock is gone, after HEARTBEAT_FAILURES_MAX failures in a row, and when
 *     the transaction is too old to commit.
 * Source: client-go txnkv/transaction `keepAlive`.
 */
import { sendToKey } from "./grouping.ts";
import {
  BUDGET_MS,
  HEARTBEAT_EVERY_MS,
  HEARTBEAT_FAILURES_MAX,
  HEARTBEAT_SWEEP_MS,
  HEARTBEAT_TTL_MS,
  POINT_CALL_MS,
  TRANSACTION_AGE_MS_MAX,
} from "./limits.ts";
import { Kv } from "./methods.ts";
import { Operation } from "./operation.ts";
import type { Regions } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";

export interface Beating {
  primary: Uint8Array;
  startTs: bigint;
  /** On the runtime's clock. */
  startedAtMs: number;
  firstAfterMs: number;
}

interface Beat extends Beating {
  /** Infinity while one is under way. */
  dueAtMs: number;
  failures: number;
}

export interface HeartbeatsOptions {
  regions: Regions;
  runtime: Runtime;
  /** Ends all of them. */
  signal: AbortSignal;
}

export class Heartbeats {
  readonly #with: HeartbeatsOptions;
  readonly #beats = new Set<Beat>();
  #running = false;

  constructor(options: HeartbeatsOptions) {
    this.#with = options;
  }

  /** @returns Stops it. */
  start({ primary, startTs, startedAtMs, firstAfterMs }: Beating): () => void {
    const dueAtMs = this.#with.runtime.nowMs() + firstAfterMs;
    const beat = { primary, startTs, startedAtMs, firstAfterMs, dueAtMs, failures: 0 };
    this.#beats.add(beat);
    if (!this.#running) void this.#run();
    return () => void this.#beats.delete(beat);
  }

  /** H1. */
  async #run(): Promise<void> {
    const { runtime, signal } = this.#with;
    this.#running = true;
    while (this.#beats.size > 0) {
      await runtime.sleep(HEARTBEAT_SWEEP_MS, signal).catch(() => this.#beats.clear());
      const nowMs = runtime.nowMs();
      for (const beat of this.#beats) if (nowMs >= beat.dueAtMs) void this.#send(beat);
    }
    this.#running = false;
  }

  async #send(beat: Beat): Promise<void> {
    const { regions, runtime, signal } = this.#with;
    const { primary, startTs } = beat;
    const ageMs = runtime.nowMs() - beat.startedAtMs;
    if (ageMs > TRANSACTION_AGE_MS_MAX) return void this.#beats.delete(beat);
    beat.dueAtMs = Infinity;
    const op = new Operation({ name: "heartbeat", budgetMs: BUDGET_MS.status, runtime, signal });
    const adviseLockTtl = BigInt(Math.ceil(ageMs) + HEARTBEAT_TTL_MS);
    const request = { primaryLock: primary, startVersion: startTs, adviseLockTtl };
    try {
      const reply = await sendToKey(regions, primary, Kv.txnHeartBeat, request, {
        op,
        timeoutMs: POINT_CALL_MS,
      });
      if (reply.error !== null) this.#beats.delete(beat);
      beat.failures = 0;
    } catch { // it tells nobody: whether the lock outlived it shows at the commit
      if (++beat.failures === HEARTBEAT_FAILURES_MAX) this.#beats.delete(beat);
    }
    beat.dueAtMs = runtime.nowMs() + HEARTBEAT_EVERY_MS;
  }
}
