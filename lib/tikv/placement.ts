/**
 * The placement driver (PD) as the rest of the client asks it: where keys live, where stores listen, what time it
 * is, and how far garbage may be collected.
 *
 * Keys given are wire keys; those in regions that come back are still memcomparable-encoded, as PD has them.
 * Source: pingcap/kvproto pdpb.proto, tikv/pd server/grpc_service.go.
 */
import { TikvError } from "./errors.ts";
import { compareKeys, encodeKey, sameKey } from "./keys.ts";
import { BUDGET_MS, CONNECT_MS, KEY_BYTES_MAX, LOW_RESOLUTION_REFRESH_MS } from "./limits.ts";
import { type Store, StoreState } from "./messages_meta.ts";
import { KeyspaceState, PdErrorType, type PdRegion } from "./messages_pd.ts";
import { Pd } from "./methods.ts";
import { Operation } from "./operation.ts";
import { parseAddress } from "./placement_address.ts";
import { Leader, PdRefusal } from "./placement_leader.ts";
import type { Placement, Wire } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";
import { Timestamps } from "./timestamps.ts";

export interface PlacementOptions {
  /** `host:port`, `http://host:port` or `https://host:port`; one that answers is enough. */
  addresses: readonly string[];
  wire: Wire;
  runtime: Runtime;
  /** Whether `wire` speaks TLS. */
  tls?: boolean;
  /** For finding the leader. */
  timeoutMs?: number;
  signal?: AbortSignal | undefined;
}

/** Above every encoded key that a cluster may hold. */
const END_OF_KEYS = new Uint8Array((KEY_BYTES_MAX / 8 + 1) * 9).fill(0xff);

/**
 * Finds the leader and takes a first timestamp. Throws `invalid` (addresses), `unavailable` (after `timeoutMs`),
 * `tls`, `wrong-cluster`, `cancelled`.
 */
export async function connectPlacement(options: PlacementOptions): Promise<Placement> {
  const { wire, runtime, tls = false, timeoutMs = CONNECT_MS } = options;
  const addresses = [...new Set(options.addresses.map((address) => parseAddress(address, { tls })))];
  if (addresses.length === 0) {
    throw new TikvError("invalid", "connect: no address of a placement driver given");
  }

  const op = new Operation({ name: "connect", budgetMs: timeoutMs, runtime, signal: options.signal });
  const life = new AbortController();
  try {
    const leader = await op.until(
      Leader.find({ addresses, tls, wire, runtime, signal: life.signal }, timeoutMs),
    );
    const placement = new PlacementDriver(leader, { wire, runtime, life });
    await placement.timestamp(op);
    return placement;
  } catch (error) {
    life.abort();
    throw error;
  }
}

class PlacementDriver implements Placement {
  readonly clusterId: bigint;
  readonly #leader: Leader;
  readonly #timestamps: Timestamps;
  readonly #runtime: Runtime;
  readonly #life: AbortController;

