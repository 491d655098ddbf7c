/**
 * What the capture tests share: a Uyuni-shaped database, an agent's capture under test, and a model of a receiver.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { postgresCapture } from "../../agents/node/capture.ts";
import { type DatabaseOptions, lazySql } from "../../agents/node/sql.ts";
import type { Changes, RowChange } from "../../lib/cluster/protocol.ts";
import type { Log } from "../../lib/log.ts";
import { silentLog } from "../../lib/log.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import type { Disk, Scope } from "../../lib/seams.ts";
import { Secret } from "../../lib/secure/secret.ts";
import type { Postgres } from "../parts/postgres.ts";

/** Replication needs a cap, which PostgreSQL does not have by itself. */
export const CAPTURE_SETTINGS = { max_slot_wal_keep_size: "1GB" };

export const PLANTED_SECRET = "planted-secret-0f3c";

export function optionsOf(postgres: Postgres, database: string): DatabaseOptions {
  const { host, port, user, password } = postgres;
  return { host, port, database, user, password: new Secret(password), ca: null };
}

export async function connectApp(options: DatabaseOptions): Promise<pg.Client> {
  const { host, port, database, user, password } = options;
  const client = new pg.Client({ host, port, database, user, password: password.reveal() });
  client.on("error", () => {}); // shows in the next query
  await client.connect();
  return client;
}

/** Five tables as Uyuni has them: keyless ones with their unique index, a secret column, `modified` triggers. */
export const SCHEMA = `
create table rhnserver (
  id numeric not null constraint rhn_server_id_pk primary key, org_id numeric not null,
  digital_server_id varchar(1024) not null, machine_id varchar(256), name varchar(128), hostname varchar(128),
  release varchar(64) not null, running_kernel varchar(64), description varchar(256), secret varchar(64) not null,
  contact_method_id numeric default 0 not null, created timestamptz default now() not null,
  modified timestamptz default now() not null);
create unique index rhn_server_dsid_uq on rhnserver (digital_server_id);
create table suseminioninfo (
  server_id numeric not null references rhnserver on delete cascade, minion_id varchar(256) not null,
  os_family varchar(32), kernel_live_version varchar(255), created timestamptz default now() not null);
create unique index rhn_minion_info_sid_uq on suseminioninfo (server_id);
create unique index rhn_minion_info_minion_id_uq on suseminioninfo (minion_id);
create table rhnchannel (
  id numeric not null constraint rhn_channel_id_pk primary key, parent_channel numeric, org_id numeric,
  channel_arch_id numeric not null, label varchar(128) not null, basedir varchar(256), name varchar(256) not null,
  summary varchar(500), description varchar(4000), checksum_type_id numeric, channel_access varchar(10),
  last_modified timestamptz default now() not null, last_synced timestamptz,
  created timestamptz default now() not null, modified timestamptz default now() not null);
create unique index rhn_channel_label_uq on rhnchannel (label);
create table rhnserverchannel (
  server_id numeric not null references rhnserver on delete cascade, channel_id numeric not null,
  created timestamptz default now() not null);
create unique index rhn_sc_sid_cid_uq on rhnserverchannel (server_id, channel_id);
create table rhnservergroupmembers (
  server_id numeric not null references rhnserver on delete cascade, server_group_id numeric not null);
create unique index rhn_sgmembers_sid_sgid_uq on rhnservergroupmembers (server_id, server_group_id);
create table rhnserverinfo (server_id numeric not null, checkin timestamptz default now());
`;

export function insertServer(id: number, name: string): string {
  return `insert into rhnserver (id, org_id, digital_server_id, machine_id, name, release, secret)
    values (${id}, 1, 'ID-${id}', md5('${id}'), '${name}', '15.6', '${PLANTED_SECRET}')`;
}

export function memoryDisk(): Disk {
  const files = new Map<string, Uint8Array>();
  return {
    read: (path) => Promise.resolve(files.get(path) ?? null),
    replace(path, bytes) {
      files.set(path, bytes);
      return Promise.resolve();
    },
    remove(path) {
      files.delete(path);
      return Promise.resolve();
    },
    list: (folder) =>
      Promise.resolve(
        [...files.keys()].filter((path) => path.startsWith(`${folder}/`)).map((path) =>
          path.slice(folder.length + 1)
        ),
      ),
  };
}

export interface RunningCapture {
  lagBytes(): Promise<number | null>;
  stop(): Promise<void>;
}

export interface CaptureUnderTest {
  database: DatabaseOptions;
  disk: Disk;
  emit: (scope: Scope, changes: Changes) => Promise<void>;
  log?: Log;
}

export function startCapture({ database, disk, emit, log = silentLog }: CaptureUnderTest): RunningCapture {
  const ending = new AbortController();
  const scope = realScope({ name: "capture test", signal: ending.signal, log });
  const facts = lazySql(database, "salar-facts");
  const source = postgresCapture({ database, facts, disk, originPath: "state/origin.json", log });
  const running = source.run(scope, emit).catch((error) => {
    if (!ending.signal.aborted) throw error;
  });
  return {
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
  readonly #keys: Record<string, readonly string[]>;
  /** Every change that was applied, in order of application. */
  readonly applied: { at: Position; change: RowChange }[] = [];

  constructor(keys: Record<string, readonly string[]>) {
    this.#keys = keys;
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
    return `${table}/${(this.#keys[table] ?? []).map((column) => row[column]).join("/")}`;
  }
}

function isHigher(a: Position, b: Position | undefined): boolean {
  if (b === undefined) return true;
  for (const index of [0, 1, 2] as const) if (a[index] !== b[index]) return a[index] > b[index];
  return false;
}
