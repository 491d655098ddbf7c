/**
 * What became of the transaction that left a lock: its primary knows.
 *
 * K1. Every lock is asked about, expired or not: its owner may have committed.
 * K2. Nothing is rolled back before its time to live has passed by the cluster's clock, and a primary that is not
 *     there yet counts as rolled back only then.
 * K3. An async commit whose time has passed is settled by all its keys, for it may be committed without its primary
 *     saying so.
 * Sources: client-go txnkv/txnlock/lock_resolver.go; tikv actions/check_txn_status.rs.
 */
import { TikvError } from "./errors.ts";
import { sendToKey } from "./grouping.ts";
import { BUDGET_MS, POINT_CALL_MS } from "./limits.ts";
import { recoverAsyncCommit } from "./locks_async.ts";
import type { Settled } from "./locks_statuses.ts";
import { Action, type LockInfo, Op } from "./messages_kv.ts";
import { Kv } from "./methods.ts";
import type { Operation } from "./operation.ts";
import type { Placement, Regions } from "./rpc.ts";
import { keyErrorOf } from "./transaction_error.ts";
import { remainingMs, TS_MAX } from "./transaction_time.ts";

export type Status =
  /**
   * For ever. `primaryCleared`: asking took the primary's lock away. `toClear`: keys of that transaction that are
   * known to hold locks, beside the one that was met.
   */
  | { kind: "settled"; commitTs: Settled; primaryCleared: boolean; toClear: Uint8Array[] }
  /** `pushed`: it cannot commit below the caller's snapshot any more, so the caller need not wait. */
  | { kind: "alive"; remainingMs: number; pushed: boolean }
  /** Only this pessimistic lock means nothing any more; its transaction may live. */
  | { kind: "void" };

export interface Asker {
  regions: Regions;
  placement: Placement;
  /** The snapshot of a reader, above which the transaction's commit is pushed; zero pushes nothing. */
  callerStartTs: bigint;
  /** Takes every lock as expired: for garbage collection. */
  expireAll: boolean;
}

export async function statusOf(lock: LockInfo, asker: Asker, parent: Operation): Promise<Status> {
  const op = parent.part(`status of transaction ${lock.lockVersion}`, BUDGET_MS.status);
  // A lock without a time to live is the store's word for "resolve it in any case".
  const expireAll = asker.expireAll || lock.lockTtl === 0n;
  const pessimistic = lock.lockType === Op.pessimisticLock;
  let rollbackIfNotExist = false;
  let forceSyncCommit = false;
  for (let waits = 0;;) {
    const recent = waits === 0 ? asker.placement.recent() : await asker.placement.timestamp(op);
    const now = expireAll ? TS_MAX : recent;
    const reply = await sendToKey(asker.regions, lock.primaryLock, Kv.checkTxnStatus, {
      primaryKey: lock.primaryLock,
      lockTs: lock.lockVersion,
      callerStartTs: asker.callerStartTs,
      currentTs: now,
      rollbackIfNotExist,
      forceSyncCommit,
      resolvingPessimisticLock: pessimistic,
      verifyIsPrimary: true,
    }, { op, timeoutMs: POINT_CALL_MS });
    const { error } = reply;

    if (error?.txnNotFound) {
      if (rollbackIfNotExist) throw keyErrorOf(error, op.name);
      const left = remainingMs(lock.lockVersion, lock.lockTtl, now);
      if (left > 0 && pessimistic) return { kind: "alive", remainingMs: left, pushed: false };
      if (left > 0) {
        await op.wait("transactionNotFound", "a primary not written yet", { atMostMs: left });
        waits++;
      } else rollbackIfNotExist = true; // K2
      continue;
    }
    // The primary of a pessimistic transaction can change before it commits: this lock is a leftover.
    if (error?.primaryMismatch && pessimistic) return { kind: "void" };
    if (error?.primaryMismatch) {
      throw new TikvError("corrupt", `${op.name}: its lock names a primary that says it is none`);
    }
    if (error) throw keyErrorOf(error, op.name);

    if (reply.commitVersion > 0n) return settled(reply.commitVersion);
    if (reply.lockTtl === 0n) {
      const { action } = reply;
      if (action === Action.ttlExpirePessimisticRollback || action === Action.lockNotExistDoNothing) {
        return { kind: "void" };
      }
      return settled(0n);
    }

    const left = remainingMs(lock.lockVersion, reply.lockTtl, now);
    const primary = reply.lockInfo;
    if (left > 0 || !primary?.useAsyncCommit || forceSyncCommit) {
      return { kind: "alive", remainingMs: left, pushed: reply.action === Action.minCommitTsPushed };
    }
    const recovery = await recoverAsyncCommit(asker.regions, primary, op); // K3
    if (recovery !== "fell-back") return settledByKeys(recovery, primary);
    forceSyncCommit = true;
  }
}

function settled(commitTs: Settled): Status {
  return { kind: "settled", commitTs, primaryCleared: true, toClear: [] };
}

function settledByKeys(commitTs: Settled, primary: LockInfo): Status {
  const toClear = [primary.primaryLock, ...primary.secondaries];
  return { kind: "settled", commitTs, primaryCleared: false, toClear };
}
