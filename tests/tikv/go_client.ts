/**
 * The official Go client (`tests/tikv/go`) as a child process: a second opinion on every key.
 *
 * In: PD addresses. Out: its operations as methods; keys and values are bytes, timestamps `bigint`.
 * G1. A child that ends, by whatever cause, fails every open request with the end of its log.
 * G2. `leave()` ends the child as SIGKILL would; `kill()` is SIGKILL.
 * Source of the protocol: `type request` in go/main.go.
 */
import { SalarError } from "../../lib/errors.ts";
import { tail } from "../parts/command.ts";
import { ensureGoClient } from "../parts/tikv_build.ts";

const CLOSE_MS_MAX = 10_000;
const LOG_CHARS_MAX = 64 * 1024;

/** How a transaction commits, as far as its size and regions allow; else in two phases. */
export type GoCommit = "2pc" | "async" | "1pc";

export type GoPair = readonly [key: Uint8Array, value: Uint8Array];

export interface GoTimestamps {
  startTs: bigint;
  /** 0n where the transaction did not commit by itself. */
  commitTs: bigint;
}

/** How far a transaction came whose client died; described at `leave` in go/leave.go. */
export type LeftKind =
  | "prewritten"
  | "primary-committed"
  | "secondaries-only"
  | "primary-rolled-back"
  | "pessimistic"
  | "async-commit"
  | "async-commit-partial";

export interface GoTransfer extends GoTimestamps {
  /** `<worker>/<number>`, also the end of the key that records it. */
  name: string;
  from: number;
  to: number;
  amount: number;
  /** What the transaction read. */
  fromBalance: number;
  toBalance: number;
  /** The answer to its commit was lost: its record says whether it happened. */
  undetermined: boolean;
}

export interface BankOptions {
  /** `<prefix>a/0007` is an account, `<prefix>t/<worker>/12` the record of a transfer; see go/bank.go. */
  prefix: Uint8Array;
  worker: string;
  accounts: number;
  commit?: GoCommit;
  /** Of our client alone: transfers at once, and whether they lock what they read. */
  callers?: number;
  pessimistic?: boolean;
  onTransfer(transfer: GoTransfer): void;
}

export interface BankTotals {
  transfers: number;
  conflicts: number;
  failures: number;
}

export interface BenchOptions {
  /** `load` writes the keys that the others need; see go/bench.go. */
  bench: "load" | "get" | "batch-get" | "scan" | "put1" | "put16";
  prefix: Uint8Array;
  keyCount: number;
  valueBytes: number;
  callers: number;
  seconds: number;
  commit?: GoCommit;
}

export interface BenchResult {
  bench: string;
  callers: number;
  seconds: number;
  ops: number;
  opsPerS: number;
  p50Ms: number;
  p95Ms: number;
  p99Ms: number;
  /** Of the child, for its user and for the system. */
  cpuSeconds: number;
}

/** What the Go client reports: `conflict` and `exists` did not commit, `undetermined` may have. */
export class GoClientError extends Error {
  override readonly name = "GoClientError";
  readonly code: "conflict" | "exists" | "undetermined" | "other";

  constructor(code: GoClientError["code"], message: string) {
    super(message);
    this.code = code;
  }
}

