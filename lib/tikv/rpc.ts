/**
 * What the layers of the client ask of each other, from the connection upwards:
 * wire (one call to one address) → placement (cluster, timestamps) and regions (one request to one region) →
 * snapshots and transactions (keys).
 *
 * All keys below the public interface are wire keys: a keyspace's prefix is put on and taken off at that
 * interface (`keyspace.ts`), and nothing in between knows of it.
 */
import type { Method } from "./methods.ts";
import type { Context } from "./messages_kv.ts";
import type { RegionError, Store } from "./messages_meta.ts";
import type { PdRegion } from "./messages_pd.ts";
import type { Operation } from "./operation.ts";

export interface CallOptions {
  timeoutMs: number;
  signal?: AbortSignal | undefined;
}

/** A stream in both directions; it ends by `close()` or by `onEnd`, whichever is first, and once. */
export interface Duplex<QInit> {
  send(request: QInit): void;
  close(): void;
}

/** Calls to addresses (`host:port`). Rejects with RpcError, or TikvError `tls`, `closed`, `cancelled`, `malformed`. */
export interface Wire {
  /** One request and its reply: on the batch stream of that address, or by itself where that lacks it. */
  call<Q, QInit, A, AInit>(
    address: string,
    method: Method<Q, QInit, A, AInit>,
    request: QInit,
    options: CallOptions,
  ): Promise<A>;
  stream<Q, QInit, A, AInit>(
    address: string,
    method: Method<Q, QInit, A, AInit>,
    handlers: { onMessage(reply: A): void; onEnd(error: Error): void },
  ): Promise<Duplex<QInit>>;
  /** Drops the connection, as when an address belongs to another store now; the next call dials. */
  disconnect(address: string): void;
  close(): Promise<void>;
}

/** The placement driver: where things are, and what time it is. Keys given are wire keys, those in regions encoded. */
export interface Placement {
  readonly clusterId: bigint;
  /** A new timestamp, later than every one given before by this cluster. */
  timestamp(op: Operation): Promise<bigint>;
  /** The last timestamp seen, refreshed every LOW_RESOLUTION_REFRESH_MS: good enough for expiry, never for reads. */
  recent(): bigint;
  region(wireKey: Uint8Array, op: Operation): Promise<PdRegion>;
  /** The region that ends at or holds what lies just below `wireKey`; an empty key is the end of everything. */
  regionBefore(wireKey: Uint8Array, op: Operation): Promise<PdRegion>;
  /** At most `limit` regions from `from` on, without gaps; `to` empty is unbounded. */
  regions(from: Uint8Array, to: Uint8Array, limit: number, op: Operation): Promise<PdRegion[]>;
  store(storeId: bigint, op: Operation): Promise<Store>;
  stores(op: Operation): Promise<Store[]>;
  safePoint(op: Operation): Promise<bigint>;
  /** Returns the safe point in force. */
  advanceSafePoint(to: bigint, op: Operation): Promise<bigint>;
  /** Holds garbage collection back for `ttlSeconds` (0 lets go); returns the least safe point of all services. */
  holdSafePoint(service: string, at: bigint, ttlSeconds: bigint, op: Operation): Promise<bigint>;
  /** The id of an enabled keyspace. */
  keyspace(name: string, op: Operation): Promise<number>;
  close(): void;
}

/** A region as it was when it was looked up. `startKey` and `endKey` are wire keys, decoded; empty is unbounded. */
export interface Located {
  readonly id: bigint;
  readonly confVer: bigint;
  readonly version: bigint;
  readonly startKey: Uint8Array;
  readonly endKey: Uint8Array;
}

/**
 * Whether a request may have been executed though nobody saw its reply. The sender sets `uncertain` when an attempt
 * ended without a definite reply and takes it back when a reply without errors came later. After a reply with
 * errors of keys it stays as it was, for only the committer knows which of them are definite (a lock met by the
 * second attempt says nothing of the first). One object spans all sends of one batch; where a batch is cut, each
 * part starts with a copy, and a step is uncertain when any part is.
 */
export interface Fate {
  uncertain: boolean;
}

export interface SendOptions {
  op: Operation;
  timeoutMs: number;
  /** Set for writes whose outcome matters: commit of a primary, async-commit and one-phase prewrites. */
  fate?: Fate;
  /** Set when an earlier attempt of the same content was made through another `send`. */
  again?: boolean;
  /** Fields of the context beyond those that the sender fills (region, epoch, peer, cluster, keyspace). */
  context?: Context;
}

export interface Regions {
  /** From the cache, or from the placement driver. */
  locate(wireKey: Uint8Array, op: Operation): Promise<Located>;
  /** The region of what lies just below `wireKey`, for reverse scans; an empty key is the end of everything. */
  locateBefore(wireKey: Uint8Array, op: Operation): Promise<Located>;
  /**
   * Sends `request` to the region, with its context filled in, and deals with every region error and lost
   * connection that leaves the region's range as it is.
   * Null when the range changed or the region is no longer known: locate again and regroup, without waiting.
   */
  send<QInit, A extends { regionError: RegionError | null }>(
    region: Located,
    // deno-lint-ignore no-explicit-any -- what a request decodes to, and a reply encodes from, is of no matter here
    method: Method<any, QInit, A, any>,
    request: QInit,
    options: SendOptions,
  ): Promise<A | null>;
}
