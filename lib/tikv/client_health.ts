/** Whether the cluster would serve a request now. */
import type { Core } from "./client_core.ts";
import { GrpcStatus, RpcError } from "./errors.ts";
import { inParallel } from "./grouping.ts";
import { BATCHES_AT_ONCE_MAX, BUDGET_MS, HEALTH_CALL_MS } from "./limits.ts";
import { HealthStatus } from "./messages_kv.ts";
import { StoreState } from "./messages_meta.ts";
import { Store } from "./methods.ts";
import type { Wire } from "./rpc.ts";
import { physicalMs } from "./transaction_time.ts";

export interface Health {
  clusterId: bigint;
  /** Of the cluster's clock, milliseconds since 1970. */
  nowMs: number;
  stores: StoreHealth[];
}

export interface StoreHealth {
  id: bigint;
  /** `host:port`. */
  address: string;
  version: string;
  /** Whether it answered that it serves, within a second. */
  serving: boolean;
}

export async function checkHealth(core: Core, wire: Wire, signal: AbortSignal | undefined): Promise<Health> {
  const op = core.operation("check health", BUDGET_MS.timestamp, signal);
  const now = await core.placement.timestamp(op);
  const stores: StoreHealth[] = [];
  const known = (await core.placement.stores(op)).filter(({ state }) => state !== StoreState.tombstone);
  await inParallel(known, BATCHES_AT_ONCE_MAX, async ({ id, address, version }) => {
    stores.push({ id, address, version, serving: await serves(wire, address, signal) });
    op.throwIfAborted();
  });
  stores.sort((a, b) => a.id < b.id ? -1 : 1);
  return { clusterId: core.placement.clusterId, nowMs: physicalMs(now), stores };
}

async function serves(wire: Wire, address: string, signal: AbortSignal | undefined): Promise<boolean> {
  const options = { timeoutMs: HEALTH_CALL_MS, signal };
  try {
    return (await wire.call(address, Store.health, { service: "" }, options)).status === HealthStatus.serving;
  } catch (error) {
    return error instanceof RpcError && error.status === GrpcStatus.unimplemented; // it answers, after all
  }
}
