/**
 * Keeps the locks of a long transaction alive: readers and writers that meet them ask the primary.
 *
 * Stops by itself when the primary's lock is gone, after HEARTBEAT_FAILURES_MAX failures in a row, and when the
 * transaction is too old to commit.
 * Source: client-go txnkv/transaction `keepAlive`.
 */
import type { Core } from "./client_core.ts";
import { sendToKey } from "./grouping.ts";
import {
  BUDGET_MS,
  HEARTBEAT_EVERY_MS,
  HEARTBEAT_FAILURES_MAX,
  HEARTBEAT_TTL_MS,
  POINT_CALL_MS,
  TRANSACTION_AGE_MS_MAX,
} from "./limits.ts";
import { Kv } from "./methods.ts";

export interface Beating {
  primary: Uint8Array;
  startTs: bigint;
  /** On the runtime's clock. */
  startedAtMs: number;
  firstAfterMs: number;
}

/** @returns Stops it. */
export function startHeartbeat(core: Core, beating: Beating): () => void {
  const stop = new AbortController();
  // A heartbeat that fails tells nobody: whether the lock outlived it shows at the commit.
  beat(core, beating, AbortSignal.any([stop.signal, core.closing])).catch(() => {});
  return () => stop.abort();
}

async function beat(
  core: Core,
  { primary, startTs, startedAtMs, firstAfterMs }: Beating,
  signal: AbortSignal,
) {
  const { runtime, regions } = core;
  await runtime.sleep(firstAfterMs, signal);
  for (let failures = 0; failures < HEARTBEAT_FAILURES_MAX;) {
    const ageMs = runtime.nowMs() - startedAtMs;
    if (ageMs > TRANSACTION_AGE_MS_MAX) return;
    const op = core.operation("heartbeat", BUDGET_MS.status, signal);
    const adviseLockTtl = BigInt(Math.ceil(ageMs) + HEARTBEAT_TTL_MS);
    const request = { primaryLock: primary, startVersion: startTs, adviseLockTtl };
    try {
      const reply = await sendToKey(regions, primary, Kv.txnHeartBeat, request, {
        op,
        timeoutMs: POINT_CALL_MS,
      });
      if (reply.error !== null) return;
      failures = 0;
    } catch (error) {
      if (signal.aborted) throw error;
      failures++;
    }
    await runtime.sleep(HEARTBEAT_EVERY_MS, signal);
  }
}
