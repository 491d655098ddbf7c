/**
 * The tables of the embedded store, and every statement that touches them. Synchronous, and knows no transaction.
 *
 * `entry` holds what is, `past` what was: a value that was replaced or deleted stays there, with the revision it was
 * valid from (`rev`) and the one that ended it (`until`), for transactions that still read an older revision.
 * S1. A value is visible at revision R when rev <= R and, in `past`, R < until: at most one row for each key.
 * S2. A key changed after R exactly when `entry` has rev > R or `past` has until > R, so a deleted and recreated key
 *     is a changed key.
 * S3. No row of `past` or `locked` that ended or was locked after the horizon was ever removed; below the horizon
 *     "no such key" proves nothing.
 * S4. `locked` has the last revision at which a key was locked without being written.
 * Keys are TEXT, which SQLite orders by its UTF-8 bytes. Tables have no rowid: half the seeks, and scans stay local.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { SalarError } from "../errors.ts";
import type { KeptToken } from "./portable.ts";
import type { Entry, Range, ScanOptions } from "./store.ts";

export interface Meta {
  /** Of the last commit. */
  revision: number;
  /** Snapshots of a lower revision are gone (S3). */
  horizon: number;
}

export interface SavedResult {
  /** JSON, or null for a transaction that returned nothing. */
  result: string | null;
}

export interface Tables {
  meta(): Meta;
  setMeta(meta: Meta): void;
  /** Null when no row shows a value; compare the horizon afterwards. */
  get(key: string, revision: number): Uint8Array | null;
  /** Compare the horizon afterwards. */
  scan(range: Range, revision: number, options: ScanOptions): Entry[];
  changedSince(key: string, revision: number): boolean;
  lockedSince(key: string, revision: number): boolean;
  /** Puts, or deletes when `value` is null. True when that ended a value, which is then in `past`. */
  write(key: string, value: Uint8Array | null, revision: number): boolean;
  lock(key: string, revision: number): void;
  /** Removes at most `rowsMax` past values, and as many locks, of `horizon` and before. */
  prune(horizon: number, rowsMax: number): void;
  findToken(token: string): SavedResult | null;
  addToken(token: string, atMs: number, result: string | null): void;
  /** In their order, after `after`. */
  tokens(after: string, limit: number): KeptToken[];
  /** Removes at most `rowsMax` tokens added before `beforeMs`; returns how many. */
  removeTokens(beforeMs: number, rowsMax: number): number;
  /** Reads the whole file. */
  inspect(): { problems: string[]; bytes: number };
  /** Runs `work` in one transaction in which no other process writes; when it throws nothing was written. */
  locked<T>(work: () => T): T;
  close(): void;
}

export interface TablesOptions {
  /** A file, or ":memory:". */
  path: string;
  /** `full`: a commit is on disk when it is acknowledged. `normal`: the last commits may be lost with the power. */
  sync: "full" | "normal";
}

const APPLICATION_ID = 0x53414c52; // "SALR", so that another program's database is not taken for a store
const FORMAT = 1;
const OPEN_WAIT_MS = 5_000;
/** Longer waits are the caller's, on its event loop. */
const BUSY_WAIT_MS = 2;

/** Fewer commits than this since a snapshot: it is a fresh one. */
const NEAR_REVISIONS = 1_000;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS entry (
    key TEXT PRIMARY KEY NOT NULL, rev INTEGER NOT NULL, value BLOB NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS past (
    key TEXT NOT NULL, until INTEGER NOT NULL, rev INTEGER NOT NULL, value BLOB NOT NULL, PRIMARY KEY (key, until)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS past_until ON past (until);
  CREATE TABLE IF NOT EXISTS locked (key TEXT PRIMARY KEY NOT NULL, rev INTEGER NOT NULL) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS locked_rev ON locked (rev);
  CREATE TABLE IF NOT EXISTS token (token TEXT PRIMARY KEY NOT NULL, atMs INTEGER NOT NULL, result TEXT) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS token_at ON token (atMs);
  CREATE TABLE IF NOT EXISTS meta (
    id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL, horizon INTEGER NOT NULL
  );
  INSERT OR IGNORE INTO meta VALUES (1, 0, 0);
  PRAGMA application_id = ${APPLICATION_ID};
  PRAGMA user_version = ${FORMAT};`;

/** Opens or creates the database. Rejects with `unavailable` when it cannot be opened or is no store. */
export function openTables({ path, sync }: TablesOptions): Tables {
  try {
    const db = new DatabaseSync(path);
    try {
      prepareDatabase(db, path, sync);
      return tablesOf(db);
    } catch (error) {
      db.close();
      throw error;
    }
  } catch (error) {
    throw storeFault(error, "open", path);
  }
}

function prepareDatabase(db: DatabaseSync, path: string, sync: "full" | "normal"): void {
  // Page size counts for a new file only. 8 KiB keeps a record of some 2 KB whole in its page.
  db.exec(`PRAGMA busy_timeout = ${OPEN_WAIT_MS}; PRAGMA page_size = 4096;`);
  const [id, format, tables] = [
    pragma(db, "application_id"),
    pragma(db, "user_version"),
    Number(db.prepare("SELECT count(*) AS n FROM sqlite_schema").get()?.["n"]),
  ];
  if (tables > 0 && (id !== APPLICATION_ID || format !== FORMAT)) {
    throw new SalarError(
      "unavailable",
      `Cannot open store ${path}: it is another program's database, or of a format other than ${FORMAT}`,
    );
  }
  db.exec("PRAGMA journal_mode = WAL;");
  db.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
  db.exec(`
    PRAGMA synchronous = ${sync === "full" ? "FULL" : "NORMAL"};
    PRAGMA cache_size = -65536;
    PRAGMA busy_timeout = ${BUSY_WAIT_MS};`);
}

