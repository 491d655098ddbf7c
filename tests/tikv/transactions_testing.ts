/** What the tests of transactions on the scripted cluster share. */
import { type Client, connect, type ConnectOptions } from "../../lib/tikv/client.ts";
import { PrewriteRequest } from "../../lib/tikv/messages_kv.ts";
import { Op } from "../../lib/tikv/messages_kv.ts";
import { createRuntime, type Runtime } from "../../lib/tikv/runtime.ts";
import type { Entry } from "../../lib/tikv/write_buffer_merge.ts";
import { waitFor } from "../parts/wait.ts";
import { ScriptedCluster, type ScriptedOptions } from "./scripted/cluster.ts";
import { prewrite } from "./scripted/prewrite.ts";

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (value: Uint8Array | null): string | null =>
  value === null ? null : new TextDecoder().decode(value);

/** `prefix0000`, `prefix0001`, ... */
export const numbered = (prefix: string, count: number): string[] =>
  Array.from({ length: count }, (_, at) => prefix + String(at).padStart(4, "0"));

export interface Stage extends AsyncDisposable {
  cluster: ScriptedCluster;
  client: Client;
  /** What was reported as damage, and as work that failed in the background. */
  corrupt: string[];
  warnings: string[];
  /** Waits until nothing goes on in the background. */
  settled(): Promise<void>;
  /** Reads a key as a new client would: at a new snapshot. */
  value(key: string): Promise<string | null>;
  put(entries: Record<string, string>): Promise<void>;
}

/** A cluster and a client of it whose caches are warm. */
export async function stage(
  options: Partial<ConnectOptions> = {},
  clusterOptions: ScriptedOptions = {},
): Promise<Stage> {
  const cluster = await ScriptedCluster.start(clusterOptions);
  const corrupt: string[] = [];
  const warnings: string[] = [];
  try {
    const client = await connect({
      pd: cluster.addresses,
      onCorrupt: ({ message }) => corrupt.push(message),
      onWarning: (message) => warnings.push(message),
      ...options,
    });
    await client.latest(bytes("warm"));
    cluster.calls.clear();
    return {
      cluster,
      client,
      corrupt,
      warnings,
      async settled() {
        await waitFor("nothing in the background", 5_000, () => client.pending === 0);
      },
      value: async (key) => text(await client.snapshot().get(bytes(key))),
      put: (entries) =>
        client.transaction((tx) => {
          for (const [key, value] of Object.entries(entries)) tx.put(bytes(key), bytes(value));
        }),
      async [Symbol.asyncDispose]() {
        await client.close();
        await cluster.stop();
      },
    };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

export interface Left {
  /** Key → value; the first key is the primary unless `primary` says another. */
  puts: Record<string, string>;
  primary?: string;
  ttlMs?: number;
  /** As an async commit does; the primary names all other keys of `secondaries`. */
  async?: boolean;
  /** Of an async commit, when not all are among `puts`: others were never prewritten. */
  secondaries?: string[];
  txnSize?: number;
  /** Without it the lock cannot be pushed, as with old clients. */
  minCommitTs?: bigint;
  startTs?: bigint;
}

/** Leaves the locks of a client that died after its prewrites. Returns its start timestamp. */
export function leaveLocks({ mvcc, oracle }: ScriptedCluster, left: Left): bigint {
  const startTs = left.startTs ?? oracle.next();
  const keys = Object.keys(left.puts);
  const primary = left.primary ?? keys[0] ?? "";
  const request = {
    mutations: Object.entries(left.puts).map(([key, value]) => ({
      op: Op.put,
      key: bytes(key),
      value: bytes(value),
    })),
    primaryLock: bytes(primary),
    startVersion: startTs,
    lockTtl: BigInt(left.ttlMs ?? 3_000),
    txnSize: BigInt(left.txnSize ?? keys.length),
    minCommitTs: left.minCommitTs ?? startTs + 1n,
    useAsyncCommit: left.async ?? false,
    secondaries: (left.secondaries ?? keys.filter((key) => key !== primary)).map(bytes),
  };
  const { errors = [] } = prewrite(mvcc, PrewriteRequest.decode(PrewriteRequest.encode(request)));
  if (errors.length > 0) throw new Error("the locks could not be left");
  return startTs;
}

export function lockedKeys({ mvcc }: ScriptedCluster): string[] {
  const everything = new Uint8Array(0);
  return mvcc.rows.range(everything, everything).filter(({ lock }) => lock !== null)
    .map(({ key }) => text(key) ?? "");
}

/** `key=value` of each entry. */
export async function shown(entries: AsyncIterable<Entry>): Promise<string[]> {
  const all: string[] = [];
  for await (const { key, value } of entries) all.push(`${text(key)}=${text(value)}`);
  return all;
}

/**
 * Time that runs faster, so that no test sleeps through a time to live. Deadlines of calls run faster as well: more
 * than tenfold, and a busy machine misses them.
 */
export function fastRuntime(times: number): Runtime & { skip(ms: number): void } {
  const real = createRuntime();
  let skippedMs = 0;
  return {
    nowMs: () => real.nowMs() * times + skippedMs,
    random: real.random,
    sleep: (ms, signal) => real.sleep(ms / times, signal),
    skip: (ms) => skippedMs += ms,
  };
}
