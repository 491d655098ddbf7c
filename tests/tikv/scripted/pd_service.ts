/**
 * What a member of the placement driver answers.
 *
 * D1. Members that do not lead answer GetMembers and nothing else; a wrong cluster id is refused.
 * Source: pd server/grpc_service.go, server/gc_service.go.
 */
import { compareKeys, decodeKey, inRange } from "../../../lib/tikv/keys.ts";
import { StoreState } from "../../../lib/tikv/messages_meta.ts";
import { KeyspaceState, PdErrorType } from "../../../lib/tikv/messages_pd.ts";
import type { Pd } from "../../../lib/tikv/methods.ts";
import { Fault, type Outcome, type Request } from "./calls.ts";
import type { Oracle } from "./oracle.ts";
import { covers, metaPeer, metaRegion, type Region, type Topology } from "./topology.ts";

const I64_MAX = 0x7fff_ffff_ffff_ffffn;
const UNAVAILABLE = 14;
const FAILED_PRECONDITION = 9;
const UNKNOWN = 2;

type PdMethod = keyof typeof Pd | "tso";
export type PdHandlers = { [N in PdMethod]: (request: Request<N>) => Outcome<N> };

export interface MemberInfo {
  readonly name: string;
  address: string;
}

/** What all members share. */
export interface PdState {
  clusterId: bigint;
  readonly members: readonly MemberInfo[];
  /** Of the members' URLs. */
  readonly scheme: "http" | "https";
  /** Null: there is no leader at the moment. */
  leader: number | null;
  /** Whether replies about regions leave the leader out, as a new leader of the placement driver does at first. */
  hidesLeaders: boolean;
  gcSafePoint: bigint;
  /** Service → its safe point and when it ends, in epoch milliseconds; null is never. */
  readonly services: Map<string, { safePoint: bigint; endsMs: number | null }>;
  readonly keyspaces: Map<string, { id: number; state: number }>;
}

export interface PdServiceOptions {
  member: number;
  state: PdState;
  topology: Topology;
  oracle: Oracle;
}

