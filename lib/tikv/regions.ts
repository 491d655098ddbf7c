/**
 * Requests to regions: ask a replica, and deal with what goes wrong on the way.
 *
 * G1. A stale cache is safe, only slow: every request carries the region's epoch and the store checks it.
 * G2. `send` gives back only after a reply, a typed error, or news of the region: each loop waits or makes progress,
 *     each wait is in the operation's budget, and a wait precedes every "locate again" whose fix is not known yet.
 * G3. `fate.uncertain` is set before anything else happens to a request that may have been executed unseen, and
 *     taken back only by a reply without errors.
 * Source: client-go internal/locate/{region_cache,region_request}.go.
 */
import { GrpcStatus, RpcError, TikvError } from "./errors.ts";
import { STORE_BUSY_MS } from "./limits.ts";
import type { Context } from "./messages_kv.ts";
import type { RegionError } from "./messages_meta.ts";
import { Kv, type Method } from "./methods.ts";
import type { Operation } from "./operation.ts";
import { RegionEntry, type Replica } from "./region_cache.ts";
import { RegionLookup } from "./regions_lookup.ts";
import { Choices } from "./regions_choice.ts";
import { type Attempt, kindOf, type Step, stepFor } from "./regions_errors.ts";
import type { Located, Placement, Regions, SendOptions, Wire } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";
import { Stores } from "./stores.ts";

export interface RegionsOptions {
  placement: Placement;
  wire: Wire;
  runtime: Runtime;
  /** What every request says besides region, epoch and peer: keyspace, API version, source. */
  context?: Context;
  /** Ends the work in the background. */
  signal: AbortSignal;
  /** Told what points to a bug of the client and was mended for this time. */
  onWarning?: (message: string) => void;
}

export function createRegions(options: RegionsOptions): Regions {
  return new Sender(options);
}

interface Reply {
  regionError: RegionError | null;
  /** Errors of keys, in the replies that have them. */
  error?: unknown;
  errors?: readonly unknown[];
}

class Sender implements Regions {
  readonly #options: RegionsOptions;
  readonly #context: Context;
  readonly #stores: Stores;
  readonly #lookup: RegionLookup;

  constructor(options: RegionsOptions) {
    this.#options = options;
    this.#context = { ...options.context, clusterId: options.placement.clusterId };
    this.#stores = new Stores(options);
    this.#lookup = new RegionLookup(options, this.#stores);
  }

  locate(wireKey: Uint8Array, op: Operation): Promise<Located> {
    return this.#lookup.locate({ key: wireKey, below: false }, op);
  }

  locateBefore(wireKey: Uint8Array, op: Operation): Promise<Located> {
    return this.#lookup.locate({ key: wireKey, below: true }, op);
  }

  async send<QInit, A extends Reply>(
    region: Located,
    // deno-lint-ignore no-explicit-any -- as in the interface
    method: Method<any, QInit, A, any>,
    request: QInit,
    options: SendOptions,
  ): Promise<A | null> {
    const { op, fate } = options;
    if (!(region instanceof RegionEntry) || region.dropped) return null;
    const choices = new Choices(region);
    for (let again = options.again ?? false;; again = true) {
      op.throwIfAborted();
      const replica = choices.next(this.#options.runtime.nowMs());
      if (replica === null) return await this.#exhausted(choices, op);
      const { store } = replica;
      if (store.address === null) await this.#stores.load(store, op);
      const { address } = store;
      if (address === null || !store.usable) continue; // the next choice passes it over

      let reply: A;
      try {
        const context = this.#contextOf(region, replica, options.context, again);
        reply = await this.#options.wire.call(address, method, { ...request, context }, {
          timeoutMs: options.timeoutMs,
          signal: op.signal,
        });
      } catch (error) {
        if (fate && mayHaveRun(error)) fate.uncertain = true;
        await this.#afterFailure(error, replica, choices, op);
        continue;
      }
      const error = reply.regionError;
      if (error === null) {
        if (fate && !reply.error && !reply.errors?.length) fate.uncertain = false;
        return reply;
      }
      const attempt: Attempt = {
        region,
        peers: region.replicas.map(({ peer }) => peer),
        asFollower: choices.asFollower,
        isPrewrite: method.path === Kv.prewrite.path,
        isFateful: fate !== undefined,
      };
      const step = stepFor(error, attempt);
      if (fate && step.also === "uncertain") fate.uncertain = true;
      const cause = describe(error, region, replica);
      if (!await this.#take(step, { cause, replica, choices, op })) return null;
    }
  }

