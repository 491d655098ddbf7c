/**
 * What a transaction is going to do, in the order of keys, and what its own reads see of it.
 *
 * W1. A key that is to be inserted stays one: put afterwards it is still checked for absence, deleted afterwards it
 *     is only checked.
 * W2. A lock hides nothing from reads, unless it is held already: then they see the value that it protects.
 * W3. Keys and values over the limits are refused when they come, not when they are sent.
 * Values are kept, not copied: they must not change before the commit.
 */
import { TikvError } from "./errors.ts";
import { hex, keyText } from "./keys.ts";
import type { WireRange } from "./keyspace.ts";
import { TRANSACTION_BYTES_MAX, TRANSACTION_KEYS_MAX } from "./limits.ts";
import { Op } from "./messages_kv.ts";

export interface Change {
  readonly key: Uint8Array;
  /** `put`, `delete`, `insert`, `lock` or `checkNotExists`. */
  readonly op: number;
  /** Empty where `op` has none. */
  readonly value: Uint8Array;
  /** The value of the key when its pessimistic lock was taken, null for none; undefined without such a lock. */
  readonly held?: Uint8Array | null;
}

/** What a transaction's own reads see instead of the snapshot; null hides the key. */
export interface Own {
  readonly key: Uint8Array;
  readonly value: Uint8Array | null;
}

const NONE = new Uint8Array(0);

export class WriteBuffer {
  readonly #changes = new Map<string, Change>();
  /** Of all changes, ascending once `#sort` was called: sorting an almost sorted list is cheap. */
  readonly #keys: string[] = [];
  #sorted = true;
  #bytes = 0;

  get size(): number {
    return this.#changes.size;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const text = keyText(key);
    const before = this.#changes.get(text);
    this.#set(text, before, { key, op: isInsert(before) ? Op.insert : Op.put, value }); // W1
  }

  /** Throws `already-exists` where this transaction itself knows better. */
  insert(key: Uint8Array, value: Uint8Array): void {
    const text = keyText(key);
    const before = this.#changes.get(text);
    const own = before === undefined ? undefined : ownValue(before);
    if (own) {
      throw new TikvError(
        "already-exists",
        `insert ${hex(key)}: this transaction put it or holds it already`,
      );
    }
    const absent = own === null && !isInsert(before); // deleted here, or held and known to be absent
    this.#set(text, before, { key, op: absent ? Op.put : Op.insert, value });
  }

  delete(key: Uint8Array): void {
    const text = keyText(key);
    const before = this.#changes.get(text);
    this.#set(text, before, { key, op: isInsert(before) ? Op.checkNotExists : Op.delete, value: NONE }); // W1
  }

  /** Protects a key that is read only. */
  lock(key: Uint8Array): void {
    const text = keyText(key);
    if (!this.#changes.has(text)) this.#set(text, undefined, { key, op: Op.lock, value: NONE });
  }

  /** A pessimistic lock was taken, and found `value`. */
  hold(key: Uint8Array, value: Uint8Array | null): void {
    const text = keyText(key);
    const before = this.#changes.get(text);
    this.#set(text, before, { key, op: before?.op ?? Op.lock, value: before?.value ?? NONE, held: value });
  }

  holds(key: Uint8Array): boolean {
    return this.#changes.get(keyText(key))?.held !== undefined;
  }

  /** Undefined where the snapshot is to be asked. */
  read(key: Uint8Array): Uint8Array | null | undefined {
    const change = this.#changes.get(keyText(key));
    return change === undefined ? undefined : ownValue(change);
  }

  /** What reads of the range see instead of the snapshot, in the order of the scan; later changes do not touch it. */
  range({ from, to }: WireRange, reverse: boolean): Own[] {
    if (this.#changes.size === 0) return [];
    this.#sort();
    const own: Own[] = [];
    const end = to.length === 0 ? this.#keys.length : this.#indexOf(keyText(to));
    for (let at = this.#indexOf(keyText(from)); at < end; at++) {
      const change = this.#at(at);
      const value = ownValue(change);
      if (value !== undefined) own.push({ key: change.key, value });
    }
    return reverse ? own.reverse() : own;
  }

  /** Ascending by key. */
  changes(): Change[] {
    this.#sort();
    return this.#keys.map((_, at) => this.#at(at));
  }

  /** @param text That of the key, which every caller has looked up. */
  #set(text: string, before: Change | undefined, { key, op, value, held = before?.held }: Change): void {
    const keys = this.#changes.size + (before === undefined ? 1 : 0);
    const bytes = this.#bytes + value.length + (before === undefined ? key.length : -before.value.length);
    if (keys > TRANSACTION_KEYS_MAX || bytes > TRANSACTION_BYTES_MAX) {
      throw new TikvError(
        "too-large",
        `change ${hex(key)}: the transaction would have ${keys} keys and ${bytes} bytes, at most ` +
          `${TRANSACTION_KEYS_MAX} and ${TRANSACTION_BYTES_MAX} fit; commit in parts`,
      );
    }
    this.#changes.set(text, held === undefined ? { key, op, value } : { key, op, value, held });
    this.#bytes = bytes;
    if (before !== undefined) return;
    this.#keys.push(text);
    this.#sorted = false;
  }

  #sort(): void {
    if (!this.#sorted) this.#keys.sort(); // strings of one character a byte: by code unit is by byte
    this.#sorted = true;
  }

  #at(index: number): Change {
    return this.#changes.get(this.#keys[index] as string) as Change;
  }

  /** Of the first key that is not below `text`. */
  #indexOf(text: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#keys[middle] as string) < text) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function isInsert(change: Change | undefined): boolean {
  return change?.op === Op.insert || change?.op === Op.checkNotExists;
}

/** W2. */
function ownValue({ op, value, held }: Change): Uint8Array | null | undefined {
  if (op === Op.put || op === Op.insert) return value;
  if (op === Op.lock) return held;
  return null;
}