function pragma(db: DatabaseSync, name: string): unknown {
  return db.prepare(`PRAGMA ${name}`).get()?.[name];
}

function tablesOf(db: DatabaseSync): Tables {
  const statements = prepareStatements(db);
  const { meta, get, changed, keep, put, remove, findToken } = statements;
  const [near, far] = [prepareScans(db, "byUntil"), prepareScans(db, "byKey")];
  return {
    meta: () => meta.get() as unknown as Meta,
    setMeta: ({ revision, horizon }) => void statements.setMeta.run(revision, horizon),

    get(key, revision) {
      const row = get.get(key, revision);
      return row === undefined ? null : row["value"] as Uint8Array;
    },
    scan({ from, to }, revision, { limit, reverse = false }) {
      const scans = meta.get()?.["revision"] as number - revision < NEAR_REVISIONS ? near : far;
      const scan = reverse ? scans.backward : scans.forward;
      const rows = scan.all(from, to, revision, limit) as unknown as Entry[];
      return rows.map(({ key, value }) => ({ key, value })); // rows have no prototype, entries do
    },
    changedSince: (key, revision) => changed.get(key, revision) !== undefined,
    lockedSince: (key, revision) => statements.lockedSince.get(key, revision) !== undefined,
    write(key, value, revision) {
      const kept = keep.run(key, revision).changes === 1;
      if (value !== null) put.run(key, revision, value);
      else if (kept) remove.run(key);
      return kept;
    },
    lock: (key, revision) => void statements.lock.run(key, revision),
    prune(horizon, rowsMax) {
      statements.prunePast.run(horizon, rowsMax);
      statements.pruneLocked.run(horizon, rowsMax);
    },

    findToken: (token) => (findToken.get(token) ?? null) as SavedResult | null,
    addToken: (token, atMs, result) => void statements.addToken.run(token, atMs, result),
    tokens: (after, limit) =>
      (statements.tokens.all(after, limit) as unknown as KeptToken[]).map((row) => ({ ...row })), // rows have no prototype
    removeTokens: (beforeMs, rowsMax) => Number(statements.removeTokens.run(beforeMs, rowsMax).changes),

    inspect() {
      const rows = db.prepare("PRAGMA integrity_check").all().map((row) => String(row["integrity_check"]));
      return {
        problems: rows.filter((row) => row !== "ok"),
        bytes: Number(pragma(db, "page_count")) * Number(pragma(db, "page_size")),
      };
    },
    locked(work) {
      statements.begin.run();
      try {
        const result = work();
        statements.commit.run();
        return result;
      } catch (error) {
        // SQLite has rolled back by itself after some errors; a second time would hide the first error.
        if (db.isTransaction) statements.rollback.run();
        throw error;
      }
    },
    close: () => db.close(),
  };
}

