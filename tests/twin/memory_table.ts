/**
 * One table in memory: rows, and a hash index for each set of columns that is unique or looked up.
 *
 * M1. Every index holds exactly the rows that the table holds.
 */
import { type Cell, TwinDbError } from "./db.ts";
import { specOf, type Table } from "./tables.ts";

/** Rows are replaced, never changed: a row that was handed out stays what it was. */
export type AnyRow = Readonly<Record<string, Cell>>;

interface Index {
  columns: readonly string[];
  unique: boolean;
  rows: Map<Cell, Set<AnyRow>>;
}

export class MemoryTable {
  readonly #name: Table;
  readonly #columns: { column: string; nullable: boolean }[];
  readonly #rows = new Set<AnyRow>();
  readonly #indexes: Index[];

  constructor(name: Table) {
    this.#name = name;
    const { columns, unique, indexes = [] } = specOf(name);
    this.#columns = Object.entries(columns).map(([column, kind]) => ({
      column,
      nullable: kind.endsWith("?"),
    }));
    const index = (isUnique: boolean) => (columns: readonly string[]): Index => (
      { columns, unique: isUnique, rows: new Map() }
    );
    this.#indexes = [...unique.map(index(true)), ...indexes.map(index(false))];
  }

  find(where: Readonly<Record<string, Cell | undefined>>): AnyRow[] {
    const wanted = Object.entries(where);
    const found: AnyRow[] = [];
    for (const row of this.#candidates(where)) {
      if (wanted.every(([column, value]) => row[column] === value)) found.push(row);
    }
    return found;
  }

  /** @throws {TwinDbError} and then changes nothing */
  insert(row: AnyRow): void {
    this.#check(row);
    this.#rows.add(row);
    for (const { columns, rows } of this.#indexes) {
      const key = keyOf(row, columns);
      if (key === null) continue;
      const same = rows.get(key);
      if (same === undefined) rows.set(key, new Set([row]));
      else same.add(row);
    }
  }

  delete(row: AnyRow): void {
    this.#rows.delete(row);
    for (const { columns, rows } of this.#indexes) {
      const key = keyOf(row, columns);
      const same = rows.get(key);
      same?.delete(row);
      if (same?.size === 0) rows.delete(key);
    }
  }

  /** The rows of the narrowest index that fits; all rows without one. */
  #candidates(where: Readonly<Record<string, Cell | undefined>>): ReadonlySet<AnyRow> {
    let best: Index | undefined;
    for (const index of this.#indexes) {
      if (index.columns.length <= (best?.columns.length ?? 0)) continue;
      if (index.columns.every((column) => where[column] !== undefined && where[column] !== null)) {
        best = index;
      }
      if (best?.unique) break;
    }
    if (best === undefined) return this.#rows;
    return best.rows.get(keyOf(where, best.columns)) ?? NO_ROWS;
  }

  #check(row: AnyRow): void {
    for (const { column, nullable } of this.#columns) {
      const value = row[column] ?? null;
      if (value === "") throw new TwinDbError("empty", `Cannot write ${this.#name}.${column}: text is empty`);
      if (value === null && !nullable) {
        throw new TwinDbError("null", `Cannot write ${this.#name}.${column}: it is null`);
      }
    }
    for (const { columns, unique, rows } of this.#indexes) {
      const key = keyOf(row, columns);
      if (unique && key !== null && rows.has(key)) {
        throw new TwinDbError("unique", `Cannot write ${this.#name}: ${columns} ${key} exists`);
      }
    }
  }
}

const NO_ROWS: ReadonlySet<AnyRow> = new Set();

/** Null when a column is null: such a row collides with nothing and is found by no key. */
function keyOf(row: Readonly<Record<string, Cell | undefined>>, columns: readonly string[]): Cell {
  const [first = "", second] = columns;
  const value = row[first] ?? null;
  if (second === undefined) return value;
  const parts = columns.map((column) => row[column] ?? null);
  return parts.includes(null) ? null : parts.join("\0");
}
