/**
 * The client: connects to a cluster, reads snapshots and runs transactions.
 *
 * Many clients may exist in one process; they share nothing. Keys and values are bytes, ordered as unsigned bytes.
 */
import { Background } from "./client_background.ts";
import type { CommitOptions, Core } from "./client_core.ts";
import { checkHealth, type Health } from "./client_health.ts";
import { TikvError } from "./errors.ts";
import { collectGarbage, type GarbageOptions, type GarbageRound } from "./garbage.ts";
import { type GarbageLoopOptions, runGarbageCollector } from "./garbage_loop.ts";
import { SafePoint } from "./garbage_safe_point.ts";
import type { TlsOptions } from "./grpc_tls.ts";
import { Heartbeats } from "./heartbeat.ts";
import { type Keyspace, plainKeyspace, prefixedKeyspace } from "./keyspace.ts";
import { BUDGET_MS, CLOSE_WAIT_MS } from "./limits.ts";
import { Locks } from "./locks.ts";
import { ApiVersion, type Context } from "./messages_kv.ts";
import { Operation } from "./operation.ts";
import { connectPlacement } from "./placement.ts";
import { createRegions } from "./regions.ts";
import type { Placement, Wire } from "./rpc.ts";
import { createRuntime, type Runtime } from "./runtime.ts";
import { type ReadOptions, Snapshot } from "./snapshot.ts";
import { Transaction, type TransactionOptions } from "./transaction.ts";
import { type RunOptions, runTransaction } from "./transaction_run.ts";
import { TS_MAX } from "./transaction_time.ts";
import { createWire } from "./wire.ts";

export interface ConnectOptions {
  /** Addresses of placement drivers, `host:port` or a URL of it; one that answers is enough. */
  pd: readonly string[];
  /** PEM texts, or paths of PEM files. */
  tls?: TlsOptions | undefined;
  /** Of a cluster with API V2. @default none: API V1 */
  keyspace?: string | undefined;
  /** Refuses every other cluster. */
  clusterId?: bigint | undefined;
  /** By which others know this client, in leases; no two living clients may share it. @default a random one */
  name?: string | undefined;
  /** Ends the attempt to connect. */
  signal?: AbortSignal | undefined;
  /** How long to look for a placement driver. */
  timeoutMs?: number | undefined;
  commit?: CommitOptions | undefined;
  /** Stands between the client and the network: to count calls, or to lose them. */
  transport?: ((wire: Wire) => Wire) | undefined;
  /** Two answers cannot both be true. Whoever can should stop all writing: data may be damaged. */
  onCorrupt?: ((error: TikvError) => void) | undefined;
  /** Work in the background that failed, for a log: others will finish it. */
  onWarning?: ((message: string) => void) | undefined;
  /** Time and chance. */
  runtime?: Runtime | undefined;
}

