/**
 * The transactional rules of a TiKV over its rows, in memory and one request at a time.
 *
 * M1. A request either changes rows or throws a KeyFault (or gives errors) and changes none.
 * M2. `maxTs` is the highest timestamp that anybody read at: async and one-phase commits come after it.
 * Source: tikv src/storage/txn/{actions,commands}/*.rs, components/txn_types/src/lock.rs.
 */
import { compareKeys, sameKey } from "../../../lib/tikv/keys.ts";
import {
  Action,
  type CheckSecondaryLocksRequest,
  type CheckSecondaryLocksResponse,
  type CheckTxnStatusRequest,
  type CheckTxnStatusResponse,
  ConflictReason,
  type LockInfo,
  type TxnHeartBeatRequest,
} from "../../../lib/tikv/messages_kv.ts";
import type { Decoded, Encodable } from "../../../lib/tikv/protobuf.ts";
import { aborted, conflict, KeyFault, locked, lockInfo, lockNotFound } from "./key_fault.ts";
import {
  collapseRollback,
  type LockRecord,
  putRollback,
  putWrite,
  recordOf,
  type Row,
  Rows,
  versionAt,
} from "./records.ts";

export const TS_MAX = 0xffff_ffff_ffff_ffffn;
const EMPTY = new Uint8Array(0);

/** Milliseconds of a timestamp. */
export function physical(ts: bigint): bigint {
  return ts >> 18n;
}

export interface ReadOptions {
  version: bigint;
  /** Transactions whose locks do not hide anything from this reader: rolled back, or committed later. */
  resolved?: readonly bigint[];
  /** Transactions whose locks are as good as committed for this reader. */
  committed?: readonly bigint[];
}

export interface Value {
  value: Uint8Array;
  commitTs: bigint;
}

export type Pair = { key: Uint8Array; value: Uint8Array; commitTs: bigint } | { fault: KeyFault };

export class Mvcc {
  readonly rows = new Rows();
  maxTs = 0n;
  /** Called when a lock is gone, with the timestamp at which it was committed, or 0. */
  onRelease: (key: Uint8Array, startTs: bigint, commitTs: bigint) => void = () => {};

  get(key: Uint8Array, options: ReadOptions): Value | null {
    this.sawTs(options.version);
    return read(this.rows.row(key), options);
  }

  /** At most `limit` pairs, locked ones included. */
  scan(
    from: Uint8Array,
    to: Uint8Array,
    options: ReadOptions & { limit: number; reverse: boolean },
  ): Pair[] {
    this.sawTs(options.version);
    const rows = this.rows.range(from, to);
    if (options.reverse) rows.reverse();
    const pairs: Pair[] = [];
    for (const row of rows) {
      if (pairs.length >= options.limit) break;
      try {
        const found = read(row, options);
        if (found !== null) pairs.push({ key: row.key, ...found });
      } catch (error) {
        if (!(error instanceof KeyFault)) throw error;
        pairs.push({ fault: error });
      }
    }
    return pairs;
  }

  /** All of them or none. */
  commit(keys: readonly Uint8Array[], startTs: bigint, commitTs: bigint): void {
    this.#all(keys.map((key) => () => this.#commitKey(key, startTs, commitTs)));
  }

  rollBack(keys: readonly Uint8Array[], startTs: bigint): void {
    this.#all(keys.map((key) => () => this.#cleanUp(key, startTs)));
  }

  resolve(keys: readonly Uint8Array[], startTs: bigint, commitTs: bigint): void {
    if (commitTs === 0n) this.rollBack(keys, startTs);
    else this.commit(keys, startTs, commitTs);
  }

  /** Locks of transactions that began at or before `maxTs`, in [from, to). */
  scanLocks(from: Uint8Array, to: Uint8Array, maxTs: bigint, limit: number): LockInfo[] {
    this.sawTs(maxTs);
    const locks: LockInfo[] = [];
    for (const { key, lock } of this.rows.range(from, to)) {
      if (lock === null || lock.startTs > maxTs) continue;
      locks.push(lockInfo(key, lock));
      if (limit > 0 && locks.length >= limit) break;
    }
    return locks;
  }

