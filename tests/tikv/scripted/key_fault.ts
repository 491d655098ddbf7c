/** Refusals of a key, in the words of `kvrpcpb.KeyError`. */
import { KeyError, type LockInfo, Op } from "../../../lib/tikv/messages_kv.ts";
import type { Encodable } from "../../../lib/tikv/protobuf.ts";
import type { LockRecord, WriteRecord } from "./records.ts";

export type KeyErrorInit = Encodable<typeof KeyError>;

export class KeyFault extends Error {
  override readonly name = "KeyFault";
  readonly keyError: KeyErrorInit;

  constructor(keyError: KeyErrorInit) {
    super(Object.keys(keyError).join(", "));
    this.keyError = keyError;
  }
}

const LOCK_OPS = {
  put: Op.put,
  delete: Op.delete,
  lock: Op.lock,
  pessimistic: Op.pessimisticLock,
} as const;

export function lockInfo(key: Uint8Array, lock: LockRecord): LockInfo {
  return {
    primaryLock: lock.primary,
    lockVersion: lock.startTs,
    key,
    lockTtl: lock.ttlMs,
    txnSize: lock.txnSize,
    lockType: LOCK_OPS[lock.kind],
    lockForUpdateTs: lock.forUpdateTs,
    useAsyncCommit: lock.useAsyncCommit,
    minCommitTs: lock.minCommitTs,
    secondaries: [...lock.secondaries],
    sharedLockInfos: [],
  };
}

export function locked(key: Uint8Array, lock: LockRecord): KeyFault {
  return new KeyFault({ locked: lockInfo(key, lock) });
}

/** As TiKV does, also for old clients that only know `retryable`. */
export function conflict(
  { key, startTs, primary, write, reason }: {
    key: Uint8Array;
    startTs: bigint;
    primary: Uint8Array;
    write: Pick<WriteRecord, "startTs" | "commitTs">;
    reason: number;
  },
): KeyFault {
  const conflict = {
    startTs,
    conflictTs: write.startTs,
    conflictCommitTs: write.commitTs,
    key,
    primary,
    reason,
  };
  return new KeyFault({ conflict, retryable: "WriteConflict" });
}

export function lockNotFound(key: Uint8Array): KeyFault {
  return new KeyFault({ retryable: "TxnLockNotFound", txnLockNotFound: { key } });
}

export function aborted(text: string): KeyFault {
  return new KeyFault({ abort: text });
}
