/**
 * Change capture: the rows of the listed tables, first as a copy and then as they change, for the bus.
 *
 * One session is: connect → make sure of slot and copy → stream → something ends it → back off → again.
 * E1. At least once: a position is confirmed to PostgreSQL only after every part up to it was emitted, which means
 *     stored by the bus. What was emitted and not confirmed comes again, with the same position.
 * E2. An origin is one slot and the copy that belongs to it. Whenever something may have been missed (no slot, a slot
 *     that lost its log, another system or timeline, a database set back, other tables or columns published, a copy
 *     that did not end), a new origin begins with a new copy.
 * E3. A copy stands at the position just before the first change: all rows, and then of each table a `truncate` at a
 *     lower index. So it takes away exactly what the receiver has and the copy has not, and no row is gone meanwhile.
 * E4. At most CAPTURE_IN_FLIGHT_MAX parts wait for the bus; then the socket is not read, and the log stays with
 *     PostgreSQL, up to its cap.
 * Source: domain brief, sections 3.2 and 3.5; the supervisor's shape from the tunnel of Restate's TypeScript SDK.
 */
import { backoffMs } from "../../lib/backoff.ts";
import type { Changes } from "../../lib/cluster/protocol.ts";
import { SalarError } from "../../lib/errors.ts";
import { CAPTURE_IN_FLIGHT_MAX, CAPTURE_SAVE_MS, CAPTURE_STATUS_MS, NODE_BACKOFF } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import type { Disk, Scope } from "../../lib/seams.ts";
import { type Catalogue, PUBLICATION, readCatalogue, SLOT_PREFIX } from "./catalogue.ts";
import { confirming } from "./confirming.ts";
import { copyTables } from "./first_copy.ts";
import type { ChangeSource } from "./change_source.ts";
import { lsnText } from "./lsn.ts";
import {
  confirmedLsn,
  nameOf,
  nextOrigin,
  type Origin,
  readOrigin,
  reasonForNewOrigin,
  slotOf,
  writeOrigin,
} from "./origin.ts";
import { parts } from "./parts.ts";
import { pgoutputDecoder, truncation } from "./pgoutput.ts";
import { connectReplication, type Replication } from "./replication.ts";
import { connectSql, type DatabaseOptions, type Sql } from "./sql.ts";
import { window } from "./window.ts";

export interface CaptureOptions {
  database: DatabaseOptions;
  /** A connection for short questions. */
  facts: Sql;
  disk: Disk;
  /** File that remembers the origin; it must survive restarts of the agent. */
  originPath: string;
  log: Log;
}

type Emit = Parameters<ChangeSource["run"]>[1];

/** The change source of a real node. */
export function postgresCapture(options: CaptureOptions): ChangeSource {
  const { log, facts } = options;
  return {
    async run(scope, emit) {
      let failures = 0;
      while (!scope.signal.aborted) {
        const startedMs = scope.monoMs();
        const error = await runSession(scope, options, emit);
        if (scope.signal.aborted) return;
        // A server that takes the connection and dies at once is no reason to hurry.
        failures = scope.monoMs() - startedMs > NODE_BACKOFF.capMs ? 1 : failures + 1;
        const waitMs = backoffMs(scope.random, failures, NODE_BACKOFF);
        log.warn("change capture interrupted", { error, waitMs });
        await scope.sleep(waitMs);
      }
    },
    async lagBytes() {
      const [[lag] = []] = await facts.query(LAG_SQL);
      return lag === undefined || lag === null ? null : Number(lag);
    },
  };
}

const LAG_SQL = `
select max(pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn))
from pg_replication_slots where database = current_database() and slot_name ~ '^${SLOT_PREFIX}[0-9]+$'`;

/** One session; resolves with what ended it, never rejects. */
async function runSession(parent: Scope, options: CaptureOptions, emit: Emit): Promise<unknown> {
  const ending = new AbortController();
  const scope = parent.child("capture session", ending.signal);
  const open: { close(): Promise<void> }[] = [];
  try {
    const sql = await connectSql(options.database, "salar-copy");
    open.push(sql);
    const connection = await connectReplication(options.database, "salar-capture");
    open.push(connection);
    // Making a slot waits for running transactions, perhaps for hours: a stop must not.
    scope.signal.addEventListener("abort", () => connection.close(), { once: true });
    const session = { connection, sql, emit: (part: Changes) => emit(scope, part) };
    const start = await ensureOrigin(scope, options, session);
    await sql.close();
    await stream(scope, options, session, start);
    return new SalarError("unavailable", "Cannot read changes: the server ended the stream");
  } catch (error) {
    return error;
  } finally {
    ending.abort();
    await Promise.all(open.map((one) => one.close()));
  }
}

interface Session {
  connection: Replication;
  sql: Sql;
  emit: (part: Changes) => Promise<void>;
}

interface Start {
  origin: Origin;
  confirmed: bigint;
}

/** The origin to go on with; where there is none, a new slot and its copy (E2). */
async function ensureOrigin(scope: Scope, options: CaptureOptions, session: Session): Promise<Start> {
  const { disk, originPath, log } = options;
  const { connection, sql } = session;
  const catalogue = requireCaptureable(await readCatalogue(sql, []));
  const seen = { catalogue, system: await connection.identify() };
  const last = await readOrigin(disk, originPath);
  const reason = reasonForNewOrigin(last, seen);
  const slots = catalogue.slots.filter(({ here }) => here).map(({ name }) => name);
  if (last !== null && reason === null) {
    await dropSlots(connection, slots.filter((name) => name !== slotOf(last)));
    return { origin: last, confirmed: confirmedLsn(last, catalogue) };
  }

  const origin = nextOrigin(last, seen);
  log.info("first copy begins", { origin: nameOf(origin), reason });
  // Written before anything is sent: a number that a receiver may have seen is never used again.
  await writeOrigin(disk, originPath, origin);
  await dropSlots(connection, slots);
  const confirmed = await copy(scope, options, session, { catalogue, origin });
  const copied = { ...origin, copied: true, confirmed: lsnText(confirmed) };
  await writeOrigin(disk, originPath, copied);
  return { origin: copied, confirmed };
}

