/**
 * The cluster's store: a TiKV cluster behind the Store contract. Any number of processes share it.
 *
 * In: addresses, and a prefix under which nobody else writes (`tikv_layout.ts`). Out: a `Store`.
 * V1. Writes are optimistic: `fn` fills a buffer, and the commit fails when another was faster.
 * V2. A lock writes the value again that the key has. TiKV's own Lock mutation would do, but its records pile up on a
 *     key that many lock, every read has to step over them, and servers differ in whether a writer notices them.
 * V3. A commit whose answer was lost is settled by asking the transaction's own primary key before anything is said.
 */
import { STORE_GARBAGE_KEEP_MS, STORE_TOKEN_KEEP_MS, STORE_TOKEN_SWEEP_MAX } from "../limits.ts";
import { type Log, silentLog } from "../log.ts";
import type { Scope } from "../seams.ts";
import { type Client, connect, type ConnectOptions } from "../tikv/client.ts";
import { TikvError } from "../tikv/errors.ts";
import type { Transaction } from "../tikv/transaction.ts";
import { type Attempt, untilCommitted } from "./attempts.ts";
import { WriteBuffer } from "./buffer.ts";
import { createGate } from "./gate.ts";
import type { KeptToken, PortableStore } from "./portable.ts";
import type { Write } from "./store.ts";
import { storeFault } from "./tikv_faults.ts";
import { readTokenValue, tikvLayout, tokenValue, wrapValue } from "./tikv_layout.ts";
import { reader, type Run, writer } from "./tikv_transaction.ts";
import { checkToken, decodeResult, encodeResult } from "./tokens.ts";

export interface TikvStoreOptions
  extends Pick<ConnectOptions, "pd" | "tls" | "keyspace" | "name" | "commit"> {
  /** What every key begins with. */
  prefix: string;
  /** Whether this process takes turns with others in clearing old versions away. @default false */
  collectsGarbage?: boolean;
  log?: Log;
}

/** @throws {SalarError} `unavailable` when no placement driver answers, or `bad-input` for wrong addresses */
export async function connectTikvStore(scope: Scope, options: TikvStoreOptions): Promise<PortableStore> {
  const { prefix, collectsGarbage = false, log = silentLog, ...rest } = options;
  const name = `tikv ${options.pd.join(",")}`;
  try {
    const client = await connect({
      ...rest,
      signal: scope.signal,
      onWarning: (message) => log.warn("tikv: background work failed", { reason: message }),
      onCorrupt: (error) => log.error("tikv: answers contradict each other, stop the functions", { error }),
    });
    if (collectsGarbage) scope.spawn("store garbage", () => collectGarbage(client, { prefix, log }));
    return storeOn(client, { prefix, name });
  } catch (error) {
    throw storeFault(error, "connect to", name);
  }
}

/** Ends with the client. */
async function collectGarbage(client: Client, { prefix, log }: { prefix: string; log: Log }): Promise<void> {
  await client.runGarbageCollector({
    prefix: tikvLayout(prefix).garbage(),
    retentionMs: STORE_GARBAGE_KEEP_MS,
    onRound: ({ regions, locks }) => log.info("store: old versions cleared", { regions, locks }),
    onError: (error) => log.warn("store: old versions not cleared", { error }),
  });
}