  constructor(
    leader: Leader,
    { wire, runtime, life }: { wire: Wire; runtime: Runtime; life: AbortController },
  ) {
    this.clusterId = leader.clusterId;
    this.#leader = leader;
    this.#runtime = runtime;
    this.#life = life;
    this.#timestamps = new Timestamps({
      wire,
      runtime,
      clusterId: leader.clusterId,
      leader: () => leader.address,
      signal: life.signal,
    });
    void this.#keepRecent();
  }

  timestamp(op: Operation): Promise<bigint> {
    return this.#leader.follow("timestamp", op, () => op.until(this.#timestamps.next()));
  }

  recent(): bigint {
    return this.#timestamps.last;
  }

  async region(wireKey: Uint8Array, op: Operation): Promise<PdRegion> {
    return await this.#lookUp(Pd.getRegion, encodeKey(wireKey), op);
  }

  async regionBefore(wireKey: Uint8Array, op: Operation): Promise<PdRegion> {
    if (wireKey.length === 0) return await this.#lookUp(Pd.getRegion, END_OF_KEYS, op);
    const key = encodeKey(wireKey);
    const holder = await this.#lookUp(Pd.getRegion, key, op);
    if (holder.region === null || !sameKey(holder.region.startKey, key)) return holder;
    return await this.#lookUp(Pd.getPrevRegion, key, op);
  }

  async regions(from: Uint8Array, to: Uint8Array, limit: number, op: Operation): Promise<PdRegion[]> {
    const startKey = encodeKey(from);
    const endKey = to.length === 0 ? to : encodeKey(to);
    for (;;) {
      const whole = leading(await this.#scan(startKey, endKey, limit, op), startKey);
      if (whole.length > 0) return whole;
      await op.wait("regionMiss", "the placement driver knows no led region there");
    }
  }

  async store(storeId: bigint, op: Operation): Promise<Store> {
    try {
      const { store } = await this.#leader.call(Pd.getStore, { storeId }, op);
      return store ?? gone(storeId);
    } catch (error) {
      const absent = error instanceof PdRefusal &&
        (error.type === PdErrorType.storeTombstone || /not found/i.test(error.message));
      if (absent) return gone(storeId);
      throw error;
    }
  }

  async stores(op: Operation): Promise<Store[]> {
    return (await this.#leader.call(Pd.getAllStores, { excludeTombstone: true }, op)).stores;
  }

  async safePoint(op: Operation): Promise<bigint> {
    return (await this.#leader.call(Pd.getGcSafePoint, {}, op)).safePoint;
  }

  async advanceSafePoint(to: bigint, op: Operation): Promise<bigint> {
    return (await this.#leader.call(Pd.updateGcSafePoint, { safePoint: to }, op)).newSafePoint;
  }

  async holdSafePoint(service: string, at: bigint, ttlSeconds: bigint, op: Operation): Promise<bigint> {
    const serviceId = new TextEncoder().encode(service);
    const request = { serviceId, ttl: ttlSeconds, safePoint: at };
    return (await this.#leader.call(Pd.updateServiceGcSafePoint, request, op)).minSafePoint;
  }

  async keyspace(name: string, op: Operation): Promise<number> {
    const what = `open keyspace ${JSON.stringify(name)}`;
    try {
      const { keyspace } = await this.#leader.call(Pd.loadKeyspace, { name }, op);
      if (keyspace?.state === KeyspaceState.enabled && keyspace.name === name) return keyspace.id;
      throw new TikvError("invalid", `${what}: the placement driver has it not enabled`);
    } catch (error) {
      if (!(error instanceof PdRefusal)) throw error;
      throw new TikvError("invalid", `${what}: ${error.message}`, { cause: error });
    }
  }

  close(): void {
    this.#life.abort(new TikvError("closed", "ask a placement driver: this client is closed"));
  }

  /** Until there is a region with a leader: both may be missing for a while after PD's own leader changed. */
  async #lookUp(
    method: typeof Pd.getRegion | typeof Pd.getPrevRegion,
    regionKey: Uint8Array,
    op: Operation,
  ): Promise<PdRegion> {
    for (;;) {
      const { region, leader, downPeers, pendingPeers } = await this.#regionOr(method, regionKey, op);
      if (region !== null && region.id !== 0n && leader !== null && leader.id !== 0n) {
        return { region, leader, downPeers, pendingPeers };
      }
      await op.wait(
        "regionMiss",
        `the placement driver knows no ${region === null ? "" : "led "}region there`,
      );
    }
  }

  async #regionOr(method: typeof Pd.getRegion, regionKey: Uint8Array, op: Operation): Promise<PdRegion> {
    try {
      return await this.#leader.call(method, { regionKey }, op);
    } catch (error) {
      const absent = error instanceof PdRefusal && error.type === PdErrorType.regionNotFound;
      if (absent) return { region: null, leader: null, downPeers: [], pendingPeers: [] };
      throw error;
    }
  }

  /** The old call is known to every version so far; the new one takes over where it has gone. */
  async #scan(startKey: Uint8Array, endKey: Uint8Array, limit: number, op: Operation): Promise<PdRegion[]> {
    try {
      return (await this.#leader.call(Pd.scanRegions, { startKey, endKey, limit }, op)).regions;
    } catch (error) {
      if (!(error instanceof TikvError && error.code === "unsupported")) throw error;
      const ranges = [{ startKey, endKey }];
      const request = { ranges, limit, containAllKeyRange: true };
      return (await this.#leader.call(Pd.batchScanRegions, request, op)).regions;
    }
  }

  async #keepRecent(): Promise<void> {
    const { signal } = this.#life;
    while (!signal.aborted) {
      await this.#runtime.sleep(LOW_RESOLUTION_REFRESH_MS, signal).catch(() => {}); // an abort ends the loop
      if (signal.aborted || this.#timestamps.ageMs < LOW_RESOLUTION_REFRESH_MS) continue;
      const op = new Operation({
        name: "refresh the recent timestamp",
        budgetMs: BUDGET_MS.timestamp,
        runtime: this.#runtime,
        signal,
      });
      await this.timestamp(op).catch(() => {}); // whoever needs a timestamp is told
    }
  }
}

/** The regions from `startKey` on up to the first gap or leaderless one. */
function leading(regions: readonly PdRegion[], startKey: Uint8Array): PdRegion[] {
  const whole: PdRegion[] = [];
  let next = startKey;
  for (const each of regions) {
    const { region, leader } = each;
    if (region === null || leader === null || leader.id === 0n) break;
    const joins = whole.length === 0
      ? compareKeys(region.startKey, next) <= 0
      : sameKey(region.startKey, next);
    if (!joins) break;
    whole.push(each);
    if (region.endKey.length === 0) break;
    next = region.endKey;
  }
  return whole;
}

function gone(id: bigint): Store {
  return {
    id,
    address: "",
    state: StoreState.tombstone,
    labels: [],
    version: "",
    statusAddress: "",
    nodeState: 0,
  };
}