  /** The keys in [from, to) that a transaction holds. */
  lockedBy(startTs: bigint, from: Uint8Array, to: Uint8Array): Uint8Array[] {
    return this.rows.range(from, to).filter(({ lock }) => lock?.startTs === startTs).map(({ key }) => key);
  }

  heartBeat({ primaryLock, startVersion, adviseLockTtl }: Decoded<typeof TxnHeartBeatRequest>): bigint {
    const row = this.rows.row(primaryLock);
    if (row.lock?.startTs !== startVersion) throw this.#notFound(startVersion, primaryLock);
    if (row.lock.ttlMs < adviseLockTtl) row.lock = { ...row.lock, ttlMs: adviseLockTtl };
    return row.lock.ttlMs;
  }

  rollBackPessimistic(keys: readonly Uint8Array[], startTs: bigint, forUpdateTs: bigint): void {
    for (const key of keys) {
      const row = this.rows.row(key);
      const { lock } = row;
      const held = lock?.kind === "pessimistic" && lock.startTs === startTs &&
        lock.forUpdateTs <= forUpdateTs;
      if (held) this.release(row, 0n);
    }
  }

  checkTxnStatus(request: Decoded<typeof CheckTxnStatusRequest>): Encodable<typeof CheckTxnStatusResponse> {
    const { primaryKey, lockTs, callerStartTs, currentTs } = request;
    for (const ts of [lockTs, callerStartTs, currentTs]) this.sawTs(ts);
    const row = this.rows.row(primaryKey);
    if (row.lock === null || row.lock.startTs !== lockTs) return this.#statusWithoutLock(row, request);
    return this.#statusOfLock(row, row.lock, request);
  }

  checkSecondaryLocks(
    { keys, startVersion }: Decoded<typeof CheckSecondaryLocksRequest>,
  ): Encodable<typeof CheckSecondaryLocksResponse> {
    this.sawTs(startVersion);
    const locks: LockInfo[] = [];
    for (const key of keys) {
      const row = this.rows.row(key);
      const held = row.lock?.startTs === startVersion ? row.lock : null;
      if (held !== null && held.kind !== "pessimistic") {
        locks.push(lockInfo(key, held));
        continue;
      }
      const record = recordOf(row, startVersion);
      if (held !== null) this.release(row, 0n);
      if (record === null) {
        // Whoever still wants to prewrite this key must find that the decision has fallen.
        this.#markOnLock(row, startVersion);
        putRollback(row, startVersion, true);
        collapseRollback(row, startVersion);
      }
      return { commitTs: record === null || record === "rolled-back" ? 0n : record.committedTs };
    }
    return { locks };
  }

  /** Versions that no snapshot from `safePoint` on can see go. */
  collect(safePoint: bigint): void {
    for (const row of this.rows.range(EMPTY, EMPTY)) {
      const kept = versionAt(row, safePoint);
      row.writes = row.writes.filter((write) =>
        write.commitTs > safePoint || (write === kept && write.kind === "put")
      );
    }
  }

  /** Somebody read at `ts`. The highest of all stands for "now" and is nobody's snapshot. */
  sawTs(ts: bigint): void {
    if (ts !== TS_MAX && ts > this.maxTs) this.maxTs = ts;
  }

  release(row: Row, commitTs: bigint): void {
    const { lock } = row;
    row.lock = null;
    if (lock !== null) this.onRelease(row.key, lock.startTs, commitTs);
  }