export function pdService({ member, state, topology, oracle }: PdServiceOptions): PdHandlers {
  const header = () => ({ clusterId: state.clusterId });
  const failed = (type: number, message: string) => ({ ...header(), error: { type, message } });

  /** D1. */
  function led<Q extends { header: { clusterId: bigint } | null }, A>(execute: (request: Q) => A) {
    return (request: Q): A | Fault => {
      if (state.leader === null) return Fault.status(UNAVAILABLE, "no leader");
      if (state.leader !== member) return Fault.status(UNAVAILABLE, "not leader");
      const asked = request.header?.clusterId ?? 0n;
      if (asked === state.clusterId) return execute(request);
      return Fault.status(
        FAILED_PRECONDITION,
        `mismatch cluster id, need ${state.clusterId} but got ${asked}`,
      );
    };
  }
  const leaderOf = ({ peers, leaderId }: Region) => {
    const leader = state.hidesLeaders ? undefined : peers.find(({ id }) => id === leaderId);
    return leader === undefined ? null : metaPeer(leader);
  };
  const regionReply = (region: Region | undefined) =>
    region === undefined
      ? { header: header() }
      : { header: header(), region: metaRegion(region), leader: leaderOf(region) };
  const regionsFrom = (from: Uint8Array, to: Uint8Array, limit: number) => {
    const found = topology.placed.filter(({ startKey, endKey }) =>
      (endKey.length === 0 || compareKeys(endKey, from) > 0) &&
      (to.length === 0 || compareKeys(startKey, to) < 0)
    );
    return (limit > 0 ? found.slice(0, limit) : found).map((region) => ({
      region: metaRegion(region),
      leader: leaderOf(region),
    }));
  };

  return {
    getMembers() {
      const members = state.members.map(({ name, address }, at) => ({
        name,
        memberId: BigInt(at + 1),
        clientUrls: [`${state.scheme}://${address}`],
      }));
      const leader = state.leader === null ? null : members[state.leader] ?? null;
      return { header: header(), members, leader, etcdLeader: leader };
    },

    tso: led((request: Request<"tso">) => {
      const { physical, logical } = oracle.take(request.count);
      return { header: header(), count: request.count, timestamp: { physical, logical } };
    }),

    // As PD does, which takes any bytes for a key, also those that no raw key has.
    getRegion: led(({ regionKey }: Request<"getRegion">) =>
      regionReply(topology.placed.find((region) => {
        const { startKey, endKey } = metaRegion(region);
        return inRange(regionKey, startKey, endKey);
      }))
    ),

    getPrevRegion: led(({ regionKey }: Request<"getPrevRegion">) => {
      const key = rawKey(regionKey);
      const at = topology.placed.findIndex((region) => covers(region, key));
      return regionReply(topology.placed[at - 1]);
    }),

    getRegionById: led(({ regionId }: Request<"getRegionById">) =>
      regionReply(topology.placed.find(({ id }) => id === regionId))
    ),

    scanRegions: led(({ startKey, endKey, limit }: Request<"scanRegions">) => ({
      header: header(),
      regions: regionsFrom(rawKey(startKey), rawKey(endKey), limit),
    })),

    batchScanRegions: led(({ ranges, limit }: Request<"batchScanRegions">) => ({
      header: header(),
      regions: ranges.flatMap(({ startKey, endKey }) => regionsFrom(rawKey(startKey), rawKey(endKey), limit)),
    })),

    getStore: led(({ storeId }: Request<"getStore">) => {
      const store = topology.stores.get(storeId);
      if (store !== undefined) return { header: header(), store };
      return { header: failed(PdErrorType.unknown, `invalid store ID ${storeId}, not found`) };
    }),

    getAllStores: led(({ excludeTombstone }: Request<"getAllStores">) => ({
      header: header(),
      stores: [...topology.stores.values()].filter((each) =>
        !excludeTombstone || each.state !== StoreState.tombstone
      ),
    })),

    getGcSafePoint: led((_: Request<"getGcSafePoint">) => ({
      header: header(),
      safePoint: state.gcSafePoint,
    })),

    updateGcSafePoint: led(({ safePoint }: Request<"updateGcSafePoint">) => {
      if (safePoint > state.gcSafePoint) state.gcSafePoint = safePoint;
      return { header: header(), newSafePoint: state.gcSafePoint };
    }),

    updateServiceGcSafePoint: led((request: Request<"updateServiceGcSafePoint">) => {
      const nowMs = Date.now();
      const id = new TextDecoder().decode(request.serviceId);
      if (id === "gc_worker" && request.ttl !== I64_MAX) {
        return Fault.status(UNKNOWN, "TTL of gc_worker's service safe point must be infinity");
      }
      if (request.ttl <= 0n) state.services.delete(id);
      else if (request.safePoint >= leastService(state, nowMs).safePoint) {
        const endsMs = request.ttl === I64_MAX ? null : nowMs + Number(request.ttl) * 1_000;
        state.services.set(id, { safePoint: request.safePoint, endsMs });
      }
      const least = leastService(state, nowMs);
      const ttl = least.endsMs === null ? I64_MAX : BigInt(Math.ceil((least.endsMs - nowMs) / 1_000));
      return {
        header: header(),
        serviceId: new TextEncoder().encode(least.id),
        ttl,
        minSafePoint: least.safePoint,
      };
    }),

    splitRegions: led(({ splitKeys }: Request<"splitRegions">) => {
      topology.split(...splitKeys.map(rawKey));
      return { header: header(), finishedPercentage: 100n };
    }),

    loadKeyspace: led(({ name }: Request<"loadKeyspace">) => {
      const found = state.keyspaces.get(name);
      if (found !== undefined) return { header: header(), keyspace: { name, ...found } };
      return { header: failed(PdErrorType.notFound, "keyspace does not exist") };
    }),
  };
}

export function enabledKeyspace(id: number): { id: number; state: number } {
  return { id, state: KeyspaceState.enabled };
}

/** Where no service holds anything, `gc_worker` holds everything. */
function leastService(
  state: PdState,
  nowMs: number,
): { id: string; safePoint: bigint; endsMs: number | null } {
  for (const [id, { endsMs }] of state.services) {
    if (endsMs !== null && endsMs <= nowMs) state.services.delete(id);
  }
  if (state.services.size === 0) state.services.set("gc_worker", { safePoint: 0n, endsMs: null });
  const all = [...state.services].map(([id, each]) => ({ id, ...each }));
  return all.reduce((least, each) => each.safePoint < least.safePoint ? each : least);
}

function rawKey(encoded: Uint8Array): Uint8Array {
  return encoded.length === 0 ? encoded : decodeKey(encoded);
}
