/**
 * The embedded store: one SQLite file, or memory, behind the Store contract. Several processes may share a file.
 *
 * In: a path. Out: a `Store`.
 * Snapshots are revisions, not SQLite read transactions (`sqlite_tables.ts`): one design serves file and memory, any
 * number of transactions stay open over their awaits on one connection, none of them keeps the WAL from being
 * checkpointed, and no pool of connections can run dry. A snapshot is good for STORE_SNAPSHOT_MS_MAX at least; then a
 * write runs again and a read is refused with `unavailable`.
 * Writes are optimistic: `fn` fills a buffer, and `group_commit.ts` checks and applies it.
 * C1. Every statement is short and no lock outlives the turn; a busy file is waited for through the scope.
 * C2. With ":memory:" nothing is awaited but microtasks and the scope, so a run repeats under a virtual scope.
 */
import { assert, SalarError } from "../errors.ts";
import {
  STORE_BUSY_BACKOFF_MS_MAX,
  STORE_BUSY_WAIT_MS_MAX,
  STORE_CLOSE_WAIT_MS_MAX,
  STORE_CONFLICT_BACKOFF_MS_MAX,
  STORE_SNAPSHOT_MS_MAX,
  STORE_TOKEN_CHARS_MAX,
  STORE_TOKEN_KEEP_MS,
  STORE_TOKEN_SWEEP_MAX,
  STORE_TX_ATTEMPTS_MAX,
  STORE_VALUE_BYTES_MAX,
} from "../limits.ts";
import type { Scope } from "../seams.ts";
import { WriteBuffer } from "./buffer.ts";
import { cancelledError, groupCommit } from "./group_commit.ts";
import { checkKey, checkScan, utf8Bytes } from "./keys.ts";
import { exactHorizon, laggingHorizon, pruner, type Running } from "./sqlite_horizon.ts";
import { isBusy, openTables, storeFault } from "./sqlite_tables.ts";
import type { Read, Store, Write, WriteOptions } from "./store.ts";

export interface SqliteStoreOptions {
  /** The file, created when absent in a folder that exists, or ":memory:". */
  path: string;
  /**
   * `full`: a commit is on disk before it is acknowledged. `normal`: a power cut may take the last commits with it,
   * all or none of each; a crash of the process takes nothing.
   * @default "full"
   */
  sync?: "full" | "normal";
}

interface Transaction extends Running {
  buffer: WriteBuffer;
  /** False when its function has returned. */
  open: boolean;
  /** Its snapshot was found to be gone, whatever its function made of the error. */
  gone: boolean;
}

type Attempt<T> = { ok: true; result: T } | { ok: false; lost: string };

