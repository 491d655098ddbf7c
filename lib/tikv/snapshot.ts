/** What a client's user reads with: one version of the data, as often as wanted. */
import type { Core } from "./client_core.ts";
import { TikvError } from "./errors.ts";
import type { KeyRange, WireRange } from "./keyspace.ts";
import { SCAN_PAGE_PAIRS } from "./limits.ts";
import { SnapshotLocks } from "./snapshot_locks.ts";
import { readMany, readOne, type View } from "./snapshot_read.ts";
import { scanPages } from "./snapshot_scan.ts";
import type { Own } from "./write_buffer.ts";
import { type Entry, mergePages } from "./write_buffer_merge.ts";

export interface ReadOptions {
  signal?: AbortSignal | undefined;
}

export interface ScanOptions extends ReadOptions {
  /** From the end of the range backwards. */
  reverse?: boolean | undefined;
  /** At most this many entries. @default unbounded */
  limit?: number | undefined;
  /** Leaves the values out: they are empty. */
  keysOnly?: boolean | undefined;
  /** How many entries one request asks for. @default 256 */
  pagePairs?: number | undefined;
}

const NONE = new Uint8Array(0);

/**
 * One version of the data. It reads the same at any time, until garbage collection passes it (`too-old`).
 *
 * @example
 * ```ts
 * const snapshot = client.snapshot();
 * show(await snapshot.get(bytes("a"))); // null when there is none
 * for await (const { key, value } of snapshot.scan({ from: bytes("a"), to: bytes("b") })) show(key, value);
 * ```
 */
export class Snapshot {
  /** Of the version; rejects when the timestamp could not be had. */
  readonly version: Promise<bigint>;
  readonly #core: Core;
  #view: View | null = null;

  constructor(core: Core, version: Promise<bigint>) {
    this.#core = core;
    this.version = version;
    version.catch(() => {}); // whoever reads is told; who does not read need not know
  }

  /** Null when there is no such key. The value may be a view into a larger buffer. */
  async get(key: Uint8Array, { signal }: ReadOptions = {}): Promise<Uint8Array | null> {
    const wireKey = this.#core.keyspace.wireKey(key);
    return await readOne(this.#view ?? await this.#open(), wireKey, signal);
  }

  /** In the order of `keys`; null where there is no such key. */
  async getMany(keys: readonly Uint8Array[], { signal }: ReadOptions = {}): Promise<(Uint8Array | null)[]> {
    const wireKeys = keys.map(this.#core.keyspace.wireKey);
    return await readMany(this.#view ?? await this.#open(), wireKeys, signal);
  }

  /** Entries of a range by ascending key. Asks for nothing before the first is wanted, then keeps one page ahead. */
  scan(range: KeyRange = {}, options: ScanOptions = {}): AsyncGenerator<Entry, void> {
    return this.scanOver(this.#core.keyspace.wireRange(range), options, () => []);
  }

  /** A scan with a transaction's own changes laid over; `own` is asked when the scan begins. */
  async *scanOver(
    range: WireRange,
    options: ScanOptions,
    own: (range: WireRange, reverse: boolean) => Own[],
  ): AsyncGenerator<Entry, void> {
    const { reverse = false, keysOnly = false, pagePairs = SCAN_PAGE_PAIRS, signal } = options;
    checkCount("pagePairs", pagePairs);
    if (options.limit !== undefined) checkCount("limit", options.limit);
    let left = options.limit ?? Infinity;
    const mine = own(range, reverse);
    // Each of our deletions may hide one entry that was fetched.
    const limit = left + mine.filter(({ value }) => value === null).length;
    const view = this.#view ?? await this.#open();
    const pages = scanPages(view, range, { reverse, keysOnly, limit, pagePairs, signal });
    const { userKey } = this.#core.keyspace;
    for await (const page of mine.length === 0 ? pages : mergePages(pages, mine, reverse)) {
      for (const { key, value } of page) {
        yield { key: userKey(key), value: keysOnly ? NONE : value };
        if (--left === 0) return;
      }
    }
  }

  async #open(): Promise<View> {
    const { locks } = this.#core;
    const version = await this.version;
    return this.#view ??= { core: this.#core, version, locks: new SnapshotLocks(locks) };
  }
}

function checkCount(name: string, count: number): void {
  if (Number.isInteger(count) && count > 0) return;
  throw new TikvError("invalid", `scan: ${name} must be a positive integer, it is ${count}`);
}
