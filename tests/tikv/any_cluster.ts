/** Whatever cluster a test is to run on: that of `TIKV_PD` (`host:port,…`), any real one, or one started for it. */
import { startTikv } from "../parts/tikv.ts";

export interface AnyCluster extends AsyncDisposable {
  pd: string[];
  /**
   * How commits go that others must never see below their snapshots: reads of unistore do not keep later one-phase and
   * async commits above them (docs/tikv.md), those of TiKV do.
   */
  commit: { onePhase: boolean; async: boolean };
}

export async function anyCluster(): Promise<AnyCluster> {
  const given = Deno.env.get("TIKV_PD");
  if (given !== undefined) {
    const commit = { onePhase: true, async: true };
    return { pd: given.split(","), commit, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const started = await startTikv();
  const commit = { onePhase: false, async: false };
  return { pd: started.pd, commit, [Symbol.asyncDispose]: () => started.stop() };
}