  /** Runs `steps`, or takes back what the first ones did when a later one refuses; see M1. */
  #all(steps: (() => void)[]): void {
    const before = new Map<Row, Pick<Row, "lock" | "writes">>();
    const released: [Uint8Array, bigint, bigint][] = [];
    const { onRelease } = this;
    this.#journal = (row) => before.has(row) || before.set(row, { lock: row.lock, writes: row.writes });
    this.onRelease = (...each) => released.push(each);
    try {
      for (const step of steps) step();
    } catch (error) {
      for (const [row, { lock, writes }] of before) Object.assign(row, { lock, writes });
      released.length = 0;
      throw error;
    } finally {
      this.#journal = () => {};
      this.onRelease = onRelease;
      for (const each of released) onRelease(...each);
    }
  }

  #journal: (row: Row) => void = () => {};

  #commitKey(key: Uint8Array, startTs: bigint, commitTs: bigint): void {
    const row = this.rows.row(key);
    this.#journal(row);
    const { lock } = row;
    if (lock === null || lock.startTs !== startTs) {
      const record = recordOf(row, startTs);
      if (record === null || record === "rolled-back") throw lockNotFound(key);
      return; // committed before
    }
    if (commitTs < lock.minCommitTs) {
      const attempt = { startTs, attemptedCommitTs: commitTs, key, minCommitTs: lock.minCommitTs };
      throw new KeyFault({ commitTsExpired: attempt });
    }
    // A pessimistic lock that was never prewritten holds nothing to commit.
    if (lock.kind !== "pessimistic") putCommit(row, lock, commitTs);
    this.release(row, commitTs);
  }

  #cleanUp(key: Uint8Array, startTs: bigint): void {
    const row = this.rows.row(key);
    this.#journal(row);
    if (row.lock?.startTs === startTs) return this.#rollBackLock(row, row.lock);
    const record = recordOf(row, startTs);
    if (record === "rolled-back") return;
    if (record !== null) throw aborted(`Committed at ${record.committedTs}`);
    this.#markOnLock(row, startTs);
    collapseRollback(row, startTs);
    putRollback(row, startTs, false);
  }

  #rollBackLock(row: Row, lock: LockRecord): void {
    if (recordOf(row, lock.startTs) === null) {
      collapseRollback(row, lock.startTs);
      putRollback(row, lock.startTs, sameKey(row.key, lock.primary));
    }
    this.release(row, 0n);
  }

  /** The lock of another transaction remembers the rollback, for it might commit at that very timestamp. */
  #markOnLock(row: Row, startTs: bigint): void {
    if (row.lock === null || row.lock.startTs === startTs) return;
    row.lock = { ...row.lock, rolledBackTs: [...row.lock.rolledBackTs, startTs] };
  }

  #statusWithoutLock(
    row: Row,
    { primaryKey, lockTs, rollbackIfNotExist, resolvingPessimisticLock }: Decoded<
      typeof CheckTxnStatusRequest
    >,
  ): Encodable<typeof CheckTxnStatusResponse> {
    const record = recordOf(row, lockTs);
    if (record === "rolled-back") return { action: Action.none };
    if (record !== null) return { commitVersion: record.committedTs };
    if (!rollbackIfNotExist) throw this.#notFound(lockTs, primaryKey);
    if (resolvingPessimisticLock) return { action: Action.lockNotExistDoNothing };
    this.#markOnLock(row, lockTs);
    putRollback(row, lockTs, true);
    return { action: Action.lockNotExistRollback };
  }

  #statusOfLock(
    row: Row,
    lock: LockRecord,
    request: Decoded<typeof CheckTxnStatusRequest>,
  ): Encodable<typeof CheckTxnStatusResponse> {
    const { callerStartTs, currentTs, forceSyncCommit, resolvingPessimisticLock, verifyIsPrimary } = request;
    if (verifyIsPrimary && !sameKey(row.key, lock.primary)) {
      // A prewritten lock names its primary for good, so a pessimistic lock with another one is a leftover.
      if (resolvingPessimisticLock || lock.kind !== "pessimistic") {
        throw new KeyFault({ primaryMismatch: { lockInfo: lockInfo(row.key, lock) } });
      }
      const status = this.#statusWithoutLock(row, request);
      this.release(row, 0n);
      return status;
    }
    // Nobody but its own client, or a resolver of all its locks, decides an async commit.
    if (lock.useAsyncCommit && !forceSyncCommit) {
      return { lockTtl: lock.ttlMs, lockInfo: lockInfo(row.key, lock) };
    }
    if (physical(lock.startTs) + lock.ttlMs < physical(currentTs)) {
      if (lock.kind === "pessimistic" && resolvingPessimisticLock) {
        this.release(row, 0n);
        return { action: Action.ttlExpirePessimisticRollback };
      }
      this.#rollBackLock(row, lock);
      return { action: Action.ttlExpireRollback };
    }
    let { minCommitTs } = lock;
    if (minCommitTs !== 0n && callerStartTs !== TS_MAX && callerStartTs >= minCommitTs) {
      minCommitTs = callerStartTs + 1n < currentTs ? currentTs : callerStartTs + 1n;
      row.lock = { ...lock, minCommitTs };
    }
    const pushed = callerStartTs === TS_MAX || (callerStartTs !== 0n && minCommitTs > callerStartTs);
    return {
      action: pushed ? Action.minCommitTsPushed : Action.none,
      lockTtl: lock.ttlMs,
      lockInfo: lockInfo(row.key, row.lock ?? lock),
    };
  }

  #notFound(startTs: bigint, primaryKey: Uint8Array): KeyFault {
    return new KeyFault({ txnNotFound: { startTs, primaryKey } });
  }
}

