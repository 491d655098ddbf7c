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
import { STORE_TOKEN_KEEP_MS, STORE_TOKEN_SWEEP_MAX } from "../limits.ts";
import type { Scope } from "../seams.ts";
import { type Attempt, untilCommitted } from "./attempts.ts";
import { groupCommit } from "./group_commit.ts";
import { createSqliteGate } from "./sqlite_gate.ts";
import { exactHorizon, laggingHorizon, pruner } from "./sqlite_horizon.ts";
import { openTables } from "./sqlite_tables.ts";
import { type Database, reader, transact, type Transaction, writer } from "./sqlite_transaction.ts";
import type { KeptToken, PortableStore, StorePart } from "./portable.ts";
import type { Write } from "./store.ts";
import { checkToken, decodeResult, encodeResult } from "./tokens.ts";

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

/** Opens or creates a store. @throws {SalarError} `unavailable`, with the path and what to do. */
export function openSqliteStore({ path, sync = "full" }: SqliteStoreOptions): PortableStore {
  const alone = path === ":memory:";
  const tables = openTables({ path, sync });
  const gate = createSqliteGate(path);
  const running = new Set<Transaction>();
  const database: Database = { path, tables, gate, running };
  const commit = groupCommit({
    tables,
    defer: alone ? queueMicrotask : (flush) => void setImmediate(flush),
    prune: pruner(tables, alone ? exactHorizon(running) : laggingHorizon()),
  });

  async function attempt<T>(
    tx: Transaction,
    fn: (tx: Write) => Promise<T>,
    { token, losses }: { token: string | undefined; losses: number },
  ): Promise<Attempt<T>> {
    const { scope, snapshot, buffer } = tx;
    if (token !== undefined) {
      const known = await gate.untilFree(scope, "read from", () => tables.findToken(token));
      if (known !== null) return { ok: true, result: decodeResult<T>(known.result) };
    }

    let result: T;
    try {
      result = await fn(writer(database, tx));
    } catch (error) {
      if (!tx.gone) throw error;
      return { ok: false, lost: "so many writes that the snapshot is gone" };
    }
    tx.open = false;
    if (buffer.isEmpty() && token === undefined) return { ok: true, result };

    const saved = token === undefined ? null : { name: token, result: encodeResult(result) };
    const ended = { scope, snapshot, buffer, losses, token: saved };
    const outcome = await gate.untilFree(scope, "commit to", () => commit(ended));
    switch (outcome.kind) {
      case "conflict":
        return { ok: false, lost: outcome.lost };
      case "repeated":
        return { ok: true, result: decodeResult<T>(outcome.result) };
      case "committed": // the same answer now and when the token is used again
        return { ok: true, result: saved === null ? result : decodeResult<T>(saved.result) };
    }
  }

  function forgetTokens(scope: Scope): number {
    const beforeMs = scope.nowMs() - STORE_TOKEN_KEEP_MS;
    return tables.locked(() => tables.removeTokens(beforeMs, STORE_TOKEN_SWEEP_MAX));
  }

  function look(): StorePart[] {
    const { problems, bytes } = tables.inspect();
    const state = problems.length === 0 ? `${bytes} bytes, none of them damaged` : problems.join("; ");
    return [{ name: path, ok: problems.length === 0, state }];
  }

  function keep(tokens: readonly KeptToken[]): void {
    for (const { token, atMs, result } of tokens) {
      if (tables.findToken(token) === null) tables.addToken(token, atMs, result);
    }
  }

  return {
    read: (scope, fn) => gate.call(scope, () => transact(database, scope, (tx) => fn(reader(database, tx)))),
    write: (scope, fn, { token } = {}) =>
      gate.call(scope, async () => {
        if (token !== undefined) checkToken(token);
        return await untilCommitted(
          scope,
          (losses) => transact(database, scope, (tx) => attempt(tx, fn, { token, losses })),
        );
      }),
    sweepTokens: (scope) =>
      gate.call(scope, () => gate.untilFree(scope, "sweep tokens of", () => forgetTokens(scope))),
    tokens: (scope, { limit, after = "" }) =>
      gate.call(scope, () => gate.untilFree(scope, "read from", () => tables.tokens(after, limit))),
    keepTokens: (scope, tokens) =>
      gate.call(scope, () => gate.untilFree(scope, "write to", () => tables.locked(() => keep(tokens)))),
    inspect: (scope) => gate.call(scope, () => gate.untilFree(scope, "inspect", look)),
    check: (scope) => gate.call(scope, () => gate.untilFree(scope, "read from", () => void tables.meta())),
    close: () => gate.close(tables.close),
  };
}