function storeOn(client: Client, { prefix, name }: { prefix: string; name: string }): PortableStore {
  const layout = tikvLayout(prefix);
  const gate = createGate(name);

  /** One call, from its start to its end; errors of the client become Salar's. */
  function call<T>(scope: Scope, action: string, work: () => Promise<T>): Promise<T> {
    return gate.call(scope, async () => {
      try {
        return await work();
      } catch (error) {
        throw storeFault(error, action, name);
      }
    });
  }

  function run(source: Run["source"], { signal }: Scope): Run {
    const fault = (error: unknown) => storeFault(error, "read from", name);
    return { source, buffer: new WriteBuffer(), layout, signal, open: true, fault };
  }

  async function attempt<T>(
    scope: Scope,
    fn: (tx: Write) => Promise<T>,
    token: string | undefined,
  ): Promise<Attempt<T>> {
    await using tx = client.begin({ signal: scope.signal });
    if (token !== undefined) {
      const known = await tx.get(layout.token(token));
      if (known !== null) return { ok: true, result: decodeResult<T>(readTokenValue(known).result) };
    }
    const current = run(tx, scope);
    const result = await fn(writer(current));
    current.open = false;

    await stage(tx, current.buffer);
    const saved = token === undefined ? null : { token, atMs: scope.nowMs(), result: encodeResult(result) };
    if (saved !== null) stageToken(tx, saved);
    const lost = await commit(tx);
    if (lost !== null) return { ok: false, lost };
    // The same answer now and when the token is used again.
    return { ok: true, result: saved === null ? result : decodeResult<T>(saved.result) };
  }

  async function stage(tx: Transaction, { writes, locks }: WriteBuffer): Promise<void> {
    for (const [key, value] of writes) {
      if (value === null) tx.delete(layout.data(key));
      else tx.put(layout.data(key), wrapValue(value));
    }
    const locked = [...locks].filter((key) => !writes.has(key)).map(layout.data); // V2
    const values = await tx.getMany(locked);
    for (const [at, key] of locked.entries()) {
      const value = values[at] ?? null;
      if (value === null) tx.delete(key);
      else tx.put(key, value);
    }
  }

  function stageToken(tx: Transaction, { token, ...kept }: KeptToken): void {
    tx.put(layout.token(token), tokenValue(kept));
    tx.put(layout.tokenAge(kept.atMs, token), wrapValue(new Uint8Array(0)));
  }

  async function forgetTokens(tx: Transaction, scope: Scope): Promise<number> {
    const old = layout.agesBefore(scope.nowMs() - STORE_TOKEN_KEEP_MS);
    let count = 0;
    for await (const { key } of tx.scan(old, { limit: STORE_TOKEN_SWEEP_MAX, keysOnly: true })) {
      tx.delete(key);
      tx.delete(layout.token(layout.tokenOfAge(key).token));
      count++;
    }
    return count;
  }

  /** Once, with `work` alone deciding what is written; runs again when others were faster. */
  function change<T>(scope: Scope, work: (tx: Transaction) => Promise<T>): Promise<T> {
    return untilCommitted(scope, async () => {
      await using tx = client.begin({ signal: scope.signal });
      const result = await work(tx);
      const lost = await commit(tx);
      return lost === null ? { ok: true, result } : { ok: false, lost };
    });
  }

  return {
    read: (scope, fn) =>
      call(scope, "read from", async () => {
        const current = run(client.snapshot({ signal: scope.signal }), scope);
        try {
          return await fn(reader(current));
        } finally {
          current.open = false;
        }
      }),
    write: (scope, fn, { token } = {}) =>
      call(scope, "write to", async () => {
        if (token !== undefined) checkToken(token);
        return await untilCommitted(scope, () => attempt(scope, fn, token));
      }),
    sweepTokens: (scope) =>
      call(scope, "sweep tokens of", () => change(scope, (tx) => forgetTokens(tx, scope))),
    tokens: (scope, { limit, after = "" }) =>
      call(scope, "read from", async () => {
        const { signal } = scope;
        const kept: KeptToken[] = [];
        for await (
          const { key, value } of client.snapshot({ signal }).scan(layout.tokensAfter(after), {
            limit,
            signal,
          })
        ) {
          kept.push({ token: layout.keyOf(key), ...readTokenValue(value) });
        }
        return kept;
      }),
    keepTokens: (scope, tokens) =>
      call(scope, "write to", () =>
        change(scope, async (tx) => {
          const known = await tx.getMany(tokens.map(({ token }) => layout.token(token)));
          tokens.forEach((kept, at) => known[at] ?? stageToken(tx, kept));
        })),
    inspect: (scope) =>
      call(scope, "inspect", async () => {
        const { clusterId, stores } = await client.checkHealth({ signal: scope.signal });
        return [
          { name: `placement driver of cluster ${clusterId}`, ok: true, state: "gives timestamps" },
          ...stores.map(({ id, address, version, serving }) => ({
            name: `store ${id} at ${address}`,
            ok: serving,
            state: `version ${version}, ${serving ? "serves" : "does not answer"}`,
          })),
        ];
      }),
    check: (scope) =>
      call(scope, "read from", async () => {
        const { signal } = scope;
        await client.snapshot({ signal }).get(layout.data("check"), { signal }); // whatever is there: it was read
      }),
    close: () => gate.close(() => client.close()),
  };
}

/** Null when it committed, else what others were faster with (V3). */
async function commit(tx: Transaction): Promise<string | null> {
  try {
    await tx.commit();
    return null;
  } catch (error) {
    if (!(error instanceof TikvError)) throw error;
    if (error.code === "conflict") return error.message;
    if (error.code !== "undetermined") throw error;
    const { committed } = await tx.outcome().catch(() => {
      throw error; // nobody could say: the caller hears of the lost commit, not of the question
    });
    return committed ? null : error.message;
  }
}