/** Turns a lock into a record of a write. */
export function putCommit(row: Row, lock: LockRecord, commitTs: bigint): void {
  if (lock.kind === "pessimistic") throw new TypeError("a pessimistic lock is never committed");
  const { kind, value, startTs, rolledBackTs } = lock;
  const overlappedRollback = rolledBackTs.includes(commitTs);
  putWrite(row, { commitTs, startTs, kind, value, isProtected: false, overlappedRollback });
}

/** Throws AlreadyExist when the newest data at or below `ts` is a value. */
export function mustNotExist(row: Row, ts: bigint): void {
  if (versionAt(row, ts)?.kind === "put") throw new KeyFault({ alreadyExist: { key: row.key } });
}

/** Refuses what began before the last commit, and what was rolled back here. */
export function mustBeNewest(row: Row, { startTs, primary }: { startTs: bigint; primary: Uint8Array }): void {
  const write = row.writes[0];
  if (write === undefined) return;
  const { key } = row;
  const own = write.commitTs === startTs && (write.kind === "rollback" || write.overlappedRollback);
  if (own) throw conflict({ key, startTs, primary, write, reason: ConflictReason.selfRolledBack });
  if (write.commitTs > startTs) {
    throw conflict({ key, startTs, primary, write, reason: ConflictReason.optimistic });
  }
}

function read(row: Row, { version, resolved = [], committed = [] }: ReadOptions): Value | null {
  const { key, lock } = row;
  if (lock !== null && blocks(key, lock, version) && !resolved.includes(lock.startTs)) {
    if (!committed.includes(lock.startTs)) throw locked(key, lock);
    return lock.kind === "put" ? { value: lock.value, commitTs: 0n } : null;
  }
  const found = versionAt(row, version);
  return found?.kind === "put" ? { value: found.value, commitTs: found.commitTs } : null;
}

/** Whether a reader cannot know what the lock's transaction will have written for it. */
function blocks(key: Uint8Array, lock: LockRecord, version: bigint): boolean {
  if (lock.startTs > version || lock.minCommitTs > version) return false;
  if (lock.kind === "lock" || lock.kind === "pessimistic") return false;
  // Whoever reads the latest value of the primary may as well read the one before this commit.
  return !(version === TS_MAX && compareKeys(key, lock.primary) === 0 && !lock.useAsyncCommit);
}
