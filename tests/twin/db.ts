/**
 * What the twin asks of a database: rows by equality, in transactions. `memory_db.ts` and `pg_db.ts` answer.
 *
 * D1. A transaction happens whole or not at all, and reads what it wrote.
 * D2. `created` and `modified` are set by the database, as Uyuni's triggers do; an update that changes nothing else
 *     still moves `modified`.
 */
import type { Cell, Row, Sequence, Table } from "./tables.ts";

/** Columns that must be equal; `null` asks for null. Without columns: all rows. */
export type Where<T extends Table> = Partial<Row<T>>;

export interface TwinTx {
  nextId(sequence: Sequence): Promise<number>;
  /** In no particular order. */
  find<T extends Table>(table: T, where: Where<T>): Promise<Row<T>[]>;
  count<T extends Table>(table: T, where: Where<T>): Promise<number>;
  /** Columns that are left out get their default or null. @throws {TwinDbError} */
  insert<T extends Table>(table: T, row: Partial<Row<T>>): Promise<void>;
  /** @returns how many rows @throws {TwinDbError} */
  update<T extends Table>(table: T, where: Where<T>, set: Partial<Row<T>>): Promise<number>;
  /** @returns how many rows @throws {TwinDbError} */
  delete<T extends Table>(table: T, where: Where<T>): Promise<number>;
}

export interface TwinDb {
  /** `work` must only use `tx`, and only until it ends. What it throws rolls back and is thrown on. */
  transaction<R>(work: (tx: TwinTx) => Promise<R>): Promise<R>;
  close(): Promise<void>;
}

/** A row that the schema does not allow: `unique`, `null` (a column that must be set) or `empty` (text). */
export class TwinDbError extends Error {
  override readonly name = "TwinDbError";

  constructor(readonly kind: "unique" | "null" | "empty" | "other", message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** The one row, or null. */
export async function findOne<T extends Table>(
  tx: TwinTx,
  table: T,
  where: Where<T>,
): Promise<Row<T> | null> {
  return (await tx.find(table, where))[0] ?? null;
}

/** A change of one row as logical replication tells it: names in lower case, values as PostgreSQL's text. */
export interface RowChange {
  op: "insert" | "update" | "delete";
  table: string;
  /** All published columns; for a delete only those of the replica identity. */
  row: Record<string, string | null>;
}

export type { Cell };