function requireCaptureable(catalogue: Catalogue): Catalogue {
  const { publication, slotKeepMb, walLevel } = catalogue;
  const fault = publication === null
    ? `publication ${PUBLICATION} does not exist`
    : publication.allTables || publication.tables.some(({ columns }) => columns === null)
    ? `publication ${PUBLICATION} has tables without a column list`
    : walLevel !== "logical"
    ? `wal_level is ${walLevel}`
    : slotKeepMb < 0
    ? "max_slot_wal_keep_size is unlimited"
    : null;
  if (fault === null) return catalogue;
  throw new SalarError("bad-config", `Cannot capture changes: ${fault}; run the agent's setup`);
}

async function dropSlots(connection: Replication, names: readonly string[]): Promise<void> {
  for (const name of names) await connection.dropSlot(name);
}

/** Sends the copy; returns the position that changes follow. */
async function copy(
  scope: Scope,
  { log }: CaptureOptions,
  { connection, sql, emit }: Session,
  { catalogue, origin }: { catalogue: Catalogue; origin: Origin },
): Promise<bigint> {
  const { snapshot, consistentLsn } = await connection.createSlot(slotOf(origin));
  const startedMs = scope.monoMs();
  const flow = window(CAPTURE_IN_FLIGHT_MAX, emit);
  const cutter = parts({ origin: nameOf(origin), originNo: origin.no, emit: flow.add, onCut: onCut(log) });
  // A transaction may commit exactly at the consistent point, and must count as later than the copy.
  const lsn = consistentLsn - 1n;
  const tables = catalogue.publication?.tables ?? [];
  cutter.begin(lsn, tables.length);
  const rows = await copyTables(sql, snapshot, tables, async (change) => {
    cutter.add(change);
    await flow.room();
  });
  cutter.end();
  await flow.empty();
  cutter.begin(lsn, 0); // E3
  for (const { name } of tables) cutter.add(truncation(name));
  cutter.end();
  await flow.empty();
  log.info("first copy ended", { origin: nameOf(origin), rows, ms: Math.round(scope.monoMs() - startedMs) });
  return consistentLsn;
}

async function stream(
  scope: Scope,
  options: CaptureOptions,
  { connection, emit }: Omit<Session, "sql">,
  { origin, confirmed }: Start,
): Promise<void> {
  const { disk, originPath, log } = options;
  const failed = Promise.withResolvers<never>();
  const flow = confirming(confirmed);
  const confirm = () => connection.confirm(flow.confirmed(), scope.nowMs());

  const cutter = parts({
    origin: nameOf(origin),
    originNo: origin.no,
    onCut: onCut(log),
    emit(part) {
      const done = flow.add();
      if (flow.outstanding() >= CAPTURE_IN_FLIGHT_MAX) connection.pause();
      emit(part).then(() => {
        done();
        if (flow.outstanding() < CAPTURE_IN_FLIGHT_MAX) connection.resume();
        if (flow.outstanding() === 0) confirm();
      }).catch(failed.reject);
    },
  });
  const decode = pgoutputDecoder();
  let inTransaction = false;

  function take(bytes: Uint8Array): void {
    const message = decode(bytes);
    if (message.kind === "begin") {
      inTransaction = true;
      cutter.begin(message.commitLsn, 0);
    } else if (message.kind === "changes") {
      message.changes.forEach(cutter.add);
    } else if (message.kind === "commit") {
      cutter.end();
      inTransaction = false;
      flow.mark(message.endLsn);
    }
  }

  // Also the way to notice a peer that is gone without a word: what is written there is never acknowledged.
  scope.every(CAPTURE_STATUS_MS, "confirm position", () => Promise.resolve(confirm()));
  let saved = confirmed;
  const save = async () => {
    const now = flow.confirmed();
    if (now === saved) return;
    await writeOrigin(disk, originPath, { ...origin, confirmed: lsnText(now) });
    saved = now;
  };
  scope.every(CAPTURE_SAVE_MS, "save position", save);
  const cancelled = () => failed.reject(new SalarError("cancelled", "Cannot read changes: stopped"));
  scope.signal.addEventListener("abort", cancelled, { once: true });
  log.info("streaming changes", { origin: nameOf(origin) });
  try {
    const streaming = connection.stream(slotOf(origin), PUBLICATION, {
      data: take,
      keepalive(lsn, answer) {
        // Everything before it was sent. Within a transaction its commit still has to come.
        if (!inTransaction) flow.mark(lsn);
        if (answer) confirm();
      },
    });
    await Promise.race([streaming, failed.promise]);
  } finally {
    scope.signal.removeEventListener("abort", cancelled);
    failed.promise.catch(() => {}); // a fault after the first one says nothing new
    await save(); // a database that is set back was stopped for it
  }
}

function onCut(log: Log): (table: string, columns: string[]) => void {
  return (table, columns) =>
    log.error("row too large for the bus: values left out as if unchanged", { table, columns });
}
