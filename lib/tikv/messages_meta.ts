/** `metapb` and `errorpb`: what regions, peers and stores are, and how a region refuses. Source: pingcap/kvproto. */
import { bool, bytes, type Decoded, i32, message, repeated, string, u32, u64 } from "./protobuf.ts";

export const PeerRole = { voter: 0, learner: 1, incomingVoter: 2, demotingVoter: 3 } as const;
export const StoreState = { up: 0, offline: 1, tombstone: 2 } as const;

export const Peer = message("metapb.Peer", {
  id: [1, u64],
  storeId: [2, u64],
  role: [3, i32],
  isWitness: [4, bool],
});
export type Peer = Decoded<typeof Peer>;

export const RegionEpoch = message("metapb.RegionEpoch", { confVer: [1, u64], version: [2, u64] });
export type RegionEpoch = Decoded<typeof RegionEpoch>;

/** `startKey` and `endKey` are memcomparable-encoded; an empty one is unbounded. */
export const Region = message("metapb.Region", {
  id: [1, u64],
  startKey: [2, bytes],
  endKey: [3, bytes],
  regionEpoch: [4, RegionEpoch],
  peers: [5, repeated(Peer)],
});
export type Region = Decoded<typeof Region>;

export const StoreLabel = message("metapb.StoreLabel", { key: [1, string], value: [2, string] });

export const Store = message("metapb.Store", {
  id: [1, u64],
  address: [2, string],
  state: [3, i32],
  labels: [4, repeated(StoreLabel)],
  version: [5, string],
  statusAddress: [7, string],
  nodeState: [13, i32],
});
export type Store = Decoded<typeof Store>;

const NotLeader = message("errorpb.NotLeader", { regionId: [1, u64], leader: [2, Peer] });
const RegionNotFound = message("errorpb.RegionNotFound", { regionId: [1, u64] });
const KeyNotInRegion = message("errorpb.KeyNotInRegion", {
  key: [1, bytes],
  regionId: [2, u64],
  startKey: [3, bytes],
  endKey: [4, bytes],
});
const EpochNotMatch = message("errorpb.EpochNotMatch", { currentRegions: [1, repeated(Region)] });
const ServerIsBusy = message("errorpb.ServerIsBusy", {
  reason: [1, string],
  backoffMs: [2, u64],
  estimatedWaitMs: [3, u32],
});
const StoreNotMatch = message("errorpb.StoreNotMatch", { requestStoreId: [1, u64], actualStoreId: [2, u64] });
const RaftEntryTooLarge = message("errorpb.RaftEntryTooLarge", { regionId: [1, u64], entrySize: [2, u64] });
const DiskFull = message("errorpb.DiskFull", { storeId: [1, repeated(u64)], reason: [2, string] });
const MismatchPeerId = message("errorpb.MismatchPeerId", {
  requestPeerId: [1, u64],
  storePeerId: [2, u64],
});
/** A kind of region error that says nothing more than its name. */
const Bare = message("errorpb", {});

/** At most one of the kinds is there; `message` alone is an error of no kind. */
export const RegionError = message("errorpb.Error", {
  message: [1, string],
  notLeader: [2, NotLeader],
  regionNotFound: [3, RegionNotFound],
  keyNotInRegion: [4, KeyNotInRegion],
  epochNotMatch: [5, EpochNotMatch],
  serverIsBusy: [6, ServerIsBusy],
  staleCommand: [7, Bare],
  storeNotMatch: [8, StoreNotMatch],
  raftEntryTooLarge: [9, RaftEntryTooLarge],
  maxTimestampNotSynced: [10, Bare],
  readIndexNotReady: [11, Bare],
  proposalInMergingMode: [12, Bare],
  dataIsNotReady: [13, Bare],
  regionNotInitialized: [14, Bare],
  diskFull: [15, DiskFull],
  recoveryInProgress: [16, Bare],
  flashbackInProgress: [17, Bare],
  flashbackNotPrepared: [18, Bare],
  isWitness: [19, Bare],
  mismatchPeerId: [20, MismatchPeerId],
  bucketVersionNotMatch: [21, Bare],
  undeterminedResult: [22, Bare],
});
export type RegionError = Decoded<typeof RegionError>;
