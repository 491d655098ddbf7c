/**
 * The twin's database in memory, for the demo and for tests that need many nodes at once.
 *
 * In: what `db.ts` says. Out: beside that, change feeds as PostgreSQL's logical replication gives them, and a
 * snapshot that a later process can start from.
 * M1. Transactions run one after the other; one that throws leaves nothing behind, sequences excepted.
 */
import { ChangeSlot, type ChangeTransaction, type Publication } from "./change_slot.ts";
import type { Cell, RowChange, TwinDb, TwinTx } from "./db.ts";
import { type AnyRow, MemoryTable } from "./memory_table.ts";
import { type Sequence, SEQUENCES, specOf, type Table, TABLES } from "./tables.ts";

export interface MemoryDbOptions {
  /** @default Date.now */
  nowMs?: () => number;
  /** From `snapshot()` of an earlier database. */
  snapshot?: string;
}

export interface MemoryDb extends TwinDb {
  /**
   * A new change feed that starts now, or the one that already has this name. With `copy` a new one begins with all
   * published rows, as inserts of one transaction.
   */
  openSlot(
    name: string,
    publication: Publication,
    options?: { transactionsMax?: number; copy?: boolean },
  ): ChangeSlot;
  dropSlot(name: string): void;
  /** All rows and sequences as JSON. Slots are not in it, just as a dump of PostgreSQL has none. */
  snapshot(): Promise<string>;
}

const SLOT_TRANSACTIONS_MAX = 100_000;
const TABLE_NAMES = Object.keys(TABLES) as Table[];

/** One change of the running transaction. Undoing is: delete `after`, insert `before`. */
interface Step {
  table: Table;
  before: AnyRow | null;
  after: AnyRow | null;
}

interface Snapshot {
  lsn: string;
  sequences: [Sequence, number][];
  rows: Record<string, AnyRow[]>;
}

export function memoryDb({ nowMs = Date.now, snapshot }: MemoryDbOptions = {}): MemoryDb {
  const tables = new Map(TABLE_NAMES.map((name) => [name, new MemoryTable(name)]));
  const sequences = new Map<Sequence, number>();
  const slots = new Map<string, ChangeSlot>();
  let lsn = 0n;
  let last: Promise<unknown> = Promise.resolve();

  function tableOf(name: Table): MemoryTable {
    const table = tables.get(name);
    if (table === undefined) throw new Error(`Assertion failed: there is no table ${name}`);
    return table;
  }

  if (snapshot !== undefined) {
    const saved: Snapshot = JSON.parse(snapshot);
    lsn = BigInt(saved.lsn);
    for (const [name, value] of saved.sequences) sequences.set(name, value);
    for (const name of TABLE_NAMES) for (const row of saved.rows[name] ?? []) tableOf(name).insert(row);
  }

  function run<R>(work: (tx: TwinTx) => Promise<R>): Promise<R> {
    const steps: Step[] = [];
    const result = work(memoryTx({ tableOf, sequences, nowMs, steps })).then(
      (value) => {
        publish(steps);
        return value;
      },
      (error) => {
        for (const { table, before, after } of steps.toReversed()) {
          if (after !== null) tableOf(table).delete(after);
          if (before !== null) tableOf(table).insert(before);
        }
        throw error;
      },
    );
    return result;
  }

  function publish(steps: readonly Step[]): void {
    if (steps.length === 0) return;
    lsn += BigInt(steps.length);
    for (const slot of slots.values()) {
      const changes = steps.flatMap((step) => changeOf(step, slot.publication) ?? []);
      const transaction: ChangeTransaction = { lsn, atMs: nowMs(), changes };
      if (changes.length > 0) slot.push(transaction);
    }
  }

  function transaction<R>(work: (tx: TwinTx) => Promise<R>): Promise<R> {
    const result = last.then(() => run(work));
    last = result.catch(() => {});
    return result;
  }

  return {
    transaction,
    close: () => Promise.resolve(),
    openSlot(name, publication, { transactionsMax = SLOT_TRANSACTIONS_MAX, copy = false } = {}) {
      const known = slots.get(name);
      if (known !== undefined) return known;
      const slot = new ChangeSlot(publication, transactionsMax);
      slots.set(name, slot);
      if (copy) {
        const rows = TABLE_NAMES.flatMap((table) =>
          tableOf(table).find({}).map((after) => ({ table, before: null, after }))
        );
        const changes = rows.flatMap((step) => changeOf(step, publication) ?? []);
        if (changes.length > 0) slot.push({ lsn, atMs: nowMs(), changes });
      }
      return slot;
    },
    dropSlot: (name) => void slots.delete(name),
    snapshot: () =>
      transaction(() => {
        const rows = Object.fromEntries(TABLE_NAMES.map((name) => [name, tableOf(name).find({})]));
        const saved: Snapshot = { lsn: `${lsn}`, sequences: [...sequences], rows };
        return Promise.resolve(JSON.stringify(saved));
      }),
  };
}

