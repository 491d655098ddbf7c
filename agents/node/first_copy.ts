/**
 * Reads all published rows as they were when a replication slot began.
 *
 * F1. Every row is read in the slot's own snapshot: what is not in the copy comes as a change, and the other way round.
 * F2. Rows are fetched in bounded lots; the consumer sets the pace.
 */
import type { RowChange } from "../../lib/cluster/protocol.ts";
import { assert, messageOf, SalarError } from "../../lib/errors.ts";
import { COPY_ROWS_PER_FETCH } from "../../lib/limits.ts";
import type { PublishedTable } from "./catalogue.ts";
import type { Sql } from "./sql.ts";

/** Hands over every row, in order; returns how many there were. @throws {SalarError} `forbidden` without SELECT. */
export async function copyTables(
  sql: Sql,
  snapshot: string,
  tables: readonly PublishedTable[],
  take: (change: RowChange) => Promise<void>,
): Promise<number> {
  assert(/^[0-9A-F-]+$/i.test(snapshot), "a snapshot's name is made of hex digits");
  await sql.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
  await sql.query(`SET TRANSACTION SNAPSHOT '${snapshot}'`);
  let rows = 0;
  for (const table of tables) {
    const columns = table.columns ?? [];
    await openCursor(sql, table.schema, table.name, columns);
    for (;;) {
      const lot = await sql.query(`FETCH ${COPY_ROWS_PER_FETCH} FROM salar_copy`);
      for (const values of lot) {
        const row = Object.fromEntries(columns.map((column, index) => [column, values[index] ?? null]));
        await take({ table: table.name, op: "insert", row, oldKey: null });
      }
      rows += lot.length;
      if (lot.length < COPY_ROWS_PER_FETCH) break;
    }
    await sql.query("CLOSE salar_copy");
  }
  await sql.query("COMMIT");
  return rows;
}

async function openCursor(
  sql: Sql,
  schema: string,
  table: string,
  columns: readonly string[],
): Promise<void> {
  const list = columns.map((column) => `"${column}"`).join(", ");
  try {
    await sql.query(`DECLARE salar_copy NO SCROLL CURSOR FOR SELECT ${list} FROM "${schema}"."${table}"`);
  } catch (cause) {
    const message = `Cannot copy table ${table}: ${
      messageOf(cause)
    }; the agent's role needs SELECT (${list}) on it`;
    throw new SalarError("forbidden", message, { cause });
  }
}
