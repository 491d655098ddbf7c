/** What a store says of a key, as what the caller may do about it. A lock is no error but a thing to settle first. */
import { TikvError } from "./errors.ts";
import { hex } from "./keys.ts";
import { ConflictReason, type KeyError, type LockInfo, Op } from "./messages_kv.ts";

/** The locks that stand behind a report: a shared lock has one holder or several. */
export function locksOf(lock: LockInfo): LockInfo[] {
  if (lock.lockType !== Op.sharedLock || lock.sharedLockInfos.length === 0) return [lock];
  return lock.sharedLockInfos.map((holder) => ({ ...holder, sharedLockInfos: [] }));
}

/**
 * A refusal that is about no key: the store was busy with its region, say, and told so as an error of a key. It is
 * worth asking again; a lost lock and all else that is final has a field of its own, `retryable` at least.
 */
export function isUnexplained(error: KeyError): boolean {
  const { abort, ...explained } = error;
  return abort !== "" && Object.values(explained).every((field) => field === null || field === "");
}

/** @param action For the message: `prewrite`, `commit of "61"`. */
export function keyErrorOf(error: KeyError, action: string): TikvError {
  // The specific fields first: a conflict and a lost lock fill `retryable` as well.
  if (error.alreadyExist !== null) {
    return new TikvError("already-exists", `${action}: key ${hex(error.alreadyExist.key)} is there already`);
  }
  if (error.conflict !== null) {
    const { key, reason, conflictTs } = error.conflict;
    const what = reason === ConflictReason.selfRolledBack
      ? "another client rolled this transaction back"
      : `transaction ${conflictTs} changed key ${hex(key)} since the snapshot`;
    return new TikvError("conflict", `${action}: ${what}; run the transaction again`);
  }
  if (error.deadlock !== null) {
    const { lockTs, lockKey } = error.deadlock;
    return new TikvError(
      "deadlock",
      `${action}: transaction ${lockTs} holds ${
        hex(lockKey)
      } and waits for this one; run the transaction again`,
    );
  }
  if (error.txnLockNotFound !== null) {
    const key = hex(error.txnLockNotFound.key);
    return new TikvError("conflict", `${action}: the lock on ${key} is gone, another client rolled it back`);
  }
  if (error.locked !== null) {
    return new TikvError("aborted", `${action}: transaction ${error.locked.lockVersion} holds a lock`);
  }
  if (/ApiVersionNotMatched|InvalidKeyMode/.test(error.abort)) {
    return new TikvError(
      "unsupported",
      `${action}: the store's API version is another, with keyspaces or without; check the option "keyspace"`,
    );
  }
  return new TikvError("aborted", `${action}: the store refused: ${textOf(error)}`);
}

function textOf(error: KeyError): string {
  if (error.commitTsExpired !== null) {
    return `commit timestamp ${error.commitTsExpired.attemptedCommitTs} came too late`;
  }
  if (error.commitTsTooLarge !== null) return `commit timestamp ${error.commitTsTooLarge.commitTs} too large`;
  if (error.txnNotFound !== null) return `no transaction ${error.txnNotFound.startTs}`;
  if (error.assertionFailed !== null) return `assertion on ${hex(error.assertionFailed.key)} failed`;
  if (error.primaryMismatch !== null) return "the key is not the primary of its transaction";
  return error.abort || error.retryable || "no reason given";
}
