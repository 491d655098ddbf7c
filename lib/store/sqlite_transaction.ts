/**
 * One transaction of the embedded store: a revision to read at and a buffer to write to.
 *
 * X1. It reads at one revision. What it does not find there counts as absent only while its snapshot is kept;
 *     otherwise the read is refused, for a pruned value is not an absent one.
 * X2. It cannot be used after its function has returned.
 */
import { assert, SalarError } from "../errors.ts";
import { STORE_SNAPSHOT_MS_MAX } from "../limits.ts";
import type { Scope } from "../seams.ts";
import { WriteBuffer } from "./buffer.ts";
import { checkKey, checkScan } from "./keys.ts";
import type { SqliteGate } from "./sqlite_gate.ts";
import type { Running } from "./sqlite_horizon.ts";
import type { Tables } from "./sqlite_tables.ts";
import type { Read, Write } from "./store.ts";

export interface Transaction extends Running {
  buffer: WriteBuffer;
  /** False when its function has returned. */
  open: boolean;
  /** Its snapshot was found to be gone, whatever its function made of the error. */
  gone: boolean;
}

export interface Database {
  path: string;
  tables: Tables;
  gate: SqliteGate;
  /** The transactions that run; what they may read is kept (`sqlite_horizon.ts`). */
  running: Set<Transaction>;
}

/** Begins a transaction and ends it when `work` does. */
export async function transact<T>(
  { tables, gate, running }: Database,
  scope: Scope,
  work: (tx: Transaction) => Promise<T>,
): Promise<T> {
  const tx = await gate.untilFree(scope, "read from", () => {
    const begun = { snapshot: tables.meta().revision, begunMs: scope.monoMs() };
    const tx: Transaction = { scope, ...begun, buffer: new WriteBuffer(), open: true, gone: false };
    running.add(tx); // in the same turn as its snapshot is taken, or that may be pruned in between
    return tx;
  });
  try {
    return await work(tx);
  } finally {
    tx.open = false;
    running.delete(tx);
  }
}

export function reader({ path, tables, gate }: Database, tx: Transaction): Read {
  function look<T>(op: () => T): Promise<T> {
    checkOpen(tx);
    return gate.untilFree(tx.scope, "read from", op);
  }

  function checkSnapshot(): void {
    if (tx.snapshot >= tables.meta().horizon) return;
    tx.gone = true;
    const reason = `its snapshot is older than ${STORE_SNAPSHOT_MS_MAX} ms and gone`;
    throw new SalarError("unavailable", `Cannot read from store ${path}: ${reason}; read less at once`);
  }

  function find(key: string): Uint8Array | null {
    const own = tx.buffer.get(key);
    if (own !== undefined) return own;
    const value = tables.get(key, tx.snapshot);
    if (value === null) checkSnapshot(); // X1
    return value;
  }

  return {
    async get(key) {
      checkKey(key);
      return await look(() => find(key));
    },
    async getMany(keys) {
      keys.forEach(checkKey);
      return await look(() => keys.map(find));
    },
    async scan(range, options) {
      const rest = checkScan(range, options);
      const limit = options.limit + tx.buffer.countIn(rest);
      const page = await look(() => {
        const page = tables.scan(rest, tx.snapshot, { ...options, limit });
        checkSnapshot(); // X1: something may be missing
        return page;
      });
      return tx.buffer.overlay(page, rest, options);
    },
  };
}

export function writer(database: Database, tx: Transaction): Write {
  const buffer = () => {
    checkOpen(tx);
    return tx.buffer;
  };
  return {
    ...reader(database, tx),
    put: (key, value) => buffer().put(key, value),
    delete: (key) => buffer().delete(key),
    lock: (key) => buffer().lock(key),
  };
}

function checkOpen({ open }: Transaction): void {
  assert(open, "a transaction is not used after its function has returned"); // X2
}
