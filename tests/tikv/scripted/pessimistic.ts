/**
 * Pessimistic locks: taken before the commit, waited for, and refused where the waiting would go in a ring.
 *
 * S1. All keys of a request or none.
 * S2. Who waits is woken by the lock's end and told to look again (a conflict), or gives up after its time (locked).
 * Source: tikv src/storage/txn/actions/acquire_pessimistic_lock.rs, src/server/lock_manager/.
 */
import {
  ConflictReason,
  Op,
  type PessimisticLockRequest,
  type PessimisticLockResponse,
} from "../../../lib/tikv/messages_kv.ts";
import { hex } from "../../../lib/tikv/keys.ts";
import type { Decoded, Encodable } from "../../../lib/tikv/protobuf.ts";
import { aborted, conflict, KeyFault, locked } from "./key_fault.ts";
import { type Mvcc, TS_MAX } from "./mvcc.ts";
import { type LockRecord, type Row, versionAt, type WriteRecord } from "./records.ts";

type Request = Decoded<typeof PessimisticLockRequest>;

/** How long a waiter waits that does not say. */
const WAIT_MS = 1_000;

interface Waiter {
  readonly startTs: bigint;
  readonly key: Uint8Array;
  readonly holderTs: bigint;
  /** The commit timestamp with which the holder let go; null when the time is over. */
  end(commitTs: bigint | null): void;
}

export class PessimisticLocks {
  readonly #mvcc: Mvcc;
  readonly #waiters = new Set<Waiter>();

  constructor(mvcc: Mvcc) {
    this.#mvcc = mvcc;
    mvcc.onRelease = (key, startTs, commitTs) => {
      for (const waiter of this.#waiters) {
        if (waiter.holderTs === startTs && hex(waiter.key) === hex(key)) waiter.end(commitTs);
      }
    };
  }

  async acquire(request: Request): Promise<Encodable<typeof PessimisticLockResponse>> {
    try {
      return acquireAll(this.#mvcc, request);
    } catch (error) {
      if (!(error instanceof KeyFault)) throw error;
      const holder = error.keyError.locked;
      if (holder === undefined || holder === null || request.waitTimeout < 0n) {
        return { errors: [error.keyError] };
      }
      const key = holder.key ?? new Uint8Array(0);
      return { errors: [await this.#wait(request, key, holder.lockVersion ?? 0n, error)] };
    }
  }

  /** Lets every waiter go with its lock still held. */
  close(): void {
    for (const waiter of this.#waiters) waiter.end(null);
  }

  async #wait(request: Request, key: Uint8Array, holderTs: bigint, stillLocked: KeyFault) {
    const { startVersion: startTs, primaryLock: primary, waitTimeout } = request;
    if (this.#leadsTo(holderTs, startTs)) {
      return { deadlock: { lockTs: holderTs, lockKey: key, deadlockKeyHash: BigInt(key.length) } };
    }
    const commitTs = await new Promise<bigint | null>((resolve) => {
      const timer = setTimeout(() => waiter.end(null), waitTimeout === 0n ? WAIT_MS : Number(waitTimeout));
      const waiter: Waiter = {
        startTs,
        key,
        holderTs,
        end: (commitTs) => {
          clearTimeout(timer);
          this.#waiters.delete(waiter);
          resolve(commitTs);
        },
      };
      this.#waiters.add(waiter);
    });
    if (commitTs === null) return stillLocked.keyError;
    const write = { startTs: holderTs, commitTs };
    return conflict({ key, startTs, primary, write, reason: ConflictReason.pessimisticRetry }).keyError;
  }

  /** Whether `fromTs` waits, itself or through others, for `toTs`. */
  #leadsTo(fromTs: bigint, toTs: bigint, seen = new Set<bigint>()): boolean {
    if (fromTs === toTs) return true;
    if (seen.has(fromTs)) return false;
    seen.add(fromTs);
    return [...this.#waiters].some(({ startTs, holderTs }) =>
      startTs === fromTs && this.#leadsTo(holderTs, toTs, seen)
    );
  }
}

function acquireAll(mvcc: Mvcc, request: Request): Encodable<typeof PessimisticLockResponse> {
  const staged: { row: Row; lock: LockRecord }[] = [];
  const found: (WriteRecord | null)[] = [];
  for (const { op, key } of request.mutations) {
    if (op !== Op.pessimisticLock) throw aborted(`a pessimistic lock does not know the operation ${op}`);
    const row = mvcc.rows.row(key);
    const value = acquire(mvcc, row, request);
    found.push(value);
    if (!request.lockOnlyIfExists || value !== null) staged.push({ row, lock: lockFor(row, request) });
  }
  for (const { row, lock } of staged) row.lock = lock;
  const { returnValues, checkExistence } = request;
  return {
    values: returnValues ? found.map((each) => each?.value ?? new Uint8Array(0)) : [],
    notFounds: returnValues || checkExistence ? found.map((each) => each === null) : [],
  };
}

/** The value now, or null. Throws when the lock is not to be had. */
function acquire(mvcc: Mvcc, row: Row, request: Request): WriteRecord | null {
  const { startVersion: startTs, forUpdateTs, primaryLock: primary } = request;
  const { key, lock, writes } = row;
  if (request.lockOnlyIfExists && !request.returnValues) throw aborted("LockIfExistsFailed");
  if (request.returnValues || request.checkExistence) mvcc.sawTs(forUpdateTs);
  if (lock !== null && lock.startTs !== startTs) throw locked(key, lock);
  if (lock !== null && lock.kind !== "pessimistic") throw aborted("LockTypeNotMatch");

  const newest = writes[0];
  if (lock === null && newest !== undefined && newest.commitTs > forUpdateTs) {
    throw conflict({ key, startTs, primary, write: newest, reason: ConflictReason.pessimisticRetry });
  }
  const rolledBack = writes.some(({ commitTs, kind, overlappedRollback }) =>
    commitTs === startTs && (kind === "rollback" || overlappedRollback)
  );
  if (lock === null && rolledBack) throw aborted("PessimisticLockRolledBack");
  const value = versionAt(row, lock === null ? TS_MAX : forUpdateTs);
  return value?.kind === "put" ? value : null;
}

function lockFor({ lock }: Row, request: Request): LockRecord {
  const larger = (a: bigint, b: bigint) => a > b ? a : b;
  return {
    startTs: request.startVersion,
    kind: "pessimistic",
    primary: request.primaryLock.slice(),
    value: new Uint8Array(0),
    ttlMs: larger(request.lockTtl, lock?.ttlMs ?? 0n),
    txnSize: 0n,
    forUpdateTs: larger(request.forUpdateTs, lock?.forUpdateTs ?? 0n),
    minCommitTs: larger(request.minCommitTs, lock?.minCommitTs ?? 0n),
    useAsyncCommit: false,
    secondaries: [],
    rolledBackTs: lock?.rolledBackTs ?? [],
  };
}
