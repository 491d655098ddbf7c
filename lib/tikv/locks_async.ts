/**
 * What became of an async commit whose owner is gone: it is committed when, and only when, every key was prewritten.
 *
 * Asking a key that holds no lock writes a rollback there, so that the owner's late prewrite fails: the answer stands.
 * Source: client-go txnkv/txnlock `resolveAsyncCommitLock`; tikv commands/check_secondary_locks.rs.
 */
import { TikvError } from "./errors.ts";
import { eachBatch, sortedKeys } from "./grouping.ts";
import { POINT_CALL_MS } from "./limits.ts";
import type { Settled } from "./locks_statuses.ts";
import type { LockInfo } from "./messages_kv.ts";
import { Kv } from "./methods.ts";
import type { Operation } from "./operation.ts";
import type { Regions } from "./rpc.ts";
import { keyErrorOf } from "./transaction_error.ts";

/**
 * @param primary The lock on the primary, which names all other keys.
 * @returns The commit timestamp, zero for a rollback; or that the owner gave async commit up and committed in two
 *   phases.
 */
export async function recoverAsyncCommit(
  regions: Regions,
  primary: LockInfo,
  op: Operation,
): Promise<Settled | "fell-back"> {
  let commitTs = primary.minCommitTs; // the latest lower bound of all keys is the commit timestamp
  let decided: Settled | null = null; // by a key without a lock
  let fellBack = false;
  const grouping = { regions, op, keyOf: (key: Uint8Array) => key, bytesOf: (key: Uint8Array) => key.length };
  await eachBatch(sortedKeys(primary.secondaries), grouping, async ({ region, items }, op) => {
    const request = { keys: items, startVersion: primary.lockVersion };
    const reply = await regions.send(region, Kv.checkSecondaryLocks, request, {
      op,
      timeoutMs: POINT_CALL_MS,
    });
    if (reply === null) return false;
    if (reply.error !== null) throw keyErrorOf(reply.error, op.name);
    for (const lock of reply.locks) {
      if (!lock.useAsyncCommit) fellBack = true;
      if (lock.minCommitTs > commitTs) commitTs = lock.minCommitTs;
    }
    if (reply.locks.length === items.length) return true;
    if (decided !== null && decided !== reply.commitTs) {
      throw new TikvError(
        "corrupt",
        `${op.name}: its keys say it committed at ${decided} and at ${reply.commitTs} (0 is a rollback)`,
      );
    }
    decided = reply.commitTs;
    return true;
  });
  if (fellBack) return "fell-back";
  return decided ?? commitTs;
}
