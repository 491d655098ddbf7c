/** `pdpb` and `keyspacepb`: what is asked of the placement driver. Source: pingcap/kvproto. */
import { Peer, Region as MetaRegion, Store } from "./messages_meta.ts";
import { bool, bytes, type Decoded, i32, i64, message, repeated, string, u32, u64 } from "./protobuf.ts";

export const PdErrorType = {
  unknown: 1,
  notBootstrapped: 2,
  storeTombstone: 3,
  incompatibleVersion: 5,
  regionNotFound: 6,
  duplicated: 8,
  notFound: 9,
  regionsNotContainAllKeyRange: 12,
} as const;

export const RequestHeader = message("pdpb.RequestHeader", { clusterId: [1, u64], callerId: [3, string] });
export const PdError = message("pdpb.Error", { type: [1, i32], message: [2, string] });
export const ResponseHeader = message("pdpb.ResponseHeader", { clusterId: [1, u64], error: [2, PdError] });
export type ResponseHeader = Decoded<typeof ResponseHeader>;

const request = { header: [1, RequestHeader] } as const;
const reply = { header: [1, ResponseHeader] } as const;

export const Member = message("pdpb.Member", {
  name: [1, string],
  memberId: [2, u64],
  peerUrls: [3, repeated(string)],
  clientUrls: [4, repeated(string)],
});
export const GetMembersRequest = message("pdpb.GetMembersRequest", request);
export const GetMembersResponse = message("pdpb.GetMembersResponse", {
  ...reply,
  members: [2, repeated(Member)],
  leader: [3, Member],
  etcdLeader: [4, Member],
});
export type GetMembersResponse = Decoded<typeof GetMembersResponse>;

/** `logical` is the largest of the `count` timestamps that were given out. */
export const Timestamp = message("pdpb.Timestamp", {
  physical: [1, i64],
  logical: [2, i64],
  suffixBits: [3, u32],
});
export const TsoRequest = message("pdpb.TsoRequest", { ...request, count: [2, u32] });
export const TsoResponse = message("pdpb.TsoResponse", {
  ...reply,
  count: [2, u32],
  timestamp: [3, Timestamp],
});

const PeerStats = message("pdpb.PeerStats", { peer: [1, Peer] });
export const GetRegionRequest = message("pdpb.GetRegionRequest", {
  ...request,
  regionKey: [2, bytes],
  needBuckets: [3, bool],
});
export const GetRegionByIdRequest = message("pdpb.GetRegionByIDRequest", { ...request, regionId: [2, u64] });
export const GetRegionResponse = message("pdpb.GetRegionResponse", {
  ...reply,
  region: [2, MetaRegion],
  leader: [3, Peer],
  downPeers: [5, repeated(PeerStats)],
  pendingPeers: [6, repeated(Peer)],
});

/** A region as scans give it. */
export const PdRegion = message("pdpb.Region", {
  region: [1, MetaRegion],
  leader: [2, Peer],
  downPeers: [3, repeated(PeerStats)],
  pendingPeers: [4, repeated(Peer)],
});
export type PdRegion = Decoded<typeof PdRegion>;
export const KeyRange = message("pdpb.KeyRange", { startKey: [1, bytes], endKey: [2, bytes] });
export const ScanRegionsRequest = message("pdpb.ScanRegionsRequest", {
  ...request,
  startKey: [2, bytes],
  limit: [3, i32],
  endKey: [4, bytes],
});
export const ScanRegionsResponse = message("pdpb.ScanRegionsResponse", {
  ...reply,
  regions: [4, repeated(PdRegion)],
});
export const BatchScanRegionsRequest = message("pdpb.BatchScanRegionsRequest", {
  ...request,
  ranges: [3, repeated(KeyRange)],
  limit: [4, i32],
  containAllKeyRange: [5, bool],
});
export const BatchScanRegionsResponse = message("pdpb.BatchScanRegionsResponse", {
  ...reply,
  regions: [2, repeated(PdRegion)],
});

export const GetStoreRequest = message("pdpb.GetStoreRequest", { ...request, storeId: [2, u64] });
export const GetStoreResponse = message("pdpb.GetStoreResponse", { ...reply, store: [2, Store] });
export const GetAllStoresRequest = message("pdpb.GetAllStoresRequest", {
  ...request,
  excludeTombstone: [2, bool],
});
export const GetAllStoresResponse = message("pdpb.GetAllStoresResponse", {
  ...reply,
  stores: [2, repeated(Store)],
});

export const GetGcSafePointRequest = message("pdpb.GetGCSafePointRequest", request);
export const GetGcSafePointResponse = message("pdpb.GetGCSafePointResponse", {
  ...reply,
  safePoint: [2, u64],
});
export const UpdateGcSafePointRequest = message("pdpb.UpdateGCSafePointRequest", {
  ...request,
  safePoint: [2, u64],
});
/** `newSafePoint` is the one in force, which may be later than the one that was asked for. */
export const UpdateGcSafePointResponse = message("pdpb.UpdateGCSafePointResponse", {
  ...reply,
  newSafePoint: [2, u64],
});
/** `ttl` in seconds; zero or less takes the service's safe point away. */
export const UpdateServiceGcSafePointRequest = message("pdpb.UpdateServiceGCSafePointRequest", {
  ...request,
  serviceId: [2, bytes],
  ttl: [3, i64],
  safePoint: [4, u64],
});
export const UpdateServiceGcSafePointResponse = message("pdpb.UpdateServiceGCSafePointResponse", {
  ...reply,
  serviceId: [2, bytes],
  ttl: [3, i64],
  minSafePoint: [4, u64],
});

export const SplitRegionsRequest = message("pdpb.SplitRegionsRequest", {
  ...request,
  splitKeys: [2, repeated(bytes)],
  retryLimit: [3, u64],
});
export const SplitRegionsResponse = message("pdpb.SplitRegionsResponse", {
  ...reply,
  finishedPercentage: [2, u64],
  regionsId: [3, repeated(u64)],
});

export const KeyspaceState = { enabled: 0, disabled: 1, archived: 2, tombstone: 3 } as const;
const Keyspace = message("keyspacepb.KeyspaceMeta", { id: [1, u32], name: [2, string], state: [3, i32] });
export const LoadKeyspaceRequest = message("keyspacepb.LoadKeyspaceRequest", {
  ...request,
  name: [2, string],
});
export const LoadKeyspaceResponse = message("keyspacepb.LoadKeyspaceResponse", {
  ...reply,
  keyspace: [2, Keyspace],
});
