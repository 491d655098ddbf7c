/**
 * What a store answers: each command of TiKV on the shared rows, once the region, the epoch and the keys are right.
 *
 * V1. A region error or a key error is a reply; nothing is thrown to the far side.
 */
import { compareKeys, encodeKey, inRange } from "../../../lib/tikv/keys.ts";
import { ApiVersion, Context, HealthStatus } from "../../../lib/tikv/messages_kv.ts";
import type { Decoded } from "../../../lib/tikv/protobuf.ts";
import type { Kv, Store } from "../../../lib/tikv/methods.ts";
import type { Reply, Request } from "./calls.ts";
import { aborted, KeyFault } from "./key_fault.ts";
import type { Mvcc, Pair } from "./mvcc.ts";
import type { PessimisticLocks } from "./pessimistic.ts";
import { prewrite } from "./prewrite.ts";
import { metaRegion, type RegionErrorInit, type Topology } from "./topology.ts";

/** TiKV's `max-key-size` holds for encoded keys, `raft-entry-max-size` for a whole request. */
const ENCODED_KEY_BYTES_MAX = 8 * 1024;
const ENTRY_BYTES_MAX = 8 * 1024 * 1024;
const V2_PREFIX = 0x78; // "x"
const EMPTY = new Uint8Array(0);

type StoreMethod = keyof typeof Kv | keyof typeof Store;
export type StoreHandlers = { [N in StoreMethod]: (request: Request<N>) => Reply<N> | Promise<Reply<N>> };

export interface StoreServiceOptions {
  storeId: bigint;
  topology: Topology;
  mvcc: Mvcc;
  pessimistic: PessimisticLocks;
  /** 1, or 2 for a server whose keys belong to keyspaces. */
  apiVersion: 1 | 2;
  /** While true, async and one-phase commits fall back to two phases. */
  fallBack: () => boolean;
}

export function storeService(options: StoreServiceOptions): StoreHandlers {
  const { storeId, topology, mvcc, pessimistic } = options;

  /** The reply of `execute`, or the region's refusal, or `refused` for a key's. */
  function guarded<A extends object>(
    context: Decoded<typeof Context> | null,
    keys: readonly Uint8Array[],
    refused: (fault: KeyFault) => A,
    execute: () => A,
  ): A & { regionError?: RegionErrorInit } {
    const filled = context ?? Context.decode(EMPTY);
    const regionError = topology.check(storeId, filled, keys);
    if (regionError !== null) return { regionError } as A & { regionError: RegionErrorInit };
    try {
      checkApi(options.apiVersion, filled, keys);
      return execute();
    } catch (error) {
      if (!(error instanceof KeyFault)) throw error;
      return refused(error);
    }
  }
  const asError = ({ keyError }: KeyFault) => ({ error: keyError });
  const asErrors = ({ keyError }: KeyFault) => ({ errors: [keyError] });
  const asText = ({ message }: KeyFault) => ({ error: message });
  const readOptions = (context: Decoded<typeof Context> | null, version: bigint) => ({
    version,
    resolved: context?.resolvedLocks ?? [],
    committed: context?.committedLocks ?? [],
  });
  /** The part of [from, to) that lies in the request's region. */
  const clipped = (context: Decoded<typeof Context> | null, from: Uint8Array, to: Uint8Array) => {
    const region = topology.regionById(context?.regionId ?? 0n);
    if (region === undefined) return { from, to };
    const { startKey, endKey } = region;
    return {
      from: compareKeys(from, startKey) < 0 ? startKey : from,
      to: to.length === 0 || (endKey.length > 0 && compareKeys(to, endKey) > 0) ? endKey : to,
    };
  };

  return {
    get: ({ context, key, version, needCommitTs }) =>
      guarded<Reply<"get">>(context, [key], asError, () => {
        const found = mvcc.get(key, readOptions(context, version));
        if (found === null) return { notFound: true };
        return { value: found.value, commitTs: needCommitTs ? found.commitTs : 0n };
      }),

    batchGet: ({ context, keys, version }) =>
      guarded<Reply<"batchGet">>(context, keys, asError, () => {
        const pairs: Pair[] = [];
        for (const key of keys) {
          try {
            const found = mvcc.get(key, readOptions(context, version));
            if (found !== null) pairs.push({ key, ...found });
          } catch (fault) {
            if (!(fault instanceof KeyFault)) throw fault;
            pairs.push({ fault });
          }
        }
        return { pairs: pairs.map(wirePair) };
      }),

    scan: ({ context, startKey, endKey, version, limit, keyOnly, reverse }) =>
      guarded<Reply<"scan">>(context, reverse ? [] : [startKey], asError, () => {
        const { from, to } = reverse
          ? clipped(context, endKey, startKey)
          : clipped(context, startKey, endKey);
        const pairs = mvcc.scan(from, to, { ...readOptions(context, version), limit, reverse });
        return { pairs: pairs.map(wirePair).map((pair) => keyOnly ? { ...pair, value: EMPTY } : pair) };
      }),

    prewrite: (request) => {
      const { context, mutations } = request;
      const bytes = mutations.reduce((sum, { key, value }) => sum + key.length + value.length, 0);
      if (bytes > ENTRY_BYTES_MAX) return { regionError: entryTooLarge(context, bytes) };
      return guarded<Reply<"prewrite">>(context, mutations.map(({ key }) => key), asErrors, () => {
        for (const { key } of mutations) checkKeySize(key);
        return prewrite(mvcc, request, { fallBack: options.fallBack() });
      });
    },

    commit: ({ context, keys, startVersion, commitVersion }) =>
      guarded<Reply<"commit">>(context, keys, asError, () => {
        if (commitVersion <= startVersion) throw aborted("InvalidTxnTso");
        mvcc.commit(keys, startVersion, commitVersion);
        return { commitVersion };
      }),

    batchRollback: ({ context, keys, startVersion }) =>
      guarded<Reply<"batchRollback">>(context, keys, asError, () => {
        mvcc.rollBack(keys, startVersion);
        return {};
      }),

    scanLock: ({ context, startKey, endKey, maxVersion, limit }) =>
      guarded<Reply<"scanLock">>(context, [], asError, () => {
        const { from, to } = clipped(context, startKey, endKey);
        return { locks: mvcc.scanLocks(from, to, maxVersion, limit) };
      }),

    resolveLock: ({ context, keys, startVersion, commitVersion }) =>
      guarded<Reply<"resolveLock">>(context, keys, asError, () => {
        const { from, to } = clipped(context, EMPTY, EMPTY);
        const held = keys.length > 0 ? keys : mvcc.lockedBy(startVersion, from, to);
        mvcc.resolve(held, startVersion, commitVersion);
        return {};
      }),

    deleteRange: ({ context, startKey, endKey, notifyOnly }) =>
      guarded<Reply<"deleteRange">>(context, [startKey], asText, () => {
        const { from, to } = clipped(context, startKey, endKey);
        if (!notifyOnly) mvcc.rows.delete(from, to);
        return {};
      }),

    pessimisticLock: async (request) => {
      const keys = request.mutations.map(({ key }) => key);
      const refusal = guarded<Reply<"pessimisticLock">>(request.context, keys, asErrors, () => ({}));
      if (refusal.regionError !== undefined || refusal.errors !== undefined) return refusal;
      return await pessimistic.acquire(request);
    },

    pessimisticRollback: ({ context, keys, startVersion, forUpdateTs }) =>
      guarded<Reply<"pessimisticRollback">>(context, keys, asErrors, () => {
        mvcc.rollBackPessimistic(keys, startVersion, forUpdateTs);
        return {};
      }),

    checkTxnStatus: (request) =>
      guarded<Reply<"checkTxnStatus">>(
        request.context,
        [request.primaryKey],
        asError,
        () => mvcc.checkTxnStatus(request),
      ),

    txnHeartBeat: (request) =>
      guarded<Reply<"txnHeartBeat">>(
        request.context,
        [request.primaryLock],
        asError,
        () => ({ lockTtl: mvcc.heartBeat(request) }),
      ),

    checkSecondaryLocks: (request) =>
      guarded<Reply<"checkSecondaryLocks">>(
        request.context,
        request.keys,
        asError,
        () => mvcc.checkSecondaryLocks(request),
      ),

    splitRegion: ({ context, splitKeys }) =>
      guarded<Reply<"splitRegion">>(context, splitKeys, () => ({}), () => {
        topology.split(...splitKeys);
        const touched = topology.regions.filter(({ startKey, endKey, id }) =>
          id === context?.regionId ||
          splitKeys.some((key) => sameBoundary(key, startKey) || sameBoundary(key, endKey))
        );
        return { regions: touched.map(metaRegion) };
      }),

    unsafeDestroyRange: ({ startKey, endKey }) => {
      mvcc.rows.delete(startKey, endKey);
      return {};
    },

    health: () => ({ status: HealthStatus.serving }),
  };
}

