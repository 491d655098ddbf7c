/** What a TiKV keeps of every key: at most one lock, and records of writes by commit timestamp, newest first. */
import { compareKeys, inRange } from "../../../lib/tikv/keys.ts";

export interface LockRecord {
  readonly startTs: bigint;
  readonly kind: "put" | "delete" | "lock" | "pessimistic";
  readonly primary: Uint8Array;
  readonly value: Uint8Array;
  readonly ttlMs: bigint;
  readonly txnSize: bigint;
  readonly forUpdateTs: bigint;
  readonly minCommitTs: bigint;
  readonly useAsyncCommit: boolean;
  readonly secondaries: readonly Uint8Array[];
  /** Start timestamps of others that were rolled back here while this lock stood; see `overlappedRollback`. */
  readonly rolledBackTs: readonly bigint[];
}

export interface WriteRecord {
  /** Of a rollback: the start timestamp. */
  readonly commitTs: bigint;
  readonly startTs: bigint;
  readonly kind: "put" | "delete" | "lock" | "rollback";
  readonly value: Uint8Array;
  /** A rollback that a later rollback may not take the place of. */
  readonly isProtected: boolean;
  /** The commit of one transaction at the very timestamp at which another began that was rolled back. */
  readonly overlappedRollback: boolean;
}

export interface Row {
  readonly key: Uint8Array;
  lock: LockRecord | null;
  writes: WriteRecord[];
}

/** What became of a transaction at a key; null: nothing is known. */
export type Record = { committedTs: bigint } | "rolled-back" | null;

export class Rows {
  #rows: Row[] = [];

  /** The row of `key`, which is made when it is not there. */
  row(key: Uint8Array): Row {
    const at = this.#position(key);
    const found = this.#rows[at];
    if (found !== undefined && compareKeys(found.key, key) === 0) return found;
    const made: Row = { key: key.slice(), lock: null, writes: [] };
    this.#rows.splice(at, 0, made);
    return made;
  }

  /** Rows of [from, to), ascending; an empty `to` is unbounded. */
  range(from: Uint8Array, to: Uint8Array): Row[] {
    const start = this.#position(from);
    return this.#rows.slice(start, to.length === 0 ? undefined : Math.max(start, this.#position(to)));
  }

  delete(from: Uint8Array, to: Uint8Array): void {
    this.#rows = this.#rows.filter(({ key }) => !inRange(key, from, to));
  }

  /** Where `key` is, or belongs. */
  #position(key: Uint8Array): number {
    let low = 0;
    let high = this.#rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const row = this.#rows[middle];
      if (row !== undefined && compareKeys(row.key, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

export function recordOf({ writes }: Row, startTs: bigint): Record {
  for (const { startTs: ts, commitTs, kind, overlappedRollback } of writes) {
    if (ts === startTs) return kind === "rollback" ? "rolled-back" : { committedTs: commitTs };
    if (commitTs === startTs && overlappedRollback) return "rolled-back";
  }
  return null;
}

/** The newest record that changed data, at or below `ts`. */
export function versionAt({ writes }: Row, ts: bigint): WriteRecord | null {
  return writes.find(({ commitTs, kind }) => commitTs <= ts && (kind === "put" || kind === "delete")) ?? null;
}

/** Keeps the order; a record at the same timestamp is replaced. */
export function putWrite(row: Row, write: WriteRecord): void {
  const writes = row.writes.filter(({ commitTs }) => commitTs !== write.commitTs);
  const at = writes.findIndex(({ commitTs }) => commitTs < write.commitTs);
  writes.splice(at < 0 ? writes.length : at, 0, write);
  row.writes = writes;
}

/** Leaves a tombstone, so that a prewrite that is still under way finds it. */
export function putRollback(row: Row, startTs: bigint, isProtected: boolean): void {
  const overlapped = row.writes.find(({ commitTs }) => commitTs === startTs);
  if (overlapped === undefined) {
    const kind = "rollback";
    const value = new Uint8Array(0);
    putWrite(row, { commitTs: startTs, startTs, kind, value, isProtected, overlappedRollback: false });
  } else if (isProtected) putWrite(row, { ...overlapped, overlappedRollback: true });
}

/** The last unprotected rollback before `startTs` says nothing that a later one does not. */
export function collapseRollback(row: Row, startTs: bigint): void {
  const last = row.writes.find(({ commitTs }) => commitTs < startTs);
  if (last?.kind === "rollback" && !last.isProtected) {
    row.writes = row.writes.filter((write) => write !== last);
  }
}