  /** False when the caller is to locate anew. */
  async #take(
    step: Step,
    { cause, replica, choices, op }: { cause: string; replica: Replica; choices: Choices; op: Operation },
  ): Promise<boolean> {
    const { runtime, onWarning } = this.#options;
    if (step.also === "mark busy") {
      replica.store.busyUntilMs = runtime.nowMs() + STORE_BUSY_MS;
      choices.busy();
    } else if (step.also === "forget address") {
      this.#stores.forgetAddress(replica.store);
    } else if (step.also === "warn") {
      onWarning?.(cause);
    }
    switch (step.then) {
      case "again":
        if (step.wait !== undefined) await op.wait(step.wait, cause, { atMostMs: step.atMostMs ?? Infinity });
        return true;
      case "ask leader":
        if (step.leader === null || choices.lead(step.leader.id)) return true;
        this.#stores.doubtAddress(this.#stores.record(step.leader.storeId));
        choices.leave();
        await op.wait("scheduling", `${cause}, whose store cannot be reached`);
        return true;
      case "ask next":
        choices.leave();
        if (step.wait !== undefined) await op.wait(step.wait, cause);
        return true;
      case "drop":
        this.#lookup.drop(choices.region);
        await op.wait(step.wait, cause);
        return false;
      case "install": {
        this.#lookup.drop(choices.region);
        const installed = step.regions.map((each) => this.#lookup.install(each, replica.peer.storeId));
        if (!installed.includes(true)) await op.wait("regionMiss", cause);
        return false;
      }
      case "fail":
        throw new TikvError(step.code, `${op.name}: refused, ${cause}`);
    }
  }

  /** After a call without a reply. Throws what another attempt cannot mend. */
  async #afterFailure(
    error: unknown,
    replica: Replica,
    choices: Choices,
    op: Operation,
  ): Promise<void> {
    op.throwIfAborted();
    if (!(error instanceof RpcError)) throw error;
    const cause = `${at(choices.region, replica)}: ${error.message}`;
    if (error.status === GrpcStatus.unimplemented) {
      throw new TikvError("unsupported", cause, { cause: error });
    }
    if (/cluster.?id mismatch|mismatch.{0,10}cluster.?id/i.test(error.message)) {
      throw new TikvError("wrong-cluster", cause, { cause: error });
    }
    const liveness = await op.until(this.#stores.check(replica.store));
    // An unreachable leader is passed over at once: the others are other stores, so nobody is pressed.
    if (liveness === "unreachable") choices.leave();
    else await op.wait("storeCall", cause);
  }

  /** Nobody is left to ask: the region is looked up anew, after a wait. */
  async #exhausted({ region }: Choices, op: Operation): Promise<null> {
    this.#lookup.drop(region);
    const someAnswer = region.replicas.some(({ store }) => store.usable && store.liveness !== "unreachable");
    if (someAnswer) await op.wait("regionMiss", `region ${region.id}: no replica leads`);
    else await op.wait("storeCall", `region ${region.id}: none of its stores can be reached`);
    return null;
  }

  #contextOf(region: RegionEntry, replica: Replica, extra: Context | undefined, again: boolean): Context {
    replica.context ??= {
      ...this.#context,
      regionId: region.id,
      regionEpoch: { confVer: region.confVer, version: region.version },
      peer: replica.peer,
    };
    if (again) {
      // A stale or replica read that was refused is asked as what the leader can always answer.
      return { ...extra, ...replica.context, staleRead: false, replicaRead: false, isRetryRequest: true };
    }
    return extra === undefined ? replica.context : { ...extra, ...replica.context };
  }
}

/** Whether the far side may have executed a call that ended so. */
function mayHaveRun(error: unknown): boolean {
  if (error instanceof RpcError) return error.sent;
  return !(error instanceof TikvError && error.code === "tls");
}

function at(region: Located, { peer, store }: Replica): string {
  return `region ${region.id}, peer ${peer.id} at store ${peer.storeId} (${store.address ?? "no address"})`;
}

const MESSAGE_CHARS_MAX = 200;

function describe(error: RegionError, region: Located, replica: Replica): string {
  const message = error.message.slice(0, MESSAGE_CHARS_MAX);
  return `${at(region, replica)}: ${kindOf(error) ?? "region error"}${message && `, ${message}`}`;
}
