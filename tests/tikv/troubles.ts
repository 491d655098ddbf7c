/**
 * Trouble for a real cluster while a test works on it: servers that die, hang and come back, leaders that move; drawn
 * by seed, one after the other.
 *
 * T1. Each trouble is over when it resolves: every server runs again. So stopping between two leaves a whole cluster.
 * T2. A store is taken away only while every region has all its copies: two of three have to be left.
 * T3. A unistore forgets locks when it starts, or when it gets a copy of a region. So one that was killed leads nothing
 *     before the locks of that time are gone, and no region splits here.
 */
import { type Random } from "../../lib/seams.ts";
import { waitFor } from "../parts/wait.ts";
import { between, pick } from "../simulation/random.ts";
import type { TikvCluster } from "../parts/tikv.ts";

const REPLICAS = 3;
const WHOLE_MS_MAX = 60_000;
/** Longer than a lock of a dead client lives. */
const LOCKS_MS = 22_000;

export interface Trouble {
  name: string;
  run(): Promise<void>;
}

export interface StoreTroublesOptions {
  random: Random;
  /** Of regions whose leaders are to move. */
  keys: readonly Uint8Array[];
  /** Settles every lock whose time has passed, by reading everything. */
  settle(): Promise<void>;
}

export function storeTroubles(
  cluster: TikvCluster,
  { random, keys, settle }: StoreTroublesOptions,
): Trouble[] {
  return [
    {
      name: "a store is killed",
      async run() {
        const store = pick(random, cluster.stores);
        await isWhole(cluster); // T2
        await store.kill();
        await othersLead(cluster, store.address); // T3
        await store.start();
        await isWhole(cluster);
        await pause(LOCKS_MS); // T3
        await settle();
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
    { name: "a leader moves", run: async () => void await cluster.transferLeader(pick(random, keys)) },
  ];
}

export function placementTroubles(cluster: TikvCluster, random: Random): Trouble[] {
  return [{
    name: "PD is killed",
    async run() {
      await cluster.killPd();
      await pause(between(random, 0, 1_000));
      await cluster.startPd();
    },
  }];
}

/** One trouble after the other, in rounds that hold each of them once, until `signal` aborts. */
export async function disturb(
  troubles: readonly Trouble[],
  { random, signal, pauseMs, counts }: {
    random: Random;
    signal: AbortSignal;
    pauseMs: number;
    /** Is told how often each has come. */
    counts: Map<string, number>;
  },
): Promise<void> {
  for (const { name } of troubles) counts.set(name, 0);
  while (!signal.aborted) {
    const round = [...troubles];
    while (round.length > 0 && !signal.aborted) {
      const [{ name, run }] = round.splice(random.below(round.length), 1) as [Trouble];
      await run();
      counts.set(name, (counts.get(name) ?? 0) + 1);
      await pause(between(random, 0, pauseMs * 2));
    }
  }
}

async function othersLead(cluster: TikvCluster, address: string): Promise<void> {
  await waitFor("other leaders", WHOLE_MS_MAX, async () => {
    const regions = await cluster.regions();
    return regions.every(({ leader }) => leader !== null && leader !== address);
  });
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
