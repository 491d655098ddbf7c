/** Every remote procedure that the client calls: its path, its messages, and its number in BatchCommands. */
import * as kv from "./messages_kv.ts";
import * as pd from "./messages_pd.ts";
import type { Message } from "./protobuf.ts";

export interface Method<Q, QInit, A, AInit> {
  /** `/package.Service/Name`. */
  readonly path: string;
  readonly request: Message<Q, QInit>;
  readonly reply: Message<A, AInit>;
  /** The field of a BatchCommands entry; null for what is only sent by itself. */
  readonly batch: number | null;
}

function method<Q, QInit, A, AInit>(
  path: string,
  request: Message<Q, QInit>,
  reply: Message<A, AInit>,
  batch: number | null = null,
): Method<Q, QInit, A, AInit> {
  return { path, request, reply, batch };
}

const TIKV = "/tikvpb.Tikv/";

/** Of a store, to one region; every reply carries `regionError`. */
export const Kv = {
  get: method(`${TIKV}KvGet`, kv.GetRequest, kv.GetResponse, 1),
  scan: method(`${TIKV}KvScan`, kv.ScanRequest, kv.ScanResponse, 2),
  prewrite: method(`${TIKV}KvPrewrite`, kv.PrewriteRequest, kv.PrewriteResponse, 3),
  commit: method(`${TIKV}KvCommit`, kv.CommitRequest, kv.CommitResponse, 4),
  batchGet: method(`${TIKV}KvBatchGet`, kv.BatchGetRequest, kv.BatchGetResponse, 7),
  batchRollback: method(`${TIKV}KvBatchRollback`, kv.BatchRollbackRequest, kv.BatchRollbackResponse, 8),
  scanLock: method(`${TIKV}KvScanLock`, kv.ScanLockRequest, kv.ScanLockResponse, 9),
  resolveLock: method(`${TIKV}KvResolveLock`, kv.ResolveLockRequest, kv.ResolveLockResponse, 10),
  deleteRange: method(`${TIKV}KvDeleteRange`, kv.DeleteRangeRequest, kv.DeleteRangeResponse, 12),
  pessimisticLock: method(
    `${TIKV}KvPessimisticLock`,
    kv.PessimisticLockRequest,
    kv.PessimisticLockResponse,
    23,
  ),
  pessimisticRollback: method(
    `${TIKV}KVPessimisticRollback`,
    kv.PessimisticRollbackRequest,
    kv.PessimisticRollbackResponse,
    24,
  ),
  checkTxnStatus: method(`${TIKV}KvCheckTxnStatus`, kv.CheckTxnStatusRequest, kv.CheckTxnStatusResponse, 25),
  txnHeartBeat: method(`${TIKV}KvTxnHeartBeat`, kv.TxnHeartBeatRequest, kv.TxnHeartBeatResponse, 26),
  /** Rare, and in a batch it kills a unistore (its reply is nil there): always sent by itself. */
  checkSecondaryLocks: method(
    `${TIKV}KvCheckSecondaryLocks`,
    kv.CheckSecondaryLocksRequest,
    kv.CheckSecondaryLocksResponse,
  ),
  splitRegion: method(`${TIKV}SplitRegion`, kv.SplitRegionRequest, kv.SplitRegionResponse),
} as const;

/** Of a store, to no region. */
export const Store = {
  unsafeDestroyRange: method(
    `${TIKV}UnsafeDestroyRange`,
    kv.UnsafeDestroyRangeRequest,
    kv.UnsafeDestroyRangeResponse,
  ),
  health: method("/grpc.health.v1.Health/Check", kv.HealthCheckRequest, kv.HealthCheckResponse),
} as const;

const PD = "/pdpb.PD/";

export const Pd = {
  getMembers: method(`${PD}GetMembers`, pd.GetMembersRequest, pd.GetMembersResponse),
  getRegion: method(`${PD}GetRegion`, pd.GetRegionRequest, pd.GetRegionResponse),
  getPrevRegion: method(`${PD}GetPrevRegion`, pd.GetRegionRequest, pd.GetRegionResponse),
  getRegionById: method(`${PD}GetRegionByID`, pd.GetRegionByIdRequest, pd.GetRegionResponse),
  scanRegions: method(`${PD}ScanRegions`, pd.ScanRegionsRequest, pd.ScanRegionsResponse),
  batchScanRegions: method(`${PD}BatchScanRegions`, pd.BatchScanRegionsRequest, pd.BatchScanRegionsResponse),
  getStore: method(`${PD}GetStore`, pd.GetStoreRequest, pd.GetStoreResponse),
  getAllStores: method(`${PD}GetAllStores`, pd.GetAllStoresRequest, pd.GetAllStoresResponse),
  getGcSafePoint: method(`${PD}GetGCSafePoint`, pd.GetGcSafePointRequest, pd.GetGcSafePointResponse),
  updateGcSafePoint: method(
    `${PD}UpdateGCSafePoint`,
    pd.UpdateGcSafePointRequest,
    pd.UpdateGcSafePointResponse,
  ),
  updateServiceGcSafePoint: method(
    `${PD}UpdateServiceGCSafePoint`,
    pd.UpdateServiceGcSafePointRequest,
    pd.UpdateServiceGcSafePointResponse,
  ),
  splitRegions: method(`${PD}SplitRegions`, pd.SplitRegionsRequest, pd.SplitRegionsResponse),
  loadKeyspace: method("/keyspacepb.Keyspace/LoadKeyspace", pd.LoadKeyspaceRequest, pd.LoadKeyspaceResponse),
} as const;

/** The bidirectional streams; both kinds of message follow each other in order of sending only for `tso`. */
export const Streams = {
  tso: method(`${PD}Tso`, pd.TsoRequest, pd.TsoResponse),
  batchCommands: method(`${TIKV}BatchCommands`, kv.BatchCommandsRequest, kv.BatchCommandsResponse),
} as const;
