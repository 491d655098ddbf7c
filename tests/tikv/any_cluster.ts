/**
 * Whatever cluster a test is to run on: that of `TIKV_PD` (`host:port,…`), any real one, or one started for it.
 *
 * Tests that kill servers need their own and start them whatever `TIKV_PD` says: `startTikv()` of tests/parts.
 */
import { startTikv, type TikvCluster } from "../parts/tikv.ts";
import { type TikvTopology, topologyOf } from "../parts/tikv_topology.ts";

export interface AnyCluster extends TikvTopology, AsyncDisposable {
  /** Null where the cluster was given: its servers are not ours to kill. */
  servers: TikvCluster | null;
  /**
   * How commits go that others must never see below their snapshots: reads of unistore do not keep later one-phase and
   * async commits above them (docs/tikv.md), those of TiKV do.
   */
  commit: { onePhase: boolean; async: boolean };
}

export async function anyCluster(): Promise<AnyCluster> {
  const given = Deno.env.get("TIKV_PD");
  if (given !== undefined) {
    const topology = topologyOf(given.split(",").map((address) => `http://${address}`));
    const commit = { onePhase: true, async: true };
    return { ...topology, servers: null, commit, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const servers = await startTikv();
  const commit = { onePhase: false, async: false };
  return { ...topologyOf(servers.pd), servers, commit, [Symbol.asyncDispose]: () => servers.stop() };
}
