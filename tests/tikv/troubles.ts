/**
 * Trouble for a real cluster while a test works on it: servers that die, hang and come back, leaders that move; drawn
 * by seed, one after the other. Regions do not split here: a unistore forgets at its next start the locks that it got
 * with a copy of a region, and only a split makes copies.
 *
 * T1. Each trouble is over when it resolves: every server runs again. So stopping between two leaves a whole cluster.
 * T2. A store is taken away only while every region has all its copies: two of three have to be left.
 */
import { type Random } from "../../lib/seams.ts";
import { waitFor } from "../parts/wait.ts";
import { between, pick } from "../simulation/random.ts";
import type { TikvCluster } from "../parts/tikv.ts";

const REPLICAS = 3;
const WHOLE_MS_MAX = 60_000;

export interface Trouble {
  name: string;
  run(): Promise<void>;
}

export interface ClusterTroublesOptions {
  random: Random;
  /** Of regions whose leaders are to move. */
  keys: readonly Uint8Array[];
}

export function clusterTroubles(cluster: TikvCluster, { random, keys }: ClusterTroublesOptions): Trouble[] {
  return [
    {
      name: "a store is killed",
      async run() {
        const store = pick(random, cluster.stores);
        await isWhole(cluster); // T2
        await store.kill();
        await pause(between(random, 200, 3_000));
        await store.start();
      },
    },
    {
      name: "a store hangs",
      async run() {
        const store = pick(random, cluster.stores);
        await isWhole(cluster); // T2
        await store.pause();
        await pause(between(random, 200, 2_000));
        await store.resume();
      },
    },
    {
      name: "PD is killed",
      async run() {
        await cluster.killPd();
        await pause(between(random, 0, 1_000));
        await cluster.startPd();
      },
    },
    { name: "a leader moves", run: async () => void await cluster.transferLeader(pick(random, keys)) },
  ];
}

/**
 * One trouble after the other, in rounds that hold each of them once, until `signal` aborts.
 * @returns How often each of them came.
 */
export async function disturb(
  troubles: readonly Trouble[],
  { random, signal, pauseMs }: { random: Random; signal: AbortSignal; pauseMs: number },
): Promise<Map<string, number>> {
  const counts = new Map(troubles.map(({ name }) => [name, 0]));
  while (!signal.aborted) {
    const round = [...troubles];
    while (round.length > 0 && !signal.aborted) {
      const [{ name, run }] = round.splice(random.below(round.length), 1) as [Trouble];
      await run();
      counts.set(name, (counts.get(name) ?? 0) + 1);
      await pause(between(random, 0, pauseMs * 2));
    }
  }
  return counts;
}

async function isWhole(cluster: TikvCluster): Promise<void> {
  const copies = Math.min(REPLICAS, cluster.stores.length);
  await waitFor("all copies of all regions", WHOLE_MS_MAX, async () => {
    const regions = await cluster.regions();
    return regions.every(({ leader, stores }) => leader !== null && stores.length === copies);
  });
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
