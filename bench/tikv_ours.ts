/**
 * Our client doing the work that `tests/tikv/go/bench.go` gives the Go client: the same keys, sizes and choices, each
 * operation in a new transaction, `callers` of them at once.
 */
import process from "node:process";
import type { Client } from "../lib/tikv/client.ts";
import type { BenchOptions, BenchResult } from "../tests/tikv/go_client.ts";

const BATCH = 16;
const SCAN = 100;

/** What the Go client loads, ours works on. */
export type Work = Exclude<BenchOptions["bench"], "load">;

type WorkOptions = Omit<BenchOptions, "bench" | "commit"> & { bench: Work };

/** One operation. `slot` is a random number below `keyCount / callers`. */
type Operate = (caller: number, slot: number) => Promise<unknown>;

/** The client's own options say how it commits. */
export async function benchOurs(client: Client, options: WorkOptions): Promise<BenchResult> {
  const { bench, callers, seconds, keyCount } = options;
  const operate = operationOf(client, options);
  const latenciesMs: number[] = [];
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  const untilMs = startMs + seconds * 1_000;
  await Promise.all(Array.from({ length: callers }, async (_, caller) => {
    for (let nowMs = startMs; nowMs < untilMs;) {
      await operate(caller, Math.floor(Math.random() * Math.floor(keyCount / callers)));
      const doneMs = performance.now();
      latenciesMs.push(doneMs - nowMs);
      nowMs = doneMs;
    }
  }));
  const took = (performance.now() - startMs) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const ops = latenciesMs.length;
  const sorted = Float64Array.from(latenciesMs).sort();
  const at = (share: number) => sorted[Math.floor(share * (ops - 1))] ?? NaN;
  return {
    bench,
    callers,
    seconds: took,
    ops,
    opsPerS: ops / took,
    p50Ms: at(0.5),
    p95Ms: at(0.95),
    p99Ms: at(0.99),
    cpuSeconds: (user + system) / 1e6,
  };
}

function operationOf(client: Client, options: WorkOptions): Operate {
  const { bench, callers, keyCount, valueBytes } = options;
  const slots = Math.floor(keyCount / callers);
  const value = new Uint8Array(valueBytes).fill(0x76);
  const keys = keysOf(options);
  const keyOf = (number: number) => keys[number] as Uint8Array;
  /** The n keys from `slot` on that belong to the caller. */
  const own = (caller: number, slot: number, n: number) =>
    Array.from({ length: n }, (_, at) => keyOf(((slot + at) % slots) * callers + caller));
  const write = (n: number): Operate => async (caller, slot) => {
    const tx = client.begin();
    for (const key of own(caller, slot, n)) tx.put(key, value);
    await tx.commit();
  };
  switch (bench) {
    case "get":
      return async (caller, slot) => {
        requireFound((await client.snapshot().get(keyOf(slot * callers + caller))) === null ? 0 : 1, 1);
      };
    case "batch-get":
      return async (caller, slot) => {
        const values = await client.snapshot().getMany(own(caller, slot, BATCH));
        requireFound(values.filter((found) => found !== null).length, BATCH);
      };
    case "scan":
      return async (caller, slot) => {
        const first = (slot * callers + caller) % (keyCount - SCAN);
        const range = { from: keyOf(first), to: keyOf(first + SCAN) };
        let found = 0;
        for await (const _ of client.snapshot().scan(range, { limit: SCAN })) found++;
        requireFound(found, SCAN);
      };
    case "put1":
      return write(1);
    case "put16":
      return write(BATCH);
  }
}

/** All of them, made beforehand: what it costs to make a key is no part of the client. */
function keysOf({ prefix, keyCount }: Pick<BenchOptions, "prefix" | "keyCount">): Uint8Array[] {
  const encoder = new TextEncoder();
  const text = new TextDecoder().decode(prefix);
  return Array.from(
    { length: keyCount },
    (_, number) => encoder.encode(text + String(number).padStart(8, "0")),
  );
}

function requireFound(found: number, wanted: number): void {
  if (found !== wanted) throw new Error(`Cannot measure: ${found} of ${wanted} keys are there`);
}
