/**
 * The TiKV client beside the official Go client: the same work on the same servers, in turns.
 *
 * Real PD and three unistores on this machine, or the cluster of `TIKV_PD`, where keys below `bench/` are left. Keys of
 * 14 bytes, values of 128; each operation is a new transaction, so a get is a timestamp and a read. Writes commit in the
 * same way on both sides, for the Go client's default is two phases and ours is one where that is enough.
 * K1. Turns are short and alternate, so that what else the machine does meets both; ratios hold better than values.
 * K2. Of a case's turns the rates are those of all together, the percentiles the median of the turns.
 */
import { fileURLToPath } from "node:url";
import v8 from "node:v8";
import { type Client, connect, type ConnectOptions } from "../lib/tikv/client.ts";
import { type BenchResult, type GoClient, type GoCommit, startGoClient } from "../tests/tikv/go_client.ts";
import { anyCluster } from "../tests/tikv/any_cluster.ts";
import { type BenchOptions, judged, type Measured, median, type Report } from "./figure.ts";
import type { LongScan } from "./tikv_long_scan.ts";
import { benchOurs, type Work } from "./tikv_ours.ts";

const CALLERS = [1, 16, 256];
const TURNS = 4;
const WARM_SECONDS = 0.5;
const WARM_CALLERS = 16;
const KEYS = { prefix: new TextEncoder().encode("bench/"), keyCount: 20_000, valueBytes: 128 };
const PEER = "the Go client";
/** Of the Go client's, in one process. */
const THROUGHPUT_GOAL = 0.7;
/** Ours may be 1.25 times as long. */
const LATENCY_GOAL = 0.8;

const COMMITS = {
  "2pc": { onePhase: false, async: false },
  "async": { onePhase: false, async: true },
  "1pc": { onePhase: true, async: true },
} as const satisfies Record<GoCommit, ConnectOptions["commit"]>;

interface Case {
  name: string;
  bench: Work;
  commit: GoCommit;
}

const READS: Case[] = [
  { name: "get", bench: "get", commit: "2pc" },
  { name: "batch get of 16", bench: "batch-get", commit: "2pc" },
  { name: "scan of 100", bench: "scan", commit: "2pc" },
];
const WRITES: Case[] = [
  { name: "put of 1, two phases", bench: "put1", commit: "2pc" },
  { name: "put of 16, two phases", bench: "put16", commit: "2pc" },
  { name: "put of 16, async commit", bench: "put16", commit: "async" },
  { name: "put of 1, one phase", bench: "put1", commit: "1pc" },
  { name: "put of 16, one phase", bench: "put16", commit: "1pc" },
];

const BUSY_CALLERS = 64;
const TICK_MS = 1;

const LONG_PREFIX = "bench/long/";
const LONG_PAIRS = 1_000_000;
/** Memory is constant when ten times as many pairs need hardly more. */
const SHORT_PAIRS = LONG_PAIRS / 10;
const MEMORY_GOAL = 0.8;
const LOAD = { callers: 8, keysEach: 1_000 };

export async function run(report: Report, { seconds }: BenchOptions): Promise<void> {
  await using cluster = await anyCluster();
  const [pd = ""] = cluster.pd;
  await using go = await startGoClient(cluster.pd);
  await go.bench({ ...KEYS, bench: "load", callers: 1, seconds });
  await warmUp(pd, go);
  for (const each of [...READS, ...WRITES]) {
    await using client = await connect({ pd: [pd], commit: COMMITS[each.commit] });
    await benchOurs(client, { ...KEYS, bench: "get", callers: 1, seconds: WARM_SECONDS }); // connects and locates
    await compare(report, { ...each, client, go, seconds });
  }
  await measureBusy(report, pd, seconds);
  await measureLongScan(report, pd);
}

/** So that the first case is not the one in which code is compiled. */
async function warmUp(pd: string, go: GoClient): Promise<void> {
  await using client = await connect({ pd: [pd] });
  for (const { bench, commit } of [...READS, ...WRITES]) {
    const turn = { ...KEYS, bench, callers: WARM_CALLERS, seconds: WARM_SECONDS };
    await benchOurs(client, turn);
    await go.bench({ ...turn, commit });
  }
}

interface Comparison extends Case {
  client: Client;
  go: GoClient;
  seconds: number;
}

async function compare(
  report: Report,
  { name, bench, commit, client, go, seconds }: Comparison,
): Promise<void> {
  for (const callers of CALLERS) {
    const turn = { ...KEYS, bench, callers, seconds: seconds / TURNS };
    const turns: { ours: BenchResult; theirs: BenchResult }[] = [];
    for (let count = 0; count < TURNS; count++) {
      turns.push({ ours: await benchOurs(client, turn), theirs: await go.bench({ ...turn, commit }) });
    }
    const [ours, theirs] = [
      summary(turns.map(({ ours }) => ours)),
      summary(turns.map(({ theirs }) => theirs)),
    ];
    const figure = (what: keyof Summary, unit: string, goal?: number) =>
      report(judged({
        ...base(`${name}, ${callers} callers: ${what}`, ours[what], unit),
        peer: { name: PEER, value: theirs[what] },
        ...goal !== undefined && { goal: { ratio: goal } },
      }));
    figure("throughput", "tx/s", THROUGHPUT_GOAL);
    figure("p50", "ms", LATENCY_GOAL);
    figure("p95", "ms");
    figure("p99", "ms");
    figure("CPU each", "us");
  }
}

