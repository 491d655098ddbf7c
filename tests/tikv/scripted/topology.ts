/**
 * Regions, their peers and leaders, and the stores that they lie on; and how a store refuses a request that is
 * meant for another.
 *
 * T1. Regions cover all keys, each exactly once. They are replaced when they change, never changed in place.
 * T2. A split or a merge raises the version, a move of a peer the configuration version.
 * Source: tikv components/raftstore/src/store/util.rs (checks), fsm/apply.rs (splits and merges).
 */
import { compareKeys, encodeKey, inRange } from "../../../lib/tikv/keys.ts";
import { Context } from "../../../lib/tikv/messages_kv.ts";
import {
  type Peer,
  type Region as MetaRegion,
  type RegionError,
  StoreState,
} from "../../../lib/tikv/messages_meta.ts";
import type { Decoded, Encodable } from "../../../lib/tikv/protobuf.ts";

export type RegionErrorInit = Encodable<typeof RegionError>;
export type DecodedContext = Decoded<typeof Context>;

export interface RegionPeer {
  readonly id: bigint;
  readonly storeId: bigint;
}

/** Boundaries are raw keys; empty is unbounded. */
export interface Region {
  readonly id: bigint;
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
  readonly confVer: bigint;
  readonly version: bigint;
  readonly peers: readonly RegionPeer[];
  /** Null while nobody was elected. */
  readonly leaderId: bigint | null;
}

export interface StoreInfo {
  readonly id: bigint;
  address: string;
  state: number;
  labels: { key: string; value: string }[];
  /** Whether its process runs. */
  isUp: boolean;
}

const EMPTY = new Uint8Array(0);

export class Topology {
  readonly stores = new Map<bigint, StoreInfo>();
  #regions: Region[] = [];
  #frozen: readonly Region[] | null = null;
  #lastId = 1_000n;