export interface GoClient {
  readonly pid: number;
  put(
    pairs: readonly GoPair[],
    options?: { commit?: GoCommit; pessimistic?: boolean },
  ): Promise<GoTimestamps>;
  delete(keys: readonly Uint8Array[], options?: { commit?: GoCommit }): Promise<GoTimestamps>;
  /** One value a key, null where it is absent; of one snapshot, now or at `at`. */
  get(keys: readonly Uint8Array[], options?: { at?: bigint }): Promise<(Uint8Array | null)[]>;
  /** At most `limit` pairs of [from, to), descending where `reverse`. */
  scan(
    range: { from: Uint8Array; to: Uint8Array; limit: number; reverse?: boolean; at?: bigint },
  ): Promise<GoPair[]>;
  /** Makes regions begin at these keys; resolves with the ids of the new regions. */
  split(keys: readonly Uint8Array[]): Promise<number[]>;
  /** Leaves locks with a time to live and dies. */
  leave(
    kind: LeftKind,
    pairs: readonly GoPair[],
    ttlMs: number,
  ): Promise<GoTimestamps & { primary: Uint8Array }>;
  /** Transfers until `close()`; rejects when the child is killed. */
  bank(options: BankOptions): Promise<BankTotals>;
  bench(options: BenchOptions): Promise<BenchResult>;
  /** Ends a bank, waits for what is open, ends the child. */
  close(): Promise<void>;
  kill(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** @param pd `http://host:port` or `host:port`. */
export async function startGoClient(pd: readonly string[]): Promise<GoClient> {
  const addresses = pd.map((url) => url.replace(/^http:\/\//, "")).join(",");
  return startClient({ name: "the Go client", command: await ensureGoClient(), args: [addresses] });
}

export interface ClientProgram {
  name: string;
  command: string;
  args: string[];
}

/** Any program that speaks this protocol. */
export function startClient({ name, command, args }: ClientProgram): GoClient {
  const child = new Deno.Command(command, {
    args,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const open = new Map<number, Open>();
  const input = child.stdin.getWriter();
  let log = "";
  let lastId = 0;
  let end: SalarError | null = null;

  const logged = eachChunk(child.stderr, (text) => log = (log + text).slice(-LOG_CHARS_MAX));
  const replied = eachLine(child.stdout, (line) => settle(open, JSON.parse(line)));
  const ended = Promise.all([replied, logged, child.status]).then(([, , status]) => {
    const how = status.signal ?? `code ${status.code}`;
    end = new SalarError("unavailable", `Cannot ask ${name}: it ended by ${how}\n${tail(log)}`);
    for (const { reject } of open.values()) reject(end);
    open.clear();
    return status;
  });

  async function ask<T>(op: string, fields: object, onTransfer: Open["onTransfer"] = null): Promise<T> {
    if (end) throw end;
    const id = ++lastId;
    const reply = new Promise<unknown>((resolve, reject) => open.set(id, { resolve, reject, onTransfer }));
    const line = JSON.stringify({ id, op, ...fields }, toWire);
    // A broken pipe means that the child has ended: G1 then says more than the pipe's own error.
    await input.write(new TextEncoder().encode(`${line}\n`)).catch(() => ended);
    return await reply as T;
  }

  const kill = async () => {
    signal(child, "SIGKILL");
    await ended;
    await input.abort().catch(() => {}); // the reader is gone, which is what was wanted
  };
  const close = async () => {
    await input.close().catch(() => {}); // a child that has ended has closed it
    const timer = setTimeout(() => signal(child, "SIGKILL"), CLOSE_MS_MAX);
    const { success, code } = await ended;
    clearTimeout(timer);
    if (!success) {
      throw new SalarError("unavailable", `Cannot close ${name}: code ${code}\n${tail(log)}`);
    }
  };
  return {
    pid: child.pid,
    put: async (pairs, options = {}) =>
      timestampsOf(await ask("put", { pairs: pairs.map(pairToWire), ...options })),
    delete: async (keys, options = {}) => timestampsOf(await ask("delete", { keys, ...options })),
    async get(keys, { at = 0n } = {}) {
      const { values } = await ask<{ values: (string | null)[] }>("get", { keys, at });
      return values.map((value) => value === null ? null : Uint8Array.fromBase64(value));
    },
    async scan({ at = 0n, ...range }) {
      const { pairs } = await ask<{ pairs: WirePair[] }>("scan", { ...range, at });
      return pairs.map(({ key, value }) =>
        [Uint8Array.fromBase64(key), Uint8Array.fromBase64(value)] as const
      );
    },
    split: (keys) => ask("split", { keys }),
    async leave(kind, pairs, ttlMs) {
      const left = await ask<WireTimestamps & { primary: string }>("leave", {
        kind,
        pairs: pairs.map(pairToWire),
        ttlMs,
      });
      await ended;
      await input.abort().catch(() => {}); // as in kill()
      return { ...timestampsOf(left), primary: Uint8Array.fromBase64(left.primary) };
    },
    bank: ({ onTransfer, ...options }) => ask("bank", options, onTransfer),
    bench: (options) => ask("bench", options),
    close,
    kill,
    [Symbol.asyncDispose]: kill, // no test may hang on what a failed test left open
  };
}

interface Open {
  resolve(result: unknown): void;
  reject(error: Error): void;
  onTransfer: ((transfer: GoTransfer) => void) | null;
}

interface WirePair {
  key: string;
  value: string;
}

interface WireTimestamps {
  startTs: string;
  commitTs: string;
}

interface Reply {
  id: number;
  result?: unknown;
  error?: { code: GoClientError["code"]; message: string };
  transfer?: Omit<GoTransfer, "startTs" | "commitTs"> & WireTimestamps;
}

function settle(open: Map<number, Open>, { id, result, error, transfer }: Reply): void {
  const request = open.get(id);
  if (!request) throw new Error(`reply to request ${id}, which is not open`);
  if (transfer) return request.onTransfer?.({ ...transfer, ...timestampsOf(transfer) });
  open.delete(id);
  if (error) request.reject(new GoClientError(error.code, error.message));
  else request.resolve(result);
}

function timestampsOf({ startTs, commitTs }: WireTimestamps): GoTimestamps {
  return { startTs: BigInt(startTs), commitTs: BigInt(commitTs) };
}

function pairToWire([key, value]: GoPair): { key: Uint8Array; value: Uint8Array } {
  return { key, value };
}

/** Bytes go as base64, 64-bit numbers as decimal text. */
export function toWire(_name: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return value.toBase64();
  return typeof value === "bigint" ? `${value}` : value;
}

function signal(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // what Deno throws when it has ended already
  }
}

/** Calls `use` for each whole line. */
export async function eachLine(
  bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
  use: (line: string) => void,
): Promise<void> {
  let rest = "";
  await eachChunk(bytes, (text) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? ""; // the unfinished last line of a killed child is no reply
    lines.forEach(use);
  });
}

async function eachChunk(
  bytes: ReadableStream<Uint8Array<ArrayBuffer>>,
  use: (text: string) => void,
): Promise<void> {
  for await (const text of bytes.pipeThrough(new TextDecoderStream())) use(text);
}
