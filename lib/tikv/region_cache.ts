/**
 * The regions known so far, by start key. Pure: no I/O, and time is given.
 *
 * C1. Entries never overlap, and there is one per region id.
 * C2. An entry never gives way to an older one: neither of the same id (version or confVer), nor of another id that
 *     it intersects (version, which a split and a merge raise over all that take part).
 * C3. An entry ends when it was not used for its idle time, or not renewed for it if a peer was down; when it is
 *     dropped; or when the store of its leader failed since (`failures`).
 * C4. Once an entry has ended, `dropped` is true and no look-up gives it any more.
 * Source: client-go internal/locate/region_cache.go.
 */
import { compareKeys } from "./keys.ts";
import { REGION_IDLE_JITTER_MS, REGION_IDLE_MS } from "./limits.ts";
import type { Context } from "./messages_kv.ts";
import type { Peer } from "./messages_meta.ts";
import type { Located } from "./rpc.ts";
import type { StoreRecord } from "./stores.ts";

export interface Replica {
  readonly peer: Peer;
  readonly store: StoreRecord;
  /** Made when it is first needed. */
  context: Context | null;
}

export interface RegionFacts extends Located {
  /** Not empty; those that are best left alone come last. */
  readonly replicas: readonly Replica[];
  /** Index into `replicas`. */
  readonly leader: number;
  readonly someDown: boolean;
}

/** A place among the keys: that of `key`, or the one just below it, where an empty key is the end of everything. */
export interface Place {
  readonly key: Uint8Array;
  readonly below: boolean;
}

export class RegionEntry implements Located {
  readonly id: bigint;
  readonly confVer: bigint;
  readonly version: bigint;
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly replicas: readonly Replica[];
  readonly someDown: boolean;
  dropped = false;
  idleAtMs = Infinity;
  #leader = 0;
  #failuresThen = 0;

  constructor(facts: RegionFacts) {
    this.id = facts.id;
    this.confVer = facts.confVer;
    this.version = facts.version;
    this.startKey = facts.startKey;
    this.endKey = facts.endKey;
    this.replicas = facts.replicas;
    this.someDown = facts.someDown;
    this.lead(facts.leader);
  }

  get leader(): number {
    return this.#leader;
  }

  /** The replica at this index of `replicas` leads now. */
  lead(index: number): void {
    this.#leader = index;
    this.#failuresThen = this.replicas[index]?.store.failures ?? 0;
  }

  /** Whether the leader's store failed since it was found to lead. */
  leaderFailed(): boolean {
    return this.replicas[this.#leader]?.store.failures !== this.#failuresThen;
  }
}

/** How many entries each insertion looks at, to find those that nobody asks for any more. */
const SWEPT_AT_ONCE = 4;

export class RegionCache {
  /** By start key. */
  readonly #sorted: RegionEntry[] = [];
  readonly #byId = new Map<bigint, RegionEntry>();
  readonly #random: () => number;
  #swept = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  get size(): number {
    return this.#sorted.length;
  }

  /** The entry that holds this place, unless it has ended. */
  find(place: Place, nowMs: number): RegionEntry | null {
    const entry = this.#sorted[this.gap(place)];
    if (entry === undefined || !reaches(entry, place)) return null;
    if (nowMs >= entry.idleAtMs || entry.leaderFailed()) {
      this.drop(entry);
      return null;
    }
    if (!entry.someDown) entry.idleAtMs = Math.max(entry.idleAtMs, nowMs + REGION_IDLE_MS);
    return entry;
  }

  /** The index of the last entry that starts before the place, -1 for none: two unheld places of one gap share it. */
  gap({ key, below }: Place): number {
    return below && key.length === 0 ? this.#sorted.length - 1 : this.#startsBefore(key, below ? 0 : 1) - 1;
  }

  /** False when C2 forbids it. */
  insert(entry: RegionEntry, nowMs: number): boolean {
    const same = this.#byId.get(entry.id);
    if (same !== undefined && (same.version > entry.version || same.confVer > entry.confVer)) return false;

    let from = this.#startsBefore(entry.startKey, 0);
    const before = this.#sorted[from - 1];
    if (before !== undefined && endsAbove(before, entry.startKey)) from -= 1;
    const to = entry.endKey.length === 0 ? this.#sorted.length : this.#startsBefore(entry.endKey, 0);
    const intersecting = this.#sorted.slice(from, to);
    if (intersecting.some(({ version }) => version > entry.version)) return false;

    for (const old of intersecting) this.#forget(old);
    this.#sorted.splice(from, to - from, entry);
    if (same !== undefined && !same.dropped) this.drop(same); // it lay elsewhere
    this.#byId.set(entry.id, entry);
    entry.idleAtMs = nowMs + REGION_IDLE_MS + this.#random() * REGION_IDLE_JITTER_MS;
    this.#sweep(nowMs);
    return true;
  }

  drop(entry: RegionEntry): void {
    if (entry.dropped) return;
    const at = this.gap({ key: entry.startKey, below: false });
    if (this.#sorted[at] === entry) this.#sorted.splice(at, 1);
    this.#forget(entry);
  }

  /** How many entries start before `key`; with `orAt` 1, how many at it too. */
  #startsBefore(key: Uint8Array, orAt: 0 | 1): number {
    let low = 0;
    let high = this.#sorted.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = compareKeys((this.#sorted[middle] as RegionEntry).startKey, key);
      if (order < orAt) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #forget(entry: RegionEntry): void {
    entry.dropped = true;
    if (this.#byId.get(entry.id) === entry) this.#byId.delete(entry.id);
  }

  #sweep(nowMs: number): void {
    for (let count = 0; count < SWEPT_AT_ONCE; count++) {
      this.#swept = (this.#swept + 1) % this.#sorted.length;
      const entry = this.#sorted[this.#swept];
      if (entry !== undefined && nowMs >= entry.idleAtMs) this.drop(entry);
    }
  }
}

/** Whether an entry that starts before the place ends behind it. */
function reaches(entry: RegionEntry, { key, below }: Place): boolean {
  if (entry.endKey.length === 0) return true;
  if (!below) return compareKeys(key, entry.endKey) < 0;
  return key.length > 0 && compareKeys(key, entry.endKey) <= 0;
}

function endsAbove(entry: RegionEntry, key: Uint8Array): boolean {
  return entry.endKey.length === 0 || compareKeys(entry.endKey, key) > 0;
}
