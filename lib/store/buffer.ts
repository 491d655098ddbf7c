/**
 * What a transaction means to write, until its commit: shared by every adapter.
 *
 * B1. Limits are met when `put`, `delete` or `lock` is called, not when it is too late to tell which key it was.
 * B2. A transaction reads its own writes: `overlay()` lays them over a page of the snapshot.
 * B3. Size is that of the final writes, key and value bytes: a key that is written twice counts once.
 */
import { SalarError } from "../errors.ts";
import { STORE_TX_BYTES_MAX, STORE_TX_WRITES_MAX, STORE_VALUE_BYTES_MAX } from "../limits.ts";
import { checkKey, compareKeys } from "./keys.ts";
import type { Entry, Range, ScanOptions } from "./store.ts";

export class WriteBuffer {
  /** The value to put, or null to delete, by key. */
  readonly writes = new Map<string, Uint8Array | null>();
  readonly locks = new Set<string>();
  #bytes = 0;

  isEmpty(): boolean {
    return this.writes.size + this.locks.size === 0;
  }

  put(key: string, value: Uint8Array): void {
    const keyBytes = checkKey(key);
    if (value.length > STORE_VALUE_BYTES_MAX) {
      throw new SalarError(
        "too-large",
        `Cannot put key ${key}: value has ${value.length} bytes, at most ${STORE_VALUE_BYTES_MAX}`,
      );
    }
    this.#set(key, keyBytes, value.slice()); // a copy, since the caller may reuse its buffer before the commit
  }

  delete(key: string): void {
    this.#set(key, checkKey(key), null);
  }

  lock(key: string): void {
    checkKey(key);
    if (!this.locks.has(key)) this.#checkCount(key);
    this.locks.add(key);
  }

  /** What this transaction wrote to `key`: undefined when nothing, null when it was deleted. */
  get(key: string): Uint8Array | null | undefined {
    const value = this.writes.get(key);
    return value instanceof Uint8Array ? value.slice() : value;
  }

  /** How many entries of the snapshot own writes may hide or push out: fetch that many more than the limit. */
  countIn(range: Range): number {
    return this.writes.size === 0 ? 0 : this.#within(range).length;
  }

  /** `page`, entries of the snapshot in scan order, with own writes laid over; at most `limit`. */
  overlay(page: Entry[], range: Range, { limit, reverse = false }: ScanOptions): Entry[] {
    const own = this.writes.size === 0 ? [] : this.#within(range);
    if (own.length === 0) return page.length > limit ? page.slice(0, limit) : page;
    const order = reverse ? (a: string, b: string) => compareKeys(b, a) : compareKeys;
    own.sort((a, b) => order(a, b));

    const merged: Entry[] = [];
    let i = 0;
    for (const key of own) {
      for (; i < page.length; i++) {
        const entry = page[i] as Entry;
        if (order(entry.key, key) >= 0) break;
        merged.push(entry);
      }
      if (page[i]?.key === key) i++;
      const value = this.get(key);
      if (value instanceof Uint8Array) merged.push({ key, value });
    }
    return merged.concat(page.slice(i)).slice(0, limit);
  }

  #within({ from, to }: Range): string[] {
    return [...this.writes.keys()].filter((key) => compareKeys(key, from) >= 0 && compareKeys(key, to) < 0);
  }

  #set(key: string, keyBytes: number, value: Uint8Array | null): void {
    const before = this.writes.get(key);
    const freed = before === undefined ? 0 : keyBytes + (before?.length ?? 0);
    const bytes = this.#bytes - freed + keyBytes + (value?.length ?? 0);
    if (bytes > STORE_TX_BYTES_MAX) {
      throw new SalarError(
        "too-large",
        `Cannot write key ${key}: transaction would have ${bytes} bytes, at most ${STORE_TX_BYTES_MAX}`,
      );
    }
    if (before === undefined) this.#checkCount(key);
    this.#bytes = bytes;
    this.writes.set(key, value);
  }

  #checkCount(key: string): void {
    if (this.writes.size + this.locks.size < STORE_TX_WRITES_MAX) return;
    throw new SalarError(
      "too-large",
      `Cannot write or lock key ${key}: transaction has ${STORE_TX_WRITES_MAX} writes and locks already`,
    );
  }
}
