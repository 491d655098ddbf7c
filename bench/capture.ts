/**
 * Change capture: how long a row takes from its database to the bus, and how many rows and transactions pass.
 *
 * Real PostgreSQL with Uyuni's tables, real NATS with `sync_interval: always`, the agent's own capture and signatures,
 * all on this machine; agent, writer and reader share one process. A latency runs from the moment at which the writer
 * sends its UPDATE, so it includes the commit, to the moment at which a consumer of the stream has the message.
 */
import { changeFeed } from "../agents/node/feed.ts";
import { setup } from "../agents/node/setup_run.ts";
import { connectSql } from "../agents/node/sql.ts";
import { memoryDisk } from "../agents/node/testing.ts";
import { nodeTrust } from "../agents/node/trust.ts";
import type { Bus } from "../lib/bus/bus.ts";
import { connectNats } from "../lib/bus/nats.ts";
import { CHANGES } from "../lib/bus/subjects.ts";
import { CAPTURE_TABLES } from "../lib/cluster/capture_tables.ts";
import { Changes, STATEMENT_KINDS } from "../lib/cluster/protocol.ts";
import { silentLog } from "../lib/log.ts";
import { realCrypt } from "../lib/mesh/real_crypt.ts";
import { realScope } from "../lib/mesh/real_scope.ts";
import type { Scope } from "../lib/seams.ts";
import { generateIdentity, type Identity } from "../lib/secure/keys.ts";
import { openStatement } from "../lib/secure/statement.ts";
import {
  CAPTURE_SETTINGS,
  connectApp,
  createUyuni,
  insertServer,
  startCapture,
} from "../tests/integration/capture_support.ts";
import { startNats } from "../tests/parts/nats.ts";
import { startPostgres } from "../tests/parts/postgres.ts";
import { waitFor } from "../tests/parts/wait.ts";
import { type BenchOptions, judged, median, type Report } from "./figure.ts";

const CLUSTER = "c-bench";
const GOAL_MEDIAN_MS = 20;
const SERVERS = 100;
const FIRST_ID = 1000010000;
const BULK_ROWS = 20_000;
const WRITERS = 8;
const PAUSE_MS = 2;
const WAIT_MS = 60_000;

type App = Awaited<ReturnType<typeof connectApp>>;

export async function run(report: Report, { seconds }: BenchOptions): Promise<void> {
  const ending = new AbortController();
  const scope = realScope({ name: "bench", signal: ending.signal });
  await using postgres = await startPostgres({ logical: true, settings: CAPTURE_SETTINGS });
  await using nats = await startNats();
  const database = await createUyuni(postgres, "uyuni");
  const sql = await connectSql(database, "bench setup");
  await setup(sql, CAPTURE_TABLES, { dryRun: false });
  await sql.close();
  const writers = await Promise.all(Array.from({ length: WRITERS }, () => connectApp(database)));
  const [first] = writers;
  if (first === undefined) throw new Error("Assertion failed: there is a writer");
  for (let n = 0; n < SERVERS; n++) await first.query(insertServer(FIRST_ID + n, "name"));

  const connect = () =>
    connectNats(scope, { servers: [nats.url], replicas: 1, name: "bench", log: silentLog });
  const bus = await connect();
  await bus.ensureStreams(scope, [CHANGES]);
  const node = generateIdentity();
  const cluster = generateIdentity();
  const reader = await readChanges(scope, bus, { node, cluster });
  const feed = changeFeed({
    bus: await connect(),
    trust: nodeTrust(node, realCrypt()),
    cluster: { cluster: CLUSTER, clusterKey: cluster.spki.toBase64() },
    log: silentLog,
  });
  const capture = startCapture({ database, disk: memoryDisk(), emit: feed });
  try {
    await waitFor("first copy", WAIT_MS, () => reader.rows() >= SERVERS);
    const windowMs = seconds * 1_000;
    reportLatency(report, await latencies(first, reader, windowMs));
    const many = await rate(writers, reader, windowMs);
    report(judged(base(`transactions of one row, ${WRITERS} writers`, many, "tx/s")));
    const bulk = await bulkRate(first, reader, windowMs);
    report(judged(base(`rows of transactions of ${BULK_ROWS}`, bulk, "rows/s")));
  } finally {
    await capture.stop();
    await Promise.all(writers.map((writer) => writer.end()));
    ending.abort();
  }
}

