/**
 * What the embedded store does in a second: one-key writes by 1, 16 and 256 callers, reads, and a scan of 1,000.
 *
 * The floor is what SQLite itself does with the same keys, values and sync, one transaction a put, without snapshots,
 * conflicts or promises. Above it is what group commit gains, below it what the contract costs.
 */
import { DatabaseSync } from "node:sqlite";
import { realScope } from "../lib/mesh/real_scope.ts";
import { openSqliteStore } from "../lib/store/sqlite.ts";
import { prefixRange, type Store } from "../lib/store/store.ts";
import { type BenchOptions, judged, type Report } from "./figure.ts";

type Sync = "full" | "normal";

const CALLERS = [1, 16, 256];
const KEYS = 10_000;
const SCAN_ENTRIES = 1_000;
const VALUE = new Uint8Array(200).fill(0x61);
const FLOOR = "node:sqlite, one transaction a put";
/** With 256 callers, a sync shared must pay for all that the contract costs, at least. */
const SHARED_SYNC_GOAL = 1;

export async function run(report: Report, { seconds }: BenchOptions): Promise<void> {
  const media = [["file, full sync", "full"], ["file, normal sync", "normal"], ["memory", "full"]] as const;
  const caseMs = seconds * 1_000;
  for (const [medium, sync] of media) {
    const folder = await Deno.makeTempDir({ prefix: "salar-bench-" });
    try {
      const at = (name: string) => medium === "memory" ? ":memory:" : `${folder}/${name}.db`;
      await measure(report, {
        medium,
        caseMs,
        floor: rawPuts(at("raw"), sync, caseMs),
        path: at("store"),
        sync,
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
}

interface Medium {
  medium: string;
  path: string;
  sync: Sync;
  caseMs: number;
  /** Puts in a second without the store. */
  floor: number;
}

async function measure(report: Report, medium: Medium): Promise<void> {
  const { caseMs, floor, path, sync } = medium;
  const figure = (name: string, value: number, unit: string) => ({
    bench: "store",
    case: `${name}, ${medium.medium}`,
    value,
    unit,
  });
  report(judged(figure("floor: put", floor, "tx/s")));

  const store = openSqliteStore({ path, sync });
  for (const callers of CALLERS) {
    const perSecond = await writes(store, callers, caseMs);
    const shares = callers === 256 && medium.medium === "file, full sync";
    report(judged({
      ...figure(`write, ${callers} callers`, perSecond, "tx/s"),
      peer: { name: FLOOR, value: floor },
      ...(shares ? { goal: { ratio: SHARED_SYNC_GOAL } } : {}),
    }));
  }
  report(judged(figure("get", await gets(store, caseMs), "tx/s")));
  report(judged(figure(`scan of ${SCAN_ENTRIES}`, await scans(store, caseMs), "scans/s")));
  await store.close();
}

async function writes(store: Store, callers: number, ms: number): Promise<number> {
  const scope = realScope({ name: "bench" });
  let n = 0;
  return await perSecond(ms, callers, () =>
    store.write(scope, (tx) => {
      tx.put(keyOf(n++), VALUE); // callers take turns, so none meets another: conflicts are not what is measured
      return Promise.resolve();
    }));
}

async function gets(store: Store, ms: number): Promise<number> {
  const scope = realScope({ name: "bench" });
  let n = 0;
  return await perSecond(ms, 1, () => store.read(scope, (tx) => tx.get(keyOf(n++ * 7_919))));
}

async function scans(store: Store, ms: number): Promise<number> {
  const scope = realScope({ name: "bench" });
  return await perSecond(ms, 1, async () => {
    const page = await store.read(scope, (tx) => tx.scan(prefixRange("key/"), { limit: SCAN_ENTRIES }));
    if (page.length !== SCAN_ENTRIES) {
      throw new Error(`Cannot measure scan: ${page.length} entries came back`);
    }
  });
}

/** How often `work` ends in a second with so many callers at once. */
async function perSecond(ms: number, callers: number, work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  let done = 0;
  await Promise.all(Array.from({ length: callers }, async () => {
    while (performance.now() - startMs < ms) {
      await work();
      done++;
    }
  }));
  return done / (performance.now() - startMs) * 1_000;
}

function rawPuts(path: string, sync: Sync, ms: number): number {
  const db = new DatabaseSync(path);
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${sync};
    CREATE TABLE entry (key TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) WITHOUT ROWID`);
  const put = db.prepare("INSERT OR REPLACE INTO entry VALUES (?, ?)");
  const startMs = performance.now();
  let n = 0;
  while (performance.now() - startMs < ms) put.run(keyOf(n++), VALUE);
  const perSecond = n / (performance.now() - startMs) * 1_000;
  db.close();
  return perSecond;
}

function keyOf(n: number): string {
  return `key/${String(n % KEYS).padStart(6, "0")}`;
}
