/** `kvrpcpb`, `tikvpb` and `grpc.health.v1`: what is asked of stores. Source: pingcap/kvproto. */
import { Peer, Region, RegionEpoch, RegionError } from "./messages_meta.ts";
import {
  bool,
  bytes,
  type Decoded,
  type Encodable,
  i32,
  i64,
  message,
  repeated,
  string,
  u32,
  u64,
} from "./protobuf.ts";

export const Op = {
  put: 0,
  delete: 1,
  lock: 2,
  rollback: 3,
  insert: 4,
  pessimisticLock: 5,
  checkNotExists: 6,
  sharedLock: 7,
  sharedPessimisticLock: 8,
} as const;
/** What CheckTxnStatus did. */
export const Action = {
  none: 0,
  ttlExpireRollback: 1,
  lockNotExistRollback: 2,
  minCommitTsPushed: 3,
  ttlExpirePessimisticRollback: 4,
  lockNotExistDoNothing: 5,
} as const;
export const PessimisticAction = { skipCheck: 0, doPessimisticCheck: 1, doConstraintCheck: 2 } as const;
export const ApiVersion = { v1: 0, v1ttl: 1, v2: 2 } as const;
export const CommitRole = { unknown: 0, primary: 1, secondary: 2 } as const;
export const ConflictReason = { unknown: 0, optimistic: 1, pessimisticRetry: 2, selfRolledBack: 3 } as const;

export const Context = message("kvrpcpb.Context", {
  regionId: [1, u64],
  regionEpoch: [2, RegionEpoch],
  peer: [3, Peer],
  priority: [6, i32],
  isolationLevel: [7, i32],
  notFillCache: [8, bool],
  replicaRead: [12, bool],
  resolvedLocks: [13, repeated(u64)],
  maxExecutionDurationMs: [14, u64],
  staleRead: [17, bool],
  isRetryRequest: [20, bool],
  apiVersion: [21, i32],
  committedLocks: [22, repeated(u64)],
  requestSource: [24, string],
  keyspaceName: [31, string],
  keyspaceId: [32, u32],
  clusterId: [35, u64],
});
export type Context = Encodable<typeof Context>;

const lockFields = {
  primaryLock: [1, bytes],
  lockVersion: [2, u64],
  key: [3, bytes],
  lockTtl: [4, u64],
  txnSize: [5, u64],
  lockType: [6, i32],
  lockForUpdateTs: [7, u64],
  useAsyncCommit: [8, bool],
  minCommitTs: [9, u64],
  secondaries: [10, repeated(bytes)],
} as const;
/** One holder of a shared lock. */
export const SharedLockInfo = message("kvrpcpb.LockInfo", lockFields);
/** Where `lockType` is `sharedLock`, the locks to settle are `sharedLockInfos` and not this wrapper. */
export const LockInfo = message("kvrpcpb.LockInfo", {
  ...lockFields,
  sharedLockInfos: [12, repeated(SharedLockInfo)],
});
export type LockInfo = Decoded<typeof LockInfo>;

const WriteConflict = message("kvrpcpb.WriteConflict", {
  startTs: [1, u64],
  conflictTs: [2, u64],
  key: [3, bytes],
  primary: [4, bytes],
  conflictCommitTs: [5, u64],
  reason: [6, i32],
});
const AlreadyExist = message("kvrpcpb.AlreadyExist", { key: [1, bytes] });
const Deadlock = message("kvrpcpb.Deadlock", {
  lockTs: [1, u64],
  lockKey: [2, bytes],
  deadlockKeyHash: [3, u64],
});
const CommitTsExpired = message("kvrpcpb.CommitTsExpired", {
  startTs: [1, u64],
  attemptedCommitTs: [2, u64],
  key: [3, bytes],
  minCommitTs: [4, u64],
});
const TxnNotFound = message("kvrpcpb.TxnNotFound", { startTs: [1, u64], primaryKey: [2, bytes] });
const CommitTsTooLarge = message("kvrpcpb.CommitTsTooLarge", { commitTs: [1, u64] });
const AssertionFailed = message("kvrpcpb.AssertionFailed", { startTs: [1, u64], key: [2, bytes] });
const PrimaryMismatch = message("kvrpcpb.PrimaryMismatch", { lockInfo: [1, LockInfo] });
const TxnLockNotFound = message("kvrpcpb.TxnLockNotFound", { key: [1, bytes] });