function prepareStatements(db: DatabaseSync) {
  return {
    meta: db.prepare("SELECT revision, horizon FROM meta WHERE id = 1"),
    setMeta: db.prepare("UPDATE meta SET revision = ?, horizon = ? WHERE id = 1"),
    get: db.prepare(`
      SELECT value FROM entry WHERE key = ?1 AND rev <= ?2
      UNION ALL
      SELECT value FROM past WHERE key = ?1 AND until > ?2 AND rev <= ?2
      LIMIT 1`),
    changed: db.prepare(`
      SELECT 1 FROM entry WHERE key = ?1 AND rev > ?2
      UNION ALL
      SELECT 1 FROM past WHERE key = ?1 AND until > ?2
      LIMIT 1`),
    keep: db.prepare("INSERT INTO past SELECT key, ?2, rev, value FROM entry WHERE key = ?1"),
    put: db.prepare(`
      INSERT INTO entry VALUES (?, ?, ?)
      ON CONFLICT (key) DO UPDATE SET rev = excluded.rev, value = excluded.value`),
    remove: db.prepare("DELETE FROM entry WHERE key = ?"),
    lockedSince: db.prepare("SELECT 1 FROM locked WHERE key = ? AND rev > ?"),
    lock: db.prepare("INSERT INTO locked VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET rev = excluded.rev"),
    pruneLocked: db.prepare(
      "DELETE FROM locked WHERE key IN (SELECT key FROM locked WHERE rev <= ? ORDER BY rev LIMIT ?)",
    ),
    prunePast: db.prepare(`
      DELETE FROM past WHERE (key, until) IN (SELECT key, until FROM past WHERE until <= ? ORDER BY until LIMIT ?)`),
    findToken: db.prepare("SELECT result FROM token WHERE token = ?"),
    addToken: db.prepare("INSERT INTO token VALUES (?, ?, ?)"),
    tokens: db.prepare("SELECT token, atMs, result FROM token WHERE token > ? ORDER BY token LIMIT ?"),
    removeTokens: db.prepare(`
      DELETE FROM token WHERE token IN (SELECT token FROM token WHERE atMs < ? ORDER BY atMs LIMIT ?)`),
    begin: db.prepare("BEGIN IMMEDIATE"),
    commit: db.prepare("COMMIT"),
    rollback: db.prepare("ROLLBACK"),
  } satisfies Record<string, StatementSync>;
}

/**
 * A merge of both tables. A fresh snapshot reads the few values that ended since, by `until`; for an old one, of which
 * there may be many, both sides come in key order and the merge stops at the limit.
 */
function prepareScans(db: DatabaseSync, past: "byUntil" | "byKey") {
  const source = past === "byUntil" ? "past INDEXED BY past_until" : "past NOT INDEXED"; // that is, by its key
  const scan = (order: "ASC" | "DESC") =>
    db.prepare(`
      SELECT key, value FROM entry WHERE key >= ?1 AND key < ?2 AND rev <= ?3
      UNION ALL
      SELECT key, value FROM ${source} WHERE until > ?3 AND key >= ?1 AND key < ?2 AND rev <= ?3
      ORDER BY key ${order} LIMIT ?4`);
  return { forward: scan("ASC"), backward: scan("DESC") };
}

/** True when another process holds a lock of the database: nothing was done, and waiting helps. */
export function isBusy(error: unknown): boolean {
  const code = resultCode(error);
  return code === SQLITE.BUSY || code === SQLITE.LOCKED;
}

/** What a caller sees of an error of SQLite: `unavailable` with the path and what to do; other errors unchanged. */
export function storeFault(error: unknown, action: string, path: string): unknown {
  if (!(error instanceof Error) || Reflect.get(error, "code") !== "ERR_SQLITE_ERROR") return error;
  const advice = ADVICE.get(resultCode(error) ?? -1) ?? "see the cause";
  return new SalarError("unavailable", `Cannot ${action} store ${path}: ${error.message}; ${advice}`, {
    cause: error,
  });
}

/** Primary result codes, https://sqlite.org/rescode.html */
const SQLITE = {
  BUSY: 5,
  LOCKED: 6,
  READONLY: 8,
  IOERR: 10,
  CORRUPT: 11,
  FULL: 13,
  CANTOPEN: 14,
  NOTADB: 26,
} as const;

const ADVICE: ReadonlyMap<number, string> = new Map([
  [SQLITE.BUSY, "another process holds it, try again"],
  [SQLITE.LOCKED, "another process holds it, try again"],
  [SQLITE.READONLY, "make the file and its folder writable"],
  [SQLITE.IOERR, "look at the disk and the kernel log"],
  [SQLITE.CORRUPT, "the file is damaged, restore a backup"],
  [SQLITE.FULL, "free space on the disk"],
  [SQLITE.CANTOPEN, "create the folder and allow access to it"],
  [SQLITE.NOTADB, "the file is damaged or no store, restore a backup"],
]);

/** `exec()` of Deno's node:sqlite leaves out `errcode`; then the text tells. */
function resultCode(error: unknown): number | null {
  if (!(error instanceof Error)) return null;
  const code: unknown = Reflect.get(error, "errcode");
  if (typeof code === "number") return code & 0xff;
  const known = MESSAGES.find(([text]) => error.message.startsWith(text));
  return known?.[1] ?? null;
}

const MESSAGES: readonly (readonly [string, number])[] = [
  ["database is locked", SQLITE.BUSY],
  ["unable to open database file", SQLITE.CANTOPEN],
  ["file is not a database", SQLITE.NOTADB],
  ["database disk image is malformed", SQLITE.CORRUPT],
  ["attempt to write a readonly database", SQLITE.READONLY],
  ["database or disk is full", SQLITE.FULL],
  ["disk I/O error", SQLITE.IOERR],
];
