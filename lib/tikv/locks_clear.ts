/**
 * Takes away locks whose transaction is settled. Anybody may do it, any number of times.
 *
 * A transaction with many keys in a region is cleared there as a whole: the store scans for its locks. One with few
 * is cleared key by key, which spares that scan.
 */
import { eachBatch, sendToKey, sortedKeys } from "./grouping.ts";
import { LITE_RESOLVE_KEYS, POINT_CALL_MS, REFUSALS_MAX } from "./limits.ts";
import type { Settled } from "./locks_statuses.ts";
import type { LockInfo } from "./messages_kv.ts";
import { Kv } from "./methods.ts";
import type { Operation } from "./operation.ts";
import type { Regions } from "./rpc.ts";
import { isUnexplained, keyErrorOf } from "./transaction_error.ts";
import { TS_MAX } from "./transaction_time.ts";

/** A transaction, and where locks of it are known to be. */
export interface Leftover {
  startTs: bigint;
  commitTs: Settled;
  keys: Uint8Array[];
  /** Keys that stand for all locks of the transaction in their region. */
  regionsOf: Uint8Array[];
}

export function addLock(leftover: Leftover, lock: LockInfo): void {
  if (lock.txnSize < BigInt(LITE_RESOLVE_KEYS)) leftover.keys.push(lock.key);
  else leftover.regionsOf.push(lock.key);
}

export async function clear(regions: Regions, leftover: Leftover, op: Operation): Promise<void> {
  const { startTs, commitTs, keys, regionsOf } = leftover;
  const head = { startVersion: startTs, commitVersion: commitTs };
  const grouping = { regions, op, keyOf: (key: Uint8Array) => key, bytesOf: (key: Uint8Array) => key.length };
  await eachBatch(sortedKeys(keys), grouping, async ({ region, items, regrouped }, op) => {
    const options = { op, timeoutMs: POINT_CALL_MS };
    const reply = await regions.send(region, Kv.resolveLock, { ...head, keys: items }, options);
    if (reply?.error && isUnexplained(reply.error) && regrouped < REFUSALS_MAX) return false;
    if (reply?.error) throw keyErrorOf(reply.error, op.name);
    return reply !== null;
  });
  let clearedTo: Uint8Array | null = null; // the end of the region that was cleared last
  for (const key of sortedKeys(regionsOf)) {
    const region = await regions.locate(key, op);
    if (clearedTo !== null && region.endKey === clearedTo) continue;
    const reply = await sendToKey(regions, key, Kv.resolveLock, head, { op, timeoutMs: POINT_CALL_MS });
    if (reply.error !== null) throw keyErrorOf(reply.error, op.name);
    clearedTo = region.endKey;
  }
}

/** Takes away pessimistic locks that mean nothing any more; they never hold data. */
export async function clearPessimistic(regions: Regions, lock: LockInfo, op: Operation): Promise<void> {
  const reply = await sendToKey(regions, lock.key, Kv.pessimisticRollback, {
    startVersion: lock.lockVersion,
    forUpdateTs: lock.lockForUpdateTs === 0n ? TS_MAX : lock.lockForUpdateTs,
    keys: [lock.key],
  }, { op, timeoutMs: POINT_CALL_MS });
  const error = reply.errors[0];
  if (error !== undefined) throw keyErrorOf(error, op.name);
}