/** Opens or creates a store. @throws {SalarError} `unavailable`, with the path and what to do. */
export function openSqliteStore({ path, sync = "full" }: SqliteStoreOptions): Store {
  const alone = path === ":memory:";
  const tables = openTables({ path, sync });
  const running = new Set<Transaction>();
  const commit = groupCommit({
    tables,
    defer: alone ? queueMicrotask : (flush) => void setImmediate(flush),
    prune: pruner(tables, alone ? exactHorizon(running) : laggingHorizon()),
  });
  const calls = new Map<Promise<unknown>, Scope>();
  let closing: Promise<void> | null = null;
  let closed = false;

  /** Keeps count of what `close()` waits for. */
  function call<T>(scope: Scope, work: () => Promise<T>): Promise<T> {
    if (closing !== null) return Promise.reject(closedError(path));
    const call = work();
    calls.set(call, scope);
    return call.finally(() => calls.delete(call));
  }

  /** Runs `op` as soon as no other process is in the way; `op` does nothing when it throws. */
  async function untilFree<T>(scope: Scope, action: string, op: () => T | Promise<T>): Promise<T> {
    let sinceMs: number | null = null;
    for (let waitMs = 1;; waitMs = Math.min(waitMs * 2, STORE_BUSY_BACKOFF_MS_MAX)) {
      if (closed) throw closedError(path);
      if (scope.signal.aborted) throw cancelledError();
      try {
        return await op();
      } catch (error) {
        sinceMs ??= scope.monoMs();
        const given = scope.monoMs() - sinceMs;
        if (!isBusy(error) || given > STORE_BUSY_WAIT_MS_MAX) throw storeFault(error, action, path);
      }
      // Without chance: those that failed together wake together, and share the next sync.
      await scope.sleep(waitMs);
    }
  }

  async function transact<T>(scope: Scope, work: (tx: Transaction) => Promise<T>): Promise<T> {
    const tx = await untilFree(scope, "read from", () => {
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

  function look<T>(tx: Transaction, op: () => T): Promise<T> {
    assert(tx.open, "a transaction is not used after its function has returned");
    return untilFree(tx.scope, "read from", op);
  }

  /** Call it after a read that found something missing. */
  function checkSnapshot(tx: Transaction): void {
    if (tx.snapshot >= tables.meta().horizon) return;
    tx.gone = true;
    const text =
      `its snapshot is older than ${STORE_SNAPSHOT_MS_MAX} ms and gone; read less in one transaction`;
    throw new SalarError("unavailable", `Cannot read from store ${path}: ${text}`);
  }

  function find(tx: Transaction, key: string): Uint8Array | null {
    const own = tx.buffer.get(key);
    if (own !== undefined) return own;
    const value = tables.get(key, tx.snapshot);
    if (value === null) checkSnapshot(tx);
    return value;
  }

  function reader(tx: Transaction): Read {
    return {
      async get(key) {
        checkKey(key);
        return await look(tx, () => find(tx, key));
      },
      async getMany(keys) {
        keys.forEach(checkKey);
        return await look(tx, () => keys.map((key) => find(tx, key)));
      },
      async scan(range, options) {
        const rest = checkScan(range, options);
        const limit = options.limit + tx.buffer.countIn(rest);
        const page = await look(tx, () => {
          const page = tables.scan(rest, tx.snapshot, { ...options, limit });
          checkSnapshot(tx);
          return page;
        });
        return tx.buffer.overlay(page, rest, options);
      },
    };
  }

  function writer(tx: Transaction): Write {
    const buffer = () => {
      assert(tx.open, "a transaction is not used after its function has returned");
      return tx.buffer;
    };
    return {
      ...reader(tx),
      put: (key, value) => buffer().put(key, value),
      delete: (key) => buffer().delete(key),
      lock: (key) => buffer().lock(key),
    };
  }

  async function attempt<T>(
    tx: Transaction,
    fn: (tx: Write) => Promise<T>,
    token: string | undefined,
  ): Promise<Attempt<T>> {
    const { scope, snapshot, buffer } = tx;
    if (token !== undefined) {
      const known = await look(tx, () => tables.findToken(token));
      if (known !== null) return { ok: true, result: decodeResult<T>(known.result) };
    }

    let result: T;
    try {
      result = await fn(writer(tx));
    } catch (error) {
      if (tx.gone) return { ok: false, lost: "its snapshot" };
      throw error;
    }
    if (tx.gone) return { ok: false, lost: "its snapshot" };
    tx.open = false;
    if (buffer.isEmpty() && token === undefined) return { ok: true, result };

    const saved = token === undefined ? null : { name: token, result: encodeResult(result) };
    const outcome = await untilFree(
      scope,
      "commit to",
      () => commit({ scope, snapshot, buffer, token: saved }),
    );
    switch (outcome.kind) {
      case "conflict":
        return { ok: false, lost: outcome.key === null ? "its snapshot" : `key ${outcome.key}` };
      case "repeated":
        return { ok: true, result: decodeResult<T>(outcome.result) };
      case "committed": // the same answer now and when the token is used again
        return { ok: true, result: saved === null ? result : decodeResult<T>(saved.result) };
    }
  }

  async function writeUntilDone<T>(
    scope: Scope,
    fn: (tx: Write) => Promise<T>,
    { token }: WriteOptions,
  ): Promise<T> {
    if (token !== undefined) checkToken(token);
    let lost = "";
    for (let n = 1; n <= STORE_TX_ATTEMPTS_MAX; n++) {
      if (n > 1) await scope.sleep(scope.random.below(Math.min(2 ** n, STORE_CONFLICT_BACKOFF_MS_MAX)));
      const attempted = await transact(scope, (tx) => attempt(tx, fn, token));
      if (attempted.ok) return attempted.result;
      lost = attempted.lost;
    }
    const text = `others were faster ${STORE_TX_ATTEMPTS_MAX} times, the last time it lost ${lost}`;
    throw new SalarError("conflict", `Cannot commit to store ${path}: ${text}`);
  }

  async function shut(): Promise<void> {
    const waits = [...calls].map(([call, scope]) =>
      scope.timeout(STORE_CLOSE_WAIT_MS_MAX, async () => void await call)
    );
    await Promise.allSettled(waits); // what a call makes of it is its caller's to hear
    closed = true;
    tables.close();
  }

  return {
    read: (scope, fn) => call(scope, () => transact(scope, (tx) => fn(reader(tx)))),
    write: (scope, fn, options = {}) => call(scope, () => writeUntilDone(scope, fn, options)),
    sweepTokens: (scope) =>
      call(
        scope,
        () =>
          untilFree(scope, "sweep tokens of", () =>
            tables.locked(() =>
              tables.removeTokens(scope.nowMs() - STORE_TOKEN_KEEP_MS, STORE_TOKEN_SWEEP_MAX)
            )),
      ),
    check: (scope) => call(scope, () => untilFree(scope, "read from", () => void tables.meta())),
    close: () => closing ??= shut(),
  };
}

function checkToken(token: string): void {
  if (token.length >= 1 && token.length <= STORE_TOKEN_CHARS_MAX && token.isWellFormed()) return;
  throw new SalarError(
    "bad-input",
    `Cannot use token: it has ${token.length} characters, must have 1 … ${STORE_TOKEN_CHARS_MAX}`,
  );
}

function encodeResult(result: unknown): string | null {
  if (result === undefined) return null;
  const json = JSON.stringify(result);
  const bytes = utf8Bytes(json);
  if (bytes <= STORE_VALUE_BYTES_MAX) return json;
  throw new SalarError(
    "too-large",
    `Cannot keep result of a token: ${bytes} bytes, at most ${STORE_VALUE_BYTES_MAX}`,
  );
}

/** The type is that of the transaction which used the token first; T4 says that it is the same one. */
function decodeResult<T>(json: string | null): T {
  return (json === null ? undefined : JSON.parse(json)) as T;
}

function closedError(path: string): SalarError {
  return new SalarError("closed", `Cannot use store ${path}: it is closed`);
}