  /** One region with a peer on every store, led by the first. */
  constructor(storeIds: readonly bigint[]) {
    for (const id of storeIds) {
      this.stores.set(id, { id, address: "", state: StoreState.up, labels: [], isUp: true });
    }
    const peers = storeIds.map((storeId) => ({ id: this.#newId(), storeId }));
    const leaderId = peers[0]?.id ?? null;
    const id = this.#newId();
    this.#regions = [{ id, startKey: EMPTY, endKey: EMPTY, confVer: 1n, version: 1n, peers, leaderId }];
  }

  get regions(): readonly Region[] {
    return this.#regions;
  }

  /** As the placement driver knows them. */
  get placed(): readonly Region[] {
    return this.#frozen ?? this.#regions;
  }

  /** The placement driver hears of no change until it thaws. */
  freezePlacement(): void {
    this.#frozen = [...this.#regions];
  }

  thawPlacement(): void {
    this.#frozen = null;
  }

  regionOf(key: Uint8Array): Region {
    const found = this.#regions.find((region) => covers(region, key));
    if (found === undefined) throw new Error("regions do not cover all keys");
    return found;
  }

  regionById(id: bigint): Region | undefined {
    return this.#regions.find((region) => region.id === id);
  }

  /** Cuts the region of each key there. The part on the right keeps the id, as in TiKV. */
  split(...keys: Uint8Array[]): void {
    for (const key of keys) {
      const region = this.regionOf(key);
      if (compareKeys(region.startKey, key) === 0) continue;
      const version = region.version + 1n;
      const peers = region.peers.map(({ storeId }) => ({ id: this.#newId(), storeId }));
      const leaderAt = region.peers.findIndex(({ id }) => id === region.leaderId);
      const leaderId = peers[leaderAt]?.id ?? null;
      const left: Region = { ...region, id: this.#newId(), endKey: key, version, peers, leaderId };
      this.#replace([region], [left, { ...region, startKey: key, version }]);
    }
  }

  /** The region of `key` takes in the one to its right. */
  merge(key: Uint8Array): void {
    const left = this.regionOf(key);
    const right = this.#regions[this.#regions.indexOf(left) + 1];
    if (right === undefined) throw new Error("merge: there is no region to the right");
    const version = (left.version > right.version ? left.version : right.version) + 1n;
    this.#replace([left, right], [{ ...left, endKey: right.endKey, version }]);
  }

  /** To the peer on `storeId`, or to nobody. */
  transferLeader(key: Uint8Array, storeId: bigint | null): void {
    const region = this.regionOf(key);
    const peer = region.peers.find((each) => each.storeId === storeId);
    if (storeId !== null && peer === undefined) {
      throw new Error(`transfer leader: no peer on store ${storeId}`);
    }
    this.#replace([region], [{ ...region, leaderId: peer?.id ?? null }]);
  }

  /** The peer on store `from` gives way to a new one on store `to`. */
  movePeer(key: Uint8Array, from: bigint, to: bigint): void {
    const region = this.regionOf(key);
    const added = { id: this.#newId(), storeId: to };
    const peers = region.peers.map((peer) => peer.storeId === from ? added : peer);
    const wasLeader = region.peers.some(({ id, storeId }) => storeId === from && id === region.leaderId);
    const leaderId = wasLeader ? added.id : region.leaderId;
    // One change adds the peer, one removes the other.
    this.#replace([region], [{ ...region, peers, leaderId, confVer: region.confVer + 2n }]);
  }

  leaderStore(key: Uint8Array): bigint | null {
    const { peers, leaderId } = this.regionOf(key);
    return peers.find(({ id }) => id === leaderId)?.storeId ?? null;
  }

  /** Null when `storeId` may serve this request to `keys`. */
  check(storeId: bigint, context: DecodedContext, keys: readonly Uint8Array[]): RegionErrorInit | null {
    const asked = context.peer?.storeId ?? 0n;
    if (asked !== storeId) {
      return { message: "store not match", storeNotMatch: { requestStoreId: asked, actualStoreId: storeId } };
    }
    const { regionId } = context;
    const region = this.regionById(regionId);
    const peer = region?.peers.find((each) => each.storeId === storeId);
    if (region === undefined || peer === undefined) {
      return { message: `region ${regionId} not found`, regionNotFound: { regionId } };
    }
    if (peer.id !== region.leaderId && !context.replicaRead) return this.#notLeader(region, storeId);
    if (peer.id !== context.peer?.id) {
      const ids = { requestPeerId: context.peer?.id ?? 0n, storePeerId: peer.id };
      return { message: "mismatch peer id", mismatchPeerId: ids };
    }
    const { confVer = 0n, version = 0n } = context.regionEpoch ?? {};
    if (confVer !== region.confVer || version !== region.version) {
      const next = this.#regions[this.#regions.indexOf(region) + 1];
      const previous = this.#regions[this.#regions.indexOf(region) - 1];
      const near = [region, previous, next].filter((each) => each !== undefined);
      return { message: "epoch not match", epochNotMatch: { currentRegions: near.map(metaRegion) } };
    }
    const outside = keys.find((key) => !covers(region, key));
    if (outside === undefined) return null;
    const { startKey, endKey } = metaRegion(region);
    return { message: "key not in region", keyNotInRegion: { key: outside, regionId, startKey, endKey } };
  }

  #notLeader(region: Region, storeId: bigint): RegionErrorInit {
    const leader = region.peers.find(({ id }) => id === region.leaderId);
    const alive = leader !== undefined && this.stores.get(leader.storeId)?.isUp === true;
    if (leader !== undefined && !alive) {
      // A follower that is asked wakes up and is elected; nobody else notices that the leader is gone.
      const own = region.peers.find((peer) => peer.storeId === storeId);
      this.#replace([region], [{ ...region, leaderId: own?.id ?? null }]);
    }
    const message = `peer is not leader for region ${region.id}`;
    return { message, notLeader: { regionId: region.id, leader: alive ? metaPeer(leader) : null } };
  }

  #replace(before: readonly Region[], after: readonly Region[]): void {
    const at = this.#regions.findIndex((region) => region === before[0]);
    this.#regions = this.#regions.toSpliced(at, before.length, ...after);
  }

  #newId(): bigint {
    return ++this.#lastId;
  }
}

export function covers({ startKey, endKey }: Region, key: Uint8Array): boolean {
  return inRange(key, startKey, endKey);
}

/** As the wire has it: boundaries memcomparable. */
export function metaRegion({ id, startKey, endKey, confVer, version, peers }: Region): MetaRegion {
  return {
    id,
    startKey: startKey.length === 0 ? EMPTY : encodeKey(startKey),
    endKey: endKey.length === 0 ? EMPTY : encodeKey(endKey),
    regionEpoch: { confVer, version },
    peers: peers.map(metaPeer),
  };
}

export function metaPeer({ id, storeId }: RegionPeer): Peer {
  return { id, storeId, role: 0, isWitness: false };
}

/** The context with which a client that knows everything would send to the leader of `key`'s region. */
export function contextFor(topology: Topology, key: Uint8Array): Context & { peer: Peer } {
  const region = topology.regionOf(key);
  const leader = region.peers.find(({ id }) => id === region.leaderId) ?? region.peers[0];
  if (leader === undefined) throw new Error("a region without peers");
  const { confVer, version } = region;
  return { regionId: region.id, regionEpoch: { confVer, version }, peer: metaPeer(leader) };
}