/** A conflict and a lost lock also fill `retryable`: look at the specific fields first. */
export const KeyError = message("kvrpcpb.KeyError", {
  locked: [1, LockInfo],
  retryable: [2, string],
  abort: [3, string],
  conflict: [4, WriteConflict],
  alreadyExist: [5, AlreadyExist],
  deadlock: [6, Deadlock],
  commitTsExpired: [7, CommitTsExpired],
  txnNotFound: [8, TxnNotFound],
  commitTsTooLarge: [9, CommitTsTooLarge],
  assertionFailed: [10, AssertionFailed],
  primaryMismatch: [11, PrimaryMismatch],
  txnLockNotFound: [12, TxnLockNotFound],
});
export type KeyError = Decoded<typeof KeyError>;

export const Mutation = message("kvrpcpb.Mutation", {
  op: [1, i32],
  key: [2, bytes],
  value: [3, bytes],
  assertion: [4, i32],
});
export type Mutation = Encodable<typeof Mutation>;
export const KvPair = message("kvrpcpb.KvPair", {
  error: [1, KeyError],
  key: [2, bytes],
  value: [3, bytes],
  commitTs: [4, u64],
});
export type KvPair = Decoded<typeof KvPair>;

const request = { context: [1, Context] } as const;
const reply = { regionError: [1, RegionError] } as const;

export const GetRequest = message("kvrpcpb.GetRequest", {
  ...request,
  key: [2, bytes],
  version: [3, u64],
  needCommitTs: [4, bool],
});
export const GetResponse = message("kvrpcpb.GetResponse", {
  ...reply,
  error: [2, KeyError],
  value: [3, bytes],
  notFound: [4, bool],
  commitTs: [7, u64],
});

/** Reverse: `startKey` is the exclusive upper bound, `endKey` the inclusive lower one. */
export const ScanRequest = message("kvrpcpb.ScanRequest", {
  ...request,
  startKey: [2, bytes],
  limit: [3, u32],
  version: [4, u64],
  keyOnly: [5, bool],
  reverse: [6, bool],
  endKey: [7, bytes],
});
export const ScanResponse = message("kvrpcpb.ScanResponse", {
  ...reply,
  pairs: [2, repeated(KvPair)],
  error: [3, KeyError],
});

export const PrewriteRequest = message("kvrpcpb.PrewriteRequest", {
  ...request,
  mutations: [2, repeated(Mutation)],
  primaryLock: [3, bytes],
  startVersion: [4, u64],
  lockTtl: [5, u64],
  pessimisticActions: [7, repeated(i32)],
  txnSize: [8, u64],
  forUpdateTs: [9, u64],
  minCommitTs: [10, u64],
  useAsyncCommit: [11, bool],
  secondaries: [12, repeated(bytes)],
  tryOnePc: [13, bool],
  maxCommitTs: [14, u64],
  assertionLevel: [15, i32],
});
export const PrewriteResponse = message("kvrpcpb.PrewriteResponse", {
  ...reply,
  errors: [2, repeated(KeyError)],
  minCommitTs: [3, u64],
  onePcCommitTs: [4, u64],
});

export const CommitRequest = message("kvrpcpb.CommitRequest", {
  ...request,
  startVersion: [2, u64],
  keys: [3, repeated(bytes)],
  commitVersion: [4, u64],
  commitRole: [6, i32],
  primaryKey: [7, bytes],
  useAsyncCommit: [8, bool],
});
export const CommitResponse = message("kvrpcpb.CommitResponse", {
  ...reply,
  error: [2, KeyError],
  commitVersion: [3, u64],
});

export const BatchGetRequest = message("kvrpcpb.BatchGetRequest", {
  ...request,
  keys: [2, repeated(bytes)],
  version: [3, u64],
  needCommitTs: [4, bool],
});
export const BatchGetResponse = message("kvrpcpb.BatchGetResponse", {
  ...reply,
  pairs: [2, repeated(KvPair)],
  error: [5, KeyError],
});

export const BatchRollbackRequest = message("kvrpcpb.BatchRollbackRequest", {
  ...request,
  startVersion: [2, u64],
  keys: [3, repeated(bytes)],
});
export const BatchRollbackResponse = message("kvrpcpb.BatchRollbackResponse", {
  ...reply,
  error: [2, KeyError],
});

export const ScanLockRequest = message("kvrpcpb.ScanLockRequest", {
  ...request,
  maxVersion: [2, u64],
  startKey: [3, bytes],
  limit: [4, u32],
  endKey: [5, bytes],
});
export const ScanLockResponse = message("kvrpcpb.ScanLockResponse", {
  ...reply,
  error: [2, KeyError],
  locks: [3, repeated(LockInfo)],
});

/** `commitVersion` zero rolls back. */
export const ResolveLockRequest = message("kvrpcpb.ResolveLockRequest", {
  ...request,
  startVersion: [2, u64],
  commitVersion: [3, u64],
  keys: [5, repeated(bytes)],
});
export const ResolveLockResponse = message("kvrpcpb.ResolveLockResponse", { ...reply, error: [2, KeyError] });

