/**
 * The twin's database in a real PostgreSQL, so that change capture sees what it would see of a Uyuni server.
 *
 * P1. Transactions run one after the other, by a lock in the database: the twin reads, decides and writes, and need
 *     not fear other twins on the same database.
 */
// @ts-types="@types/pg"
import pg from "pg";
import { type Cell, type TwinDb, TwinDbError, type TwinTx } from "./db.ts";
import { specOf, type Table } from "./tables.ts";

const CONNECTIONS_MAX = 4;
const CONNECT_MS_MAX = 5_000;
/** Any number that nothing else in the database locks. */
const TWIN_LOCK = 0x7717;

export interface PgDbOptions {
  /** `postgres://user:password@host:port/database` */
  url: string;
}

/** Opens the database; creates the tables in one that is empty. */
export async function pgDb({ url }: PgDbOptions): Promise<TwinDb> {
  const pool = new pg.Pool({
    connectionString: url,
    max: CONNECTIONS_MAX,
    connectionTimeoutMillis: CONNECT_MS_MAX,
    allowExitOnIdle: true,
  });
  // An idle connection that broke is replaced at the next call, which says so if that fails too.
  pool.on("error", () => {});

  async function inTransaction<R>(work: (client: pg.PoolClient) => Promise<R>): Promise<R> {
    const client = await pool.connect();
    let broken: Error | undefined;
    try {
      await client.query("BEGIN");
      await client.query("SELECT pg_advisory_xact_lock($1)", [TWIN_LOCK]);
      const result = await work(client);
      await client.query("COMMIT");
      return result;
    } catch (error) {
      await client.query("ROLLBACK").catch((cause) => broken = cause);
      throw error;
    } finally {
      client.release(broken);
    }
  }

  try {
    await inTransaction(async (client) => {
      const { rows: [row] } = await client.query("SELECT to_regclass('web_customer') IS NULL AS empty");
      if (row.empty) await client.query(await Deno.readTextFile(new URL("./schema.sql", import.meta.url)));
    });
  } catch (error) {
    await pool.end();
    throw error;
  }
  return {
    transaction: (work) => inTransaction((client) => work(pgTx(client))),
    close: () => pool.end(),
  };
}

function pgTx(client: pg.PoolClient): TwinTx {
  async function query(text: string, values: readonly unknown[]): Promise<pg.QueryResult> {
    try {
      return await client.query(text, [...values]);
    } catch (error) {
      throw refusalIn(error);
    }
  }

  return {
    async nextId(sequence) {
      const { rows: [row] } = await query("SELECT nextval($1) AS id", [sequence]);
      return Number(row.id);
    },
    async find(table, where) {
      const { condition, values } = conditionOf(table, where);
      const columns = Object.keys(specOf(table).columns).join(", ");
      const { rows } = await query(`SELECT ${columns} FROM ${table}${condition}`, values);
      return rows.map((row) => fromPg(table, row)) as never[];
    },
    async count(table, where) {
      const { condition, values } = conditionOf(table, where);
      const { rows: [row] } = await query(`SELECT count(*) AS n FROM ${table}${condition}`, values);
      return Number(row.n);
    },
    async insert(table, row) {
      const cells = toPg(table, row);
      const columns = cells.map(([column]) => column).join(", ");
      const places = cells.map((_, i) => `$${i + 1}`).join(", ");
      await query(`INSERT INTO ${table} (${columns}) VALUES (${places})`, cells.map(([, value]) => value));
    },
    async update(table, where, set) {
      const cells = toPg(table, set);
      const { condition, values } = conditionOf(table, where, cells.length);
      // An update of nothing is still one: the trigger moves `modified`.
      const changes = cells.length === 0
        ? "modified = modified"
        : cells.map(([column], i) => `${column} = $${i + 1}`).join(", ");
      const result = await query(`UPDATE ${table} SET ${changes}${condition}`, [
        ...cells.map(([, value]) => value),
        ...values,
      ]);
      return result.rowCount ?? 0;
    },
    async delete(table, where) {
      const { condition, values } = conditionOf(table, where);
      return (await query(`DELETE FROM ${table}${condition}`, values)).rowCount ?? 0;
    },
  };
}

function conditionOf(table: Table, where: object, placesUsed = 0): { condition: string; values: unknown[] } {
  const values: unknown[] = [];
  const terms = toPg(table, where).map(([column, value]) => {
    if (value === null) return `${column} IS NULL`;
    values.push(value);
    return `${column} = $${placesUsed + values.length}`;
  });
  return { condition: terms.length === 0 ? "" : ` WHERE ${terms.join(" AND ")}`, values };
}

/** Column names come from our own tables and never from a caller: `tables.ts` must know them. */
function toPg(table: Table, row: object): [string, Cell | Date][] {
  const { columns } = specOf(table);
  return Object.entries(row as Record<string, Cell>).map(([column, value]) => {
    const kind = columns[column];
    if (kind === undefined) throw new Error(`Assertion failed: ${table} has no column ${column}`);
    return [column, kind.startsWith("time") && typeof value === "number" ? new Date(value) : value];
  });
}

/** `numeric` comes as text, `timestamptz` as a Date. */
function fromPg(table: Table, row: Record<string, unknown>): Record<string, Cell> {
  const { columns } = specOf(table);
  return Object.fromEntries(
    Object.entries(columns).map(([column, kind]): [string, Cell] => {
      const value = row[column];
      if (value === null || value === undefined) return [column, null];
      if (value instanceof Date) return [column, value.getTime()];
      return [column, kind.startsWith("number") ? Number(value) : String(value)];
    }),
  );
}

function refusalIn(error: unknown): unknown {
  if (!(error instanceof pg.DatabaseError)) return error;
  if (error.code === "23505") return new TwinDbError("unique", error.message, error);
  if (error.code === "23502") return new TwinDbError("null", error.message, error);
  if (error.code === "23514" && error.constraint?.startsWith("vn_")) {
    return new TwinDbError("empty", error.message, error);
  }
  return new TwinDbError("other", error.message, error);
}