interface Reader {
  /** Rows that have come so far. */
  rows(): number;
  /** Resolves with the clock at which a row of that name came. */
  named(name: string): Promise<number>;
}

/** Reads as functions/node-events does, signatures checked. */
async function readChanges(
  scope: Scope,
  bus: Bus,
  { node, cluster }: { node: Identity; cluster: Identity },
): Promise<Reader> {
  let rows = 0;
  const waiting = new Map<string | null, (atMs: number) => void>();
  await bus.consume(scope, { stream: CHANGES.name, durable: "bench" }, async (message) => {
    const atMs = performance.now();
    const { body } = openStatement(new TextDecoder().decode(message.data), {
      me: cluster.fp,
      cluster: CLUSTER,
      kinds: STATEMENT_KINDS,
      accepts: ["node.changes"],
      nowMs: message.atMs,
      sender: () => ({ spki: node.spki, role: "node" }),
    });
    const { changes } = Changes.parse(body);
    rows += changes.length;
    for (const { row } of changes) waiting.get(row["name"] ?? null)?.(atMs);
    await message.ack();
  });
  return {
    rows: () => rows,
    async named(name) {
      const { promise, resolve } = Promise.withResolvers<number>();
      waiting.set(name, resolve);
      const atMs = await promise;
      waiting.delete(name);
      return atMs;
    },
  };
}

/** One row after another, so that no row waits for another. */
async function latencies(app: App, reader: Reader, windowMs: number): Promise<number[]> {
  const found: number[] = [];
  const untilMs = performance.now() + windowMs;
  for (let n = 0; performance.now() < untilMs; n++) {
    const seen = reader.named(`latency ${n}`);
    const sentMs = performance.now();
    await app.query("update rhnserver set name = $1 where id = $2", [`latency ${n}`, FIRST_ID + n % SERVERS]);
    found.push(await seen - sentMs);
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return found;
}

function reportLatency(report: Report, found: readonly number[]): void {
  const goal = { value: GOAL_MEDIAN_MS };
  report(judged({ ...base("row to event on the bus, median", median(found), "ms"), goal }));
  const sorted = found.toSorted((a, b) => a - b);
  const slow = sorted[Math.floor((sorted.length - 1) * 0.99)] ?? NaN;
  report(judged(base("row to event on the bus, 99 of 100", slow, "ms")));
}

/** Events per second while writers write as fast as they can, the backlog at the end included. */
async function rate(writers: readonly App[], reader: Reader, windowMs: number): Promise<number> {
  const before = reader.rows();
  const startedMs = performance.now();
  const counts = await Promise.all(writers.map(async (writer, index) => {
    let count = 0;
    // Each writer has rows of its own: locks are not what is measured.
    for (; performance.now() < startedMs + windowMs; count++) {
      await writer.query(`update rhnserver set name = 'w' where id = ${FIRST_ID + index}`);
    }
    return count;
  }));
  const written = counts.reduce((sum, count) => sum + count, 0);
  await waitFor("all events", WAIT_MS, () => reader.rows() >= before + written);
  return written / (performance.now() - startedMs) * 1_000;
}

async function bulkRate(app: App, reader: Reader, windowMs: number): Promise<number> {
  const startedMs = performance.now();
  let rows = 0;
  for (let round = 0; round === 0 || performance.now() < startedMs + windowMs; round++) {
    const before = reader.rows();
    await app.query(
      `insert into rhnchannel (id, channel_arch_id, label, basedir, name, summary)
       select n, 1, 'label ' || n, 'b', 'name ' || n, 's' from generate_series($1::int, $2::int) n`,
      [1_000 + round * BULK_ROWS, 999 + (round + 1) * BULK_ROWS],
    );
    await waitFor("all rows", WAIT_MS, () => reader.rows() >= before + BULK_ROWS);
    rows += BULK_ROWS;
  }
  return rows / (performance.now() - startedMs) * 1_000;
}

function base(name: string, value: number, unit: string) {
  return { bench: "capture", case: name, value, unit };
}