interface Inside {
  tableOf(name: Table): MemoryTable;
  sequences: Map<Sequence, number>;
  nowMs: () => number;
  steps: Step[];
}

/** `async` turns a refused row into a rejection; rows of a table are what `Row` says, since `insert` checks them. */
function memoryTx({ tableOf, sequences, nowMs, steps }: Inside): TwinTx {
  const find = (table: Table, where: object) => tableOf(table).find(where as Record<string, Cell>);

  function replace(table: Table, before: AnyRow | null, after: AnyRow | null): void {
    if (before !== null) tableOf(table).delete(before);
    try {
      if (after !== null) tableOf(table).insert(after);
    } catch (error) {
      if (before !== null) tableOf(table).insert(before);
      throw error;
    }
    steps.push({ table, before, after });
  }

  return {
    nextId(sequence) {
      const id = sequences.get(sequence) ?? SEQUENCES[sequence];
      sequences.set(sequence, id + 1);
      return Promise.resolve(id);
    },
    find: (table, where) => Promise.resolve(find(table, where) as never[]),
    count: (table, where) => Promise.resolve(find(table, where).length),
    // deno-lint-ignore require-await
    async insert(table, row) {
      const { columns, defaults = {} } = specOf(table);
      const stamp = nowMs();
      const full: Record<string, Cell> = {};
      for (const column of Object.keys(columns)) {
        full[column] = defaults[column] ?? (STAMPED.has(column) ? stamp : null);
      }
      replace(table, null, Object.assign(full, row));
    },
    // deno-lint-ignore require-await
    async update(table, where, set) {
      const rows = find(table, where);
      const stamp = "modified" in specOf(table).columns ? { modified: nowMs() } : {};
      for (const row of rows) replace(table, row, { ...row, ...set as AnyRow, ...stamp });
      return rows.length;
    },
    // deno-lint-ignore require-await
    async delete(table, where) {
      const rows = find(table, where);
      for (const row of rows) replace(table, row, null);
      return rows.length;
    },
  };
}

const STAMPED: ReadonlySet<string> = new Set(["created", "modified", "last_modified", "checkin"]);

function changeOf({ table, before, after }: Step, publication: Publication): RowChange | null {
  const name = table.toLowerCase();
  const published = publication[name];
  const row = after ?? before;
  if (published === undefined || row === null) return null;

  const { columns, identity } = specOf(table);
  const sent = after === null ? identity : published;
  const op = before === null ? "insert" : after === null ? "delete" : "update";
  return {
    op,
    table: name,
    row: Object.fromEntries(sent.map((column) => [column, textOf(row[column] ?? null, columns[column])])),
  };
}

/** As PostgreSQL prints it with time zone UTC. */
function textOf(value: Cell, kind: string | undefined): string | null {
  if (value === null) return null;
  if (typeof value === "string" || !kind?.startsWith("time")) return String(value);
  const [day = "", time = ""] = new Date(value).toISOString().split("T");
  // It prints no zeros at the end of the fraction, and no point without one.
  return `${day} ${time.replace(/\.?0*Z$/, "")}+00`;
}