interface Summary {
  throughput: number;
  p50: number;
  p95: number;
  p99: number;
  "CPU each": number;
}

/** K2. */
function summary(turns: readonly BenchResult[]): Summary {
  const sum = (of: (turn: BenchResult) => number) => turns.reduce((total, turn) => total + of(turn), 0);
  const ops = sum((turn) => turn.ops);
  return {
    throughput: ops / sum((turn) => turn.seconds),
    p50: median(turns.map(({ p50Ms }) => p50Ms)),
    p95: median(turns.map(({ p95Ms }) => p95Ms)),
    p99: median(turns.map(({ p99Ms }) => p99Ms)),
    "CPU each": sum((turn) => turn.cpuSeconds) * 1e6 / ops,
  };
}

/** What many transactions at once cost the process around them: memory to collect, and turns of its event loop. */
async function measureBusy(report: Report, pd: string, seconds: number): Promise<void> {
  await using client = await connect({ pd: [pd], commit: COMMITS["2pc"] });
  const idle = await lateness(() => new Promise((resolve) => setTimeout(resolve, seconds * 1_000)));
  for (const { name, bench } of [...READS, ...WRITES.slice(0, 2)]) {
    const before = allocatedBytes();
    let ops = 0;
    const busy = await lateness(async () => {
      ({ ops } = await benchOurs(client, { ...KEYS, bench, callers: BUSY_CALLERS, seconds }));
    });
    const each = `${name}, ${BUSY_CALLERS} callers`;
    report(judged(base(`${each}: allocated each`, (allocatedBytes() - before) / ops / 1_024, "KiB")));
    for (const what of ["p50", "p99"] as const) {
      report(judged({
        ...base(`${each}: event loop late, ${what}`, busy[what], "ms"),
        peer: { name: "idle", value: idle[what] },
      }));
    }
  }
}

/** How late a timer comes while `work` goes on. */
async function lateness(work: () => Promise<void>): Promise<{ p50: number; p99: number }> {
  let working = true;
  const done = work().finally(() => working = false);
  const lateMs: number[] = [];
  while (working) {
    const startMs = performance.now();
    await new Promise((resolve) => setTimeout(resolve, TICK_MS));
    lateMs.push(performance.now() - startMs - TICK_MS);
  }
  await done;
  lateMs.sort((a, b) => a - b);
  const at = (share: number) => lateMs[Math.floor(share * (lateMs.length - 1))] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

/** On V8's heap since the process began, whether collected or not. */
function allocatedBytes(): number {
  const bytes: unknown = Reflect.get(v8.getHeapStatistics(), "total_allocated_bytes");
  if (typeof bytes !== "number") throw new Error("Cannot measure allocations: V8 does not count them here");
  return bytes;
}

async function measureLongScan(report: Report, pd: string): Promise<void> {
  await loadLong(pd);
  const short = await longScan(pd, SHORT_PAIRS);
  const long = await longScan(pd, LONG_PAIRS);
  const name = `scan of ${LONG_PAIRS.toLocaleString("en")}`;
  report(judged(base(`${name}: throughput`, long.pairs / long.seconds, "pairs/s")));
  report(judged({
    ...base(`${name}: peak memory`, long.peakMb, "MB"),
    peer: { name: `scan of ${SHORT_PAIRS.toLocaleString("en")}`, value: short.peakMb },
    goal: { ratio: MEMORY_GOAL },
  }));
}

async function loadLong(pd: string): Promise<void> {
  await using client = await connect({ pd: [pd], commit: COMMITS["2pc"] });
  const encoder = new TextEncoder();
  const value = new Uint8Array(KEYS.valueBytes).fill(0x76);
  let next = 0;
  await Promise.all(Array.from({ length: LOAD.callers }, async () => {
    while (next < LONG_PAIRS) {
      const from = next;
      next += LOAD.keysEach;
      await client.transaction((tx) => {
        for (let number = from; number < from + LOAD.keysEach; number++) {
          tx.put(encoder.encode(`${LONG_PREFIX}${String(number).padStart(8, "0")}`), value);
        }
      });
    }
  }));
}

async function longScan(pd: string, pairs: number): Promise<LongScan> {
  const program = fileURLToPath(new URL("tikv_long_scan.ts", import.meta.url));
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", program, pd, LONG_PREFIX, String(pairs)],
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot measure a scan of ${pairs}: its process failed`);
  const scan: LongScan = JSON.parse(new TextDecoder().decode(stdout));
  if (scan.pairs !== pairs) throw new Error(`Cannot measure a scan of ${pairs}: it found ${scan.pairs}`);
  return scan;
}

function base(name: string, value: number, unit: string): Omit<Measured, "peer" | "goal"> {
  return { bench: "tikv", case: name, value, unit };
}