function wirePair(pair: Pair) {
  return "fault" in pair
    ? { error: pair.fault.keyError }
    : { key: pair.key, value: pair.value, commitTs: pair.commitTs };
}

function entryTooLarge(context: Decoded<typeof Context> | null, bytes: number): RegionErrorInit {
  const raftEntryTooLarge = { regionId: context?.regionId ?? 0n, entrySize: BigInt(bytes) };
  return { message: `raft entry is too large: ${bytes} bytes`, raftEntryTooLarge };
}

function checkKeySize(key: Uint8Array): void {
  if (encodeKey(key).length > ENCODED_KEY_BYTES_MAX) throw aborted(`KeyTooLarge: ${key.length} bytes`);
}

/** A server of version 2 has keys `x`, keyspace, rest; what TiDB calls `m…` and `t…` stays with version 1. */
function checkApi(server: 1 | 2, context: Decoded<typeof Context>, keys: readonly Uint8Array[]): void {
  const asked = context.apiVersion;
  const ofTidb = keys.every(([first]) => first === 0x6d || first === 0x74);
  const matches = server === 2
    ? asked === ApiVersion.v2 || (asked === ApiVersion.v1 && ofTidb)
    : asked === ApiVersion.v1;
  if (!matches) throw aborted(`ApiVersionNotMatched: the server has V${server}, the request ${asked}`);
  if (asked !== ApiVersion.v2) return;
  const prefix = new Uint8Array([
    V2_PREFIX,
    context.keyspaceId >> 16,
    context.keyspaceId >> 8,
    context.keyspaceId,
  ]);
  const after = prefix.slice();
  new DataView(after.buffer).setUint32(0, new DataView(prefix.buffer).getUint32(0) + 1);
  const wrong = keys.find((key) => !inRange(key, prefix, after));
  if (wrong !== undefined) throw aborted("InvalidKeyMode: a key is not in the keyspace of its request");
}

function sameBoundary(a: Uint8Array, b: Uint8Array): boolean {
  return b.length > 0 && compareKeys(a, b) === 0;
}