export const DeleteRangeRequest = message("kvrpcpb.DeleteRangeRequest", {
  ...request,
  startKey: [2, bytes],
  endKey: [3, bytes],
  notifyOnly: [4, bool],
});
export const DeleteRangeResponse = message("kvrpcpb.DeleteRangeResponse", { ...reply, error: [2, string] });

/** `waitTimeout` in milliseconds: 0 is the server's default, -1 does not wait. */
export const PessimisticLockRequest = message("kvrpcpb.PessimisticLockRequest", {
  ...request,
  mutations: [2, repeated(Mutation)],
  primaryLock: [3, bytes],
  startVersion: [4, u64],
  lockTtl: [5, u64],
  forUpdateTs: [6, u64],
  isFirstLock: [7, bool],
  waitTimeout: [8, i64],
  returnValues: [10, bool],
  minCommitTs: [11, u64],
  checkExistence: [12, bool],
  lockOnlyIfExists: [13, bool],
});
export const PessimisticLockResponse = message("kvrpcpb.PessimisticLockResponse", {
  ...reply,
  errors: [2, repeated(KeyError)],
  values: [5, repeated(bytes)],
  notFounds: [6, repeated(bool)],
});
export const PessimisticRollbackRequest = message("kvrpcpb.PessimisticRollbackRequest", {
  ...request,
  startVersion: [2, u64],
  forUpdateTs: [3, u64],
  keys: [4, repeated(bytes)],
});
export const PessimisticRollbackResponse = message("kvrpcpb.PessimisticRollbackResponse", {
  ...reply,
  errors: [2, repeated(KeyError)],
});

export const CheckTxnStatusRequest = message("kvrpcpb.CheckTxnStatusRequest", {
  ...request,
  primaryKey: [2, bytes],
  lockTs: [3, u64],
  callerStartTs: [4, u64],
  currentTs: [5, u64],
  rollbackIfNotExist: [6, bool],
  forceSyncCommit: [7, bool],
  resolvingPessimisticLock: [8, bool],
  verifyIsPrimary: [9, bool],
});
export const CheckTxnStatusResponse = message("kvrpcpb.CheckTxnStatusResponse", {
  ...reply,
  error: [2, KeyError],
  lockTtl: [3, u64],
  commitVersion: [4, u64],
  action: [5, i32],
  lockInfo: [6, LockInfo],
});

export const TxnHeartBeatRequest = message("kvrpcpb.TxnHeartBeatRequest", {
  ...request,
  primaryLock: [2, bytes],
  startVersion: [3, u64],
  adviseLockTtl: [4, u64],
});
export const TxnHeartBeatResponse = message("kvrpcpb.TxnHeartBeatResponse", {
  ...reply,
  error: [2, KeyError],
  lockTtl: [3, u64],
});

export const CheckSecondaryLocksRequest = message("kvrpcpb.CheckSecondaryLocksRequest", {
  ...request,
  keys: [2, repeated(bytes)],
  startVersion: [3, u64],
});
export const CheckSecondaryLocksResponse = message("kvrpcpb.CheckSecondaryLocksResponse", {
  ...reply,
  error: [2, KeyError],
  locks: [3, repeated(LockInfo)],
  commitTs: [4, u64],
});

export const UnsafeDestroyRangeRequest = message("kvrpcpb.UnsafeDestroyRangeRequest", {
  ...request,
  startKey: [2, bytes],
  endKey: [3, bytes],
});
export const UnsafeDestroyRangeResponse = message("kvrpcpb.UnsafeDestroyRangeResponse", {
  ...reply,
  error: [2, string],
});

export const SplitRegionRequest = message("kvrpcpb.SplitRegionRequest", {
  ...request,
  splitKeys: [3, repeated(bytes)],
});
export const SplitRegionResponse = message("kvrpcpb.SplitRegionResponse", {
  ...reply,
  regions: [4, repeated(Region)],
});

/** Every request and response below is one message of one field: the number is the command's. */
export const BatchCommandsRequest = message("tikvpb.BatchCommandsRequest", {
  requests: [1, repeated(bytes)],
  requestIds: [2, repeated(u64)],
});
export const BatchCommandsResponse = message("tikvpb.BatchCommandsResponse", {
  responses: [1, repeated(bytes)],
  requestIds: [2, repeated(u64)],
  transportLayerLoad: [3, u64],
});

export const HealthStatus = { unknown: 0, serving: 1, notServing: 2, serviceUnknown: 3 } as const;
export const HealthCheckRequest = message("grpc.health.v1.HealthCheckRequest", { service: [1, string] });
export const HealthCheckResponse = message("grpc.health.v1.HealthCheckResponse", { status: [1, i32] });
