/**
 * What the capture tests share: a Uyuni-shaped database, an agent's capture under test, and a model of a receiver.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { postgresCapture } from "../../agents/node/capture.ts";
import { type DatabaseOptions, lazySql } from "../../agents/node/sql.ts";
import { CAPTURE_TABLES, type CaptureTable } from "../../lib/cluster/capture_tables.ts";
import type { Changes, RowChange } from "../../lib/cluster/protocol.ts";
import { createLog } from "../../lib/log.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import type { Disk, Scope } from "../../lib/seams.ts";
import { Secret } from "../../lib/secure/secret.ts";
import type { Postgres } from "../parts/postgres.ts";
import { pgDb } from "../twin/pg_db.ts";

/** Replication needs a cap, which PostgreSQL does not have by itself. */
export const CAPTURE_SETTINGS = { max_slot_wal_keep_size: "1GB" };

export const PLANTED_SECRET = "planted-secret-0f3c";

export async function connectApp(options: DatabaseOptions): Promise<pg.Client> {
  const { host, port, database, user, password } = options;
  const client = new pg.Client({ host, port, database, user, password: password.reveal() });
  client.on("error", () => {}); // shows in the next query
  await client.connect();
  return client;
}

/** An empty Uyuni database of this name, with one organisation. Returns how to reach it. */
export async function createUyuni(postgres: Postgres, name: string): Promise<DatabaseOptions> {
  const db = await pgDb({ url: await postgres.createDatabase(name) }); // creates the tables
  await db.close();
  await postgres.sql("insert into web_customer (id, name) values (1, 'org')", name);
  const { host, port, user, password } = postgres;
  return { host, port, database: name, user, password: new Secret(password), ca: null };
}

/** The `insert` of one profile, its secret included. */
export function insertServer(id: number, name: string): string {
  return `insert into rhnserver (id, org_id, digital_server_id, machine_id, server_arch_id, os, release, name, secret)
    values (${id}, 1, 'ID-${id}', md5('${id}'), 1, 'SLES', '15.6', '${name}', '${PLANTED_SECRET}')`;
}

export interface RunningCapture {
  /** Lines of level warn and error. */
  complaints: string[];
  lagBytes(): Promise<number | null>;
  stop(): Promise<void>;
}

export interface CaptureUnderTest {
  database: DatabaseOptions;
  disk: Disk;
  emit: (scope: Scope, changes: Changes) => Promise<void>;
}

export function startCapture({ database, disk, emit }: CaptureUnderTest): RunningCapture {
  const complaints: string[] = [];
  const log = createLog({ level: "warn", nowMs: () => Date.now(), write: (line) => complaints.push(line) });
  const ending = new AbortController();
  const scope = realScope({ name: "capture test", signal: ending.signal, log });
  const facts = lazySql(database, "salar-facts");
  const source = postgresCapture({ database, facts, disk, originPath: "state/origin.json", log });
  const running = source.run(scope, emit).catch((error) => {
    if (!ending.signal.aborted) throw error;
  });
  return {
    complaints,
    lagBytes: () => source.lagBytes(),
    async stop() {
      ending.abort();
      await running;
      await facts.close();
    },
  };
}

type Position = readonly [originNo: number, lsn: string, index: number];

/**
 * A receiver as the protocol demands it: a row takes a change only from a higher position than its last. Deletes
 * leave their position behind, a truncate concerns only what stands at a lower one.
 */
export class Receiver {
  readonly #rows = new Map<string, { at: Position; row: RowChange["row"] | null }>();
  readonly #emptied = new Map<string, Position>();
  readonly #keys: ReadonlyMap<string, readonly string[]>;
  /** Every change that was applied, in order of application. */
  readonly applied: { at: Position; change: RowChange }[] = [];

  constructor(tables: readonly CaptureTable[] = CAPTURE_TABLES) {
    this.#keys = new Map(tables.map(({ name, key }) => [name.toLowerCase(), key]));
  }

  take({ originNo, lsn, first, changes }: Changes): void {
    changes.forEach((change, index) => this.#apply([originNo, lsn, first + index], change));
  }

  /** Rows of a table as they stand, ordered by their key's text. */
  rows(table: string): RowChange["row"][] {
    return [...this.#rows].filter(([key]) => key.startsWith(`${table}/`)).sort(([a], [b]) => a < b ? -1 : 1)
      .flatMap(([, { row }]) => row === null ? [] : [row]);
  }

  #apply(at: Position, change: RowChange): void {
    const { table, op, row, oldKey } = change;
    if (op === "truncate") {
      if (!isHigher(at, this.#emptied.get(table))) return;
      this.#emptied.set(table, at);
      for (const [key, last] of this.#rows) {
        if (key.startsWith(`${table}/`) && isHigher(at, last.at)) this.#rows.set(key, { at, row: null });
      }
      this.applied.push({ at, change });
      return;
    }
    if (oldKey !== null) this.#set(this.#keyOf(table, oldKey), table, at, () => null);
    const done = this.#set(
      this.#keyOf(table, row),
      table,
      at,
      (old) => op === "delete" ? null : { ...old, ...row },
    );
    if (done) this.applied.push({ at, change });
  }

  #set(
    key: string,
    table: string,
    at: Position,
    next: (old: RowChange["row"] | null) => RowChange["row"] | null,
  ): boolean {
    const last = this.#rows.get(key);
    if (!isHigher(at, last?.at) || !isHigher(at, this.#emptied.get(table))) return false;
    this.#rows.set(key, { at, row: next(last?.row ?? null) });
    return true;
  }

  #keyOf(table: string, row: RowChange["row"]): string {
    return `${table}/${(this.#keys.get(table) ?? []).map((column) => row[column]).join("/")}`;
  }
}

function isHigher(a: Position, b: Position | undefined): boolean {
  if (b === undefined) return true;
  for (const index of [0, 1, 2] as const) if (a[index] !== b[index]) return a[index] > b[index];
  return false;
}
