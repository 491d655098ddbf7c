/**
 * Stores: where each listens, and whether it can be reached.
 *
 * S1. A store is unreachable once its health check fails, and stays so until one succeeds; meanwhile it is checked
 *     every second and its address read anew, at first at once, then every half minute, and whenever a living
 *     store says that it leads: so it runs, and elsewhere.
 * S2. `failures` rises whenever a store becomes unreachable: whoever remembers something of the store under an older
 *     count looks it up again.
 * S3. A store that the placement driver has buried, or that holds no keys of ours (TiFlash), is not usable: never
 *     asked.
 * Source: client-go internal/locate/store_cache.go.
 */
import { GrpcStatus, RpcError } from "./errors.ts";
import { BUDGET_MS, HEALTH_CALL_MS, STORE_ADDRESS_REFRESH_MS, STORE_CHECK_EVERY_MS } from "./limits.ts";
import { HealthStatus } from "./messages_kv.ts";
import { type Store as StoreMessage, StoreState } from "./messages_meta.ts";
import { Store as StoreMethods } from "./methods.ts";
import { Operation } from "./operation.ts";
import type { Placement, Wire } from "./rpc.ts";
import type { Runtime } from "./runtime.ts";

/** `unknown`: something answers there and does not say how it is. */
export type Liveness = "reachable" | "unknown" | "unreachable";

/** What is known of one store; one object for the life of the client, changed only by its `Stores`. */
export interface StoreRecord {
  readonly id: bigint;
  /** `host:port`; null before it is asked for. */
  address: string | null;
  usable: boolean;
  liveness: Liveness;
  failures: number;
  /** When its address was last read because it was unreachable. */
  addressReadAtMs: number;
  /** Until when it is the last choice, since it said that it is busy. */
  busyUntilMs: number;
  loading: Promise<void> | null;
  checking: Promise<Liveness> | null;
}

/** One of which nothing is known yet. */
export function newRecord(id: bigint): StoreRecord {
  return {
    id,
    address: null,
    usable: true,
    liveness: "reachable",
    failures: 0,
    addressReadAtMs: -Infinity,
    busyUntilMs: -Infinity,
    loading: null,
    checking: null,
  };
}

export interface StoresOptions {
  placement: Placement;
  wire: Wire;
  runtime: Runtime;
  /** Ends the checks in the background. */
  signal: AbortSignal;
}

export class Stores {
  readonly #options: StoresOptions;
  readonly #records = new Map<bigint, StoreRecord>();

  constructor(options: StoresOptions) {
    this.#options = options;
  }

  record(id: bigint): StoreRecord {
    let record = this.#records.get(id);
    if (record === undefined) this.#records.set(id, record = newRecord(id));
    return record;
  }

  /** Learns the address, or that the store is not usable. All who ask at once share one look-up. */
  async load(store: StoreRecord, op: Operation): Promise<void> {
    await op.until(this.#load(store));
  }

  /** After a call to it failed. Sees to S1 when it does not answer; all who ask at once share one check. */
  async check(store: StoreRecord): Promise<Liveness> {
    if (store.liveness === "unreachable") return "unreachable"; // being watched already
    store.checking ??= this.#health(store).finally(() => store.checking = null);
    const liveness = await store.checking;
    this.#found(store, liveness);
    return liveness;
  }

  /** After a living store said that this one, though it is unreachable, leads: see S1. */
  doubtAddress(store: StoreRecord): void {
    store.addressReadAtMs = -Infinity;
  }

  /** After another store answered at its address. */
  forgetAddress(store: StoreRecord): void {
    if (store.address !== null) this.#options.wire.disconnect(store.address);
    store.address = null;
  }

  #found(store: StoreRecord, liveness: Liveness): void {
    if (store.liveness === "unreachable") return; // another caller of the same check was here first
    store.liveness = liveness;
    if (liveness !== "unreachable") return;
    store.failures += 1;
    void this.#watch(store);
  }

  #load(store: StoreRecord): Promise<void> {
    store.loading ??= this.#read(store).finally(() => store.loading = null);
    return store.loading;
  }

  async #read(store: StoreRecord): Promise<void> {
    const { placement, wire, runtime, signal } = this.#options;
    const name = `look up store ${store.id}`;
    const op = new Operation({ name, budgetMs: BUDGET_MS.read, runtime, signal });
    const found = await placement.store(store.id, op);
    store.usable = found.state !== StoreState.tombstone && !isTiFlash(found);
    if (!store.usable || found.address === store.address) return;
    if (store.address !== null) wire.disconnect(store.address);
    store.address = found.address;
  }

  async #health({ address }: StoreRecord): Promise<Liveness> {
    if (address === null) return "unknown";
    const { wire } = this.#options;
    try {
      const options = { timeoutMs: HEALTH_CALL_MS };
      const { status } = await wire.call(address, StoreMethods.health, { service: "" }, options);
      if (status === HealthStatus.serving) return "reachable";
      return status === HealthStatus.notServing ? "unreachable" : "unknown";
    } catch (error) {
      const answered = error instanceof RpcError && error.status === GrpcStatus.unimplemented;
      return answered ? "unknown" : "unreachable";
    }
  }

  async #watch(store: StoreRecord): Promise<void> {
    const { runtime, signal } = this.#options;
    store.addressReadAtMs = -Infinity;
    while (!signal.aborted) {
      if (runtime.nowMs() - store.addressReadAtMs >= STORE_ADDRESS_REFRESH_MS) {
        store.addressReadAtMs = runtime.nowMs();
        await this.#load(store).catch(() => {}); // the placement driver may be away too: next time
      }
      store.liveness = store.usable ? await this.#health(store) : "unknown";
      if (store.liveness !== "unreachable") return;
      await runtime.sleep(STORE_CHECK_EVERY_MS, signal).catch(() => {}); // an abort ends the loop
    }
  }
}

function isTiFlash({ labels }: StoreMessage): boolean {
  return labels.some(({ key, value }) => key === "engine" && value.startsWith("tiflash"));
}