/**
 * Throws `invalid`, `unavailable`, `tls`, `wrong-cluster` and `cancelled`.
 *
 * @example
 * ```ts
 * await using client = await connect({ pd: ["127.0.0.1:2379"] });
 * await client.transaction(async (tx) => {
 *   const seen = await tx.get(bytes("greeting"));
 *   if (seen === null) tx.put(bytes("greeting"), bytes("hello"));
 * });
 * ```
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const { pd, tls, signal, timeoutMs, runtime = createRuntime(), transport = (wire) => wire } = options;
  const wire = transport(createWire({ runtime, tls }));
  let placement: Placement | null = null;
  try {
    placement = await connectPlacement({
      addresses: pd,
      wire,
      runtime,
      tls: tls !== undefined,
      signal,
      ...timeoutMs !== undefined && { timeoutMs },
    });
    refuseOther(placement, options.clusterId);
    const op = new Operation({ name: "connect", budgetMs: BUDGET_MS.timestamp, runtime, signal });
    const keyspace = await openKeyspace(placement, options.keyspace, op);
    return new Client({ ...options, wire, placement, runtime, keyspace });
  } catch (error) {
    placement?.close();
    await wire.close();
    throw error;
  }
}

interface ClientParts extends Omit<ConnectOptions, "keyspace"> {
  wire: Wire;
  placement: Placement;
  runtime: Runtime;
  keyspace: Keyspace;
}

export class Client {
  readonly clusterId: bigint;
  readonly name: string;
  /** Tells this client from others of its name. */
  readonly instance: string;
  readonly #core: Core;
  readonly #wire: Wire;
  /** New operations end at once, those in the background a little later. */
  readonly #closing = new AbortController();
  readonly #life = new AbortController();
  #closed: Promise<void> | null = null;

  /** @internal Use `connect`. */
  constructor({ wire, placement, runtime, keyspace, ...options }: ClientParts) {
    const { onCorrupt = () => {}, onWarning = () => {}, commit = {} } = options;
    const closing = this.#closing.signal;
    const background = new Background(runtime, (error, task) => {
      if (!closing.aborted) onWarning(`${task}: ${error instanceof Error ? error.message : error}`);
    });
    const context = contextOf(keyspace);
    const regions = createRegions({
      placement,
      wire,
      runtime,
      context,
      signal: this.#life.signal,
      onWarning,
    });
    const { onePhase = true, async = true, causal = false } = commit;
    this.clusterId = placement.clusterId;
    this.instance = crypto.randomUUID();
    this.name = options.name ?? this.instance;
    this.#wire = wire;
    this.#core = {
      placement,
      regions,
      runtime,
      keyspace,
      background,
      locks: new Locks({ regions, placement, background, onCorrupt }),
      heartbeats: new Heartbeats({ regions, runtime, signal: closing }),
      safePoint: new SafePoint(placement, runtime),
      commit: { onePhase, async, causal },
      onCorrupt,
      closing,
      operation(name, budgetMs, signal) {
        closing.throwIfAborted();
        return new Operation({ name, budgetMs, runtime, signal });
      },
    };
  }

  /** Background tasks that have not ended: commits of other keys, rollbacks, locks being cleared. */
  get pending(): number {
    return this.#core.background.count;
  }

  /**
   * Runs `fn` in a transaction and commits it; again on a fresh snapshot when it failed in a way that this can help.
   * So `fn` may run several times, and must do nothing but use its transaction.
   *
   * @example
   * ```ts
   * const left = await client.transaction(async (tx) => {
   *   const stock = Number(text(await tx.get(bytes("stock")) ?? bytes("0")));
   *   if (stock === 0) return 0;
   *   tx.put(bytes("stock"), bytes(String(stock - 1)));
   *   return stock - 1;
   * }, { timeoutMs: 5_000 });
   * show(left);
   * ```
   */
  async transaction<T>(fn: (tx: Transaction) => T | Promise<T>, options?: RunOptions): Promise<T> {
    return await runTransaction(this.#core, fn, options);
  }

  /** A transaction that the caller commits or rolls back. */
  begin(options?: TransactionOptions): Transaction {
    return new Transaction(this.#core, options);
  }

  /** The data as they are now, or as they were at a timestamp of the past. */
  snapshot({ at, signal }: { at?: bigint | undefined } & ReadOptions = {}): Snapshot {
    const op = this.#core.operation("snapshot", BUDGET_MS.timestamp, signal);
    return new Snapshot(
      this.#core,
      at === undefined ? this.#core.placement.timestamp(op) : this.#past(at, op),
    );
  }

  /**
   * The latest committed value of one key, null when there is none: one round trip, and no snapshot that other reads
   * could share.
   */
  async latest(key: Uint8Array, options?: ReadOptions): Promise<Uint8Array | null> {
    return await new Snapshot(this.#core, Promise.resolve(TS_MAX)).get(key, options);
  }

  /** A new timestamp, later than every one given before. */
  async timestamp({ signal }: ReadOptions = {}): Promise<bigint> {
    return await this.#core.placement.timestamp(
      this.#core.operation("timestamp", BUDGET_MS.timestamp, signal),
    );
  }

  /** Asks the placement driver and every store. Throws `unavailable` when the placement driver does not answer. */
  async checkHealth({ signal }: ReadOptions = {}): Promise<Health> {
    return await checkHealth(this.#core, this.#wire, signal);
  }

  /**
   * One round of garbage collection: settles every lock older than `retentionMs` and lets the stores drop the
   * versions that nobody can see any more. Where TiDB runs, it does this by itself.
   */
  async collectGarbage(options: GarbageOptions = {}): Promise<GarbageRound> {
    return await collectGarbage(this.#core, options);
  }

  /**
   * Collects garbage again and again, in one process of all that call this with the same `prefix`. Resolves when its
   * signal aborts or the client closes; throws `name-taken` where another living client has the same name.
   *
   * @example
   * ```ts
   * const stop = new AbortController();
   * const running = client.runGarbageCollector({
   *   prefix: bytes("app/garbage/"),
   *   retentionMs: 3_600_000,
   *   signal: stop.signal,
   *   onError: show,
   * });
   * stop.abort();
   * await running;
   * ```
   */
  async runGarbageCollector(options: GarbageLoopOptions): Promise<void> {
    await runGarbageCollector(this, this.#core, options);
  }

  /**
   * Keeps garbage collection from passing `at` for `ttlMs`, for a long reader; call again to extend it, with zero to
   * let go. Throws `too-old` when `at` has been passed.
   * @param id Tells holds of one client apart.
   *
   * @example
   * ```ts
   * const snapshot = client.snapshot();
   * await client.holdSafePoint("export", await snapshot.version, 60_000);
   * for await (const { key, value } of snapshot.scan()) show(key, value); // hold again every half minute
   * await client.holdSafePoint("export", await snapshot.version, 0);
   * ```
   */
  async holdSafePoint(id: string, at: bigint, ttlMs: number, { signal }: ReadOptions = {}): Promise<void> {
    const { placement } = this.#core;
    const op = this.#core.operation("hold safe point", BUDGET_MS.timestamp, signal);
    const ttlSeconds = BigInt(Math.ceil(Math.max(0, ttlMs) / 1_000));
    const service = `${this.name}/${this.instance}/${id}`; // nobody else's, whatever others are called
    const least = await placement.holdSafePoint(service, at, ttlSeconds, op);
    if (ttlSeconds > 0n && least > at) {
      throw new TikvError(
        "too-old",
        `hold safe point at ${at}: it stands at ${least} already; hold a later one`,
      );
    }
  }

  /** Waits a little for what goes on in the background, then ends everything. Safe to call twice. */
  async close(): Promise<void> {
    await (this.#closed ??= this.#close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#closing.abort(new TikvError("closed", "this client is closed"));
    await this.#core.background.close(CLOSE_WAIT_MS);
    this.#life.abort(this.#closing.signal.reason);
    this.#core.placement.close();
    await this.#wire.close();
  }

  /** Data of the future are not fixed yet, and asking for them can stop a store. */
  async #past(at: bigint, op: Operation): Promise<bigint> {
    const { placement } = this.#core;
    if (at > 0n && (at <= placement.recent() || at <= await placement.timestamp(op))) return at;
    throw new TikvError("invalid", `open snapshot at ${at}: it is no timestamp of the past`);
  }
}

function refuseOther({ clusterId }: Placement, expected: bigint | undefined): void {
  if (expected === undefined || expected === clusterId) return;
  throw new TikvError(
    "wrong-cluster",
    `connect: this is cluster ${clusterId}, not ${expected}; check the addresses`,
  );
}

async function openKeyspace(
  placement: Placement,
  name: string | undefined,
  op: Operation,
): Promise<Keyspace> {
  if (name === undefined) return plainKeyspace;
  return prefixedKeyspace(name, await placement.keyspace(name, op));
}

function contextOf({ id, name }: Keyspace): Context {
  if (id === null) return { apiVersion: ApiVersion.v1 };
  return { apiVersion: ApiVersion.v2, keyspaceId: id, keyspaceName: name };
}
