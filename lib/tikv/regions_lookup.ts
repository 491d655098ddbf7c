/**
 * Where a key lies: from the cache, or from the placement driver.
 *
 * L1. Look-ups of one gap in the cache are shared; a caller who gives up does not end them for the others.
 * L2. What the placement driver says may be older than what stores have said: it is then asked again, after a wait.
 */
import { compareKeys, decodeKey, hex } from "./keys.ts";
import { BUDGET_MS } from "./limits.ts";
import type { Peer, Region } from "./messages_meta.ts";
import type { PdRegion } from "./messages_pd.ts";
import { Operation } from "./operation.ts";
import { type Place, RegionCache, RegionEntry } from "./region_cache.ts";
import type { Placement } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";
import type { Stores } from "./stores.ts";

export interface RegionLookupOptions {
  placement: Placement;
  runtime: Runtime;
  signal: AbortSignal;
}

interface Load {
  readonly place: Place;
  readonly done: Promise<boolean>;
}

export class RegionLookup {
  readonly #options: RegionLookupOptions;
  readonly #stores: Stores;
  readonly #cache: RegionCache;
  readonly #loads = new Set<Load>();

  constructor(options: RegionLookupOptions, stores: Stores) {
    this.#options = options;
    this.#stores = stores;
    this.#cache = new RegionCache(options.runtime.random);
  }

  locate(place: Place, op: Operation): Promise<RegionEntry> {
    const known = this.#find(place);
    return known === null ? this.#ask(place, op) : Promise.resolve(known);
  }

  drop(region: RegionEntry): void {
    this.#cache.drop(region);
  }

  /**
   * Remembers a region that a store reported: that store leads it, most likely. False when it is older than what is
   * known.
   */
  install(region: Region, storeId: bigint): boolean {
    return this.#insert(region, { leads: (peer) => peer.storeId === storeId, weak: [], someDown: false });
  }

  #find(place: Place): RegionEntry | null {
    return this.#cache.find(place, this.#options.runtime.nowMs());
  }

  async #ask(place: Place, op: Operation): Promise<RegionEntry> {
    for (;;) {
      op.throwIfAborted();
      const shared = this.#loadOf(this.#cache.gap(place));
      await op.until((shared ?? this.#load(place)).done);
      const found = this.#find(place);
      if (found !== null) return found;
      // A shared one may have been about another region of the gap; that is no reason to wait.
      if (shared === null) await op.wait("regionMiss", `news of the region of ${hex(place.key)}`);
    }
  }

  #loadOf(gap: number): Load | null {
    for (const load of this.#loads) {
      if (this.#cache.gap(load.place) === gap) return load;
    }
    return null;
  }

  #load(place: Place): Load {
    const { placement, runtime, signal } = this.#options;
    const name = `look up region of ${hex(place.key)}`;
    const op = new Operation({ name, budgetMs: BUDGET_MS.read, runtime, signal });
    const asked = place.below ? placement.regionBefore(place.key, op) : placement.region(place.key, op);
    const done = asked.then((found) => this.#remember(found)).finally(() => this.#loads.delete(load));
    const load: Load = { place, done };
    this.#loads.add(load);
    return load;
  }

  #remember({ region, leader, downPeers, pendingPeers }: PdRegion): boolean {
    if (region === null) return false;
    const down = downPeers.flatMap(({ peer }) => peer === null ? [] : [peer.id]);
    const weak = [...down, ...pendingPeers.map(({ id }) => id)];
    return this.#insert(region, { leads: ({ id }) => id === leader?.id, weak, someDown: down.length > 0 });
  }

  #insert(
    { id, regionEpoch, peers, ...keys }: Region,
    { leads, weak, someDown }: { leads: (peer: Peer) => boolean; weak: readonly bigint[]; someDown: boolean },
  ): boolean {
    const startKey = boundary(keys.startKey);
    const endKey = boundary(keys.endKey);
    const able = peers.filter(({ isWitness }) => !isWitness)
      .sort((a, b) => Number(weak.includes(a.id)) - Number(weak.includes(b.id)));
    const isWhole = endKey.length === 0 || compareKeys(startKey, endKey) < 0;
    if (regionEpoch === null || able.length === 0 || !isWhole) return false;
    const entry = new RegionEntry({
      id,
      confVer: regionEpoch.confVer,
      version: regionEpoch.version,
      startKey,
      endKey,
      replicas: able.map((peer) => ({ peer, store: this.#stores.record(peer.storeId), context: null })),
      leader: Math.max(0, able.findIndex(leads)),
      someDown,
    });
    return this.#cache.insert(entry, this.#options.runtime.nowMs());
  }
}

const UNBOUNDED = new Uint8Array(0);

/** Never a view of the reply that it came in, for it is kept long. */
function boundary(encoded: Uint8Array): Uint8Array {
  return encoded.length === 0 ? UNBOUNDED : decodeKey(encoded);
}
