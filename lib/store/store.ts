/**
 * The Store: ordered keys, snapshot reads, transactions that retry on conflict. All durable state lives here.
 *
 * Keys are readable paths, strings of UTF-8 without NUL, ordered by their bytes; values are bytes.
 * T1. `read` sees one snapshot. `write` sees one snapshot plus its own writes and commits all or nothing.
 * T2. A commit fails when another transaction, committed after the snapshot, changed a key that this one wrote or
 *     locked, or locked a key that this one wrote;
 *     `write` then runs `fn` again on a fresh snapshot, at most STORE_TX_ATTEMPTS_MAX times, then `conflict`.
 * T3. Snapshot isolation only: a decision from a key that is merely read is safe only when that key is locked.
 *     Ranges cannot be locked: who adds to a range locks a marker key, who decides from the range writes that key
 *     (or the other way round), so that the two meet.
 * T4. With a `token`, a transaction that committed once is never applied again: `write` returns the first result
 *     (as JSON) instead. It settles a commit whose answer was lost, a redelivered event, a repeated HTTP call.
 * T5. `fn` may run several times and must do nothing but use the transaction it is given.
 * Errors: `conflict`, `too-large`, `unavailable`, `outcome-unknown` (no token given), `cancelled`, `closed`.
 * Shape after denokv's and FoundationDB's clients. Every adapter passes `store_suite.ts`.
 */
import type { Scope } from "../seams.ts";

export interface Entry {
  key: string;
  value: Uint8Array;
}

/** Keys from `from` (inclusive) to `to` (exclusive), by bytes. `prefixRange()` makes one of a prefix. */
export interface Range {
  from: string;
  to: string;
}

export interface ScanOptions {
  /** At most this many entries, 1 … STORE_SCAN_LIMIT_MAX. */
  limit: number;
  /** From the end of the range backwards. */
  reverse?: boolean;
  /** Continue after this key (before it, when reverse): the last key of the page before. */
  after?: string | undefined;
}

export interface Read {
  /** Null when there is no such key. */
  get(key: string): Promise<Uint8Array | null>;
  /** In the order of `keys`; null where there is no such key. One round trip where the adapter can. */
  getMany(keys: readonly string[]): Promise<(Uint8Array | null)[]>;
  /** In key order; fewer than `limit` entries means the end of the range was reached. */
  scan(range: Range, options: ScanOptions): Promise<Entry[]>;
}

export interface Write extends Read {
  put(key: string, value: Uint8Array): void;
  delete(key: string): void;
  /**
   * Makes this transaction and one that changes `key` meet, though this one does not write it: whichever commits
   * second runs again. Two that only lock `key` need not meet, so a lock that many take is no bottleneck.
   */
  lock(key: string): void;
}

export interface WriteOptions {
  /** Unique name of this change, at most 128 characters; see T4. The result must then be JSON. */
  token?: string;
}

export interface Store {
  read<T>(scope: Scope, fn: (tx: Read) => Promise<T>): Promise<T>;
  write<T>(scope: Scope, fn: (tx: Write) => Promise<T>, options?: WriteOptions): Promise<T>;
  /** Forgets tokens older than STORE_TOKEN_KEEP_MS, a bounded number per call; returns how many. */
  sweepTokens(scope: Scope): Promise<number>;
  /** Rejects with `unavailable` when the store cannot serve reads now. */
  check(scope: Scope): Promise<void>;
  /** Waits for running transactions (bounded), then refuses with `closed`. Safe to call twice. */
  close(): Promise<void>;
}

/** The range of all keys that begin with `prefix`, which must end with "/" or another character below U+007F. */
export function prefixRange(prefix: string): Range {
  const last = prefix.charCodeAt(prefix.length - 1);
  return { from: prefix, to: prefix.slice(0, -1) + String.fromCharCode(last + 1) };
}
