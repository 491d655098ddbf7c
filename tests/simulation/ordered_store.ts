/**
 * The Store contract over a plain ordered map: what the simulation stores in, fast and easy to look into.
 *
 * In: `OrderedData` (what is stored, shared by all) and a `Link` (how one process reaches it). Out: a `Store`.
 * D1. Every version of a key is kept while a transaction that began before its end may read it.
 * D2. A commit is one synchronous step; `onCommit` sees it whole, in the order of commits.
 * Passes `lib/store/store_suite.ts`; attempts, buffers, keys and tokens are those that all adapters share.
 */
import { assert, isSalarError, SalarError } from "../../lib/errors.ts";
import { STORE_CLOSE_WAIT_MS_MAX, STORE_TOKEN_KEEP_MS, STORE_TOKEN_SWEEP_MAX } from "../../lib/limits.ts";
import type { Scope } from "../../lib/seams.ts";
import { type Attempt, untilCommitted } from "../../lib/store/attempts.ts";
import { WriteBuffer } from "../../lib/store/buffer.ts";
import { checkKey, checkScan, compareKeys } from "../../lib/store/keys.ts";
import type { Entry, Range, Read, ScanOptions, Store, Write } from "../../lib/store/store.ts";
import { type Sabotage, spoiled } from "./sabotage.ts";
import { checkToken, decodeResult, encodeResult } from "../../lib/store/tokens.ts";

export interface Written {
  key: string;
  before: Uint8Array | null;
  after: Uint8Array | null;
}

/** So many deleted keys are swept together. */
const SWEEP_AT = 64;

/** How one process reaches the data. Both may wait, fail or never answer. */
export interface Link {
  /** Before a transaction begins, and for a check. */
  reach(scope: Scope): Promise<void>;
  /** Carries a commit there and its outcome back. @throws `outcome-unknown` when the way back is lost */
  commit(scope: Scope, apply: () => Outcome): Promise<Outcome>;
}

export type Outcome =
  | { kind: "committed" }
  | { kind: "repeated"; result: string | null }
  | { kind: "conflict"; lost: string };

interface Version {
  revision: number;
  value: Uint8Array | null;
}

interface Running {
  snapshot: number;
}

interface Token {
  atMs: number;
  result: string | null;
}

/** What is stored. */
export class OrderedData {
  readonly running = new Set<Running>();
  readonly tokens = new Map<string, Token>();
  onCommit: (written: Written[]) => void = () => {};
  /** Told `conflict` and `repeated`: commits that came to nothing. */
  onRefused: (outcome: Outcome["kind"]) => void = () => {};
  readonly #sabotage: Sabotage | null;
  #revision = 0;
  /** In order: all keys with a value, and those deleted ones that somebody may still see or nobody has swept yet. */
  #keys: string[] = [];
  /** Those of `#keys`. What is deleted and swept from it keeps its last version, for a late commit to conflict with. */
  readonly #listed = new Set<string>();
  readonly #deleted = new Set<string>();
  readonly #versions = new Map<string, Version[]>();
  readonly #locked = new Map<string, number>();

  constructor(sabotage: Sabotage | null = null) {
    this.#sabotage = sabotage;
  }

  begin(): Running {
    const running = { snapshot: this.#revision };
    this.running.add(running);
    return running;
  }

  get(key: string, snapshot = this.#revision): Uint8Array | null {
    const versions = this.#versions.get(key);
    if (versions === undefined) return null;
    for (let at = versions.length - 1; at >= 0; at--) {
      const version = versions[at] as Version;
      if (version.revision <= snapshot) return version.value;
    }
    return null;
  }

  scan({ from, to }: Range, snapshot: number, { limit, reverse = false }: ScanOptions): Entry[] {
    const found: Entry[] = [];
    const [first, end] = [this.#indexOf(from), this.#indexOf(to)];
    const step = reverse ? -1 : 1;
    for (let at = reverse ? end - 1 : first; at >= first && at < end && found.length < limit; at += step) {
      const key = this.#keys[at] as string;
      const value = this.get(key, snapshot);
      if (value !== null) found.push({ key, value: value.slice() });
    }
    return found;
  }

  commit(
    { snapshot, buffer }: { snapshot: number; buffer: WriteBuffer },
    token: (Token & { name: string }) | null,
  ): Outcome {
    const known = token === null ? undefined : this.tokens.get(token.name);
    if (known !== undefined) {
      this.onRefused("repeated");
      return { kind: "repeated", result: known.result };
    }
    const lost = this.#conflictOf(snapshot, buffer);
    if (lost !== null) {
      this.onRefused("conflict");
      return { kind: "conflict", lost };
    }

    const revision = ++this.#revision;
    const oldest = this.#oldestSnapshot();
    const written: Written[] = [];
    const fresh: string[] = [];
    for (const [key, wanted] of buffer.writes) {
      const before = this.get(key);
      const after = spoiled(this.#sabotage, { key, before, after: wanted, revision });
      if (after === undefined) continue;
      written.push({ key, before, after });
      if (after !== null && !this.#listed.has(key)) fresh.push(key);
      this.#put(key, { revision, value: after }, oldest);
    }
    if (fresh.length > 0) this.#list(fresh);
    if (this.#deleted.size > SWEEP_AT) this.#sweep(oldest);
    for (const key of buffer.locks) this.#locked.set(key, revision);
    if (token !== null) this.tokens.set(token.name, token);
    this.onCommit(written);
    return { kind: "committed" };
  }

  /** As in `lib/store/group_commit.ts`. */
  #conflictOf(snapshot: number, { writes, locks }: WriteBuffer): string | null {
    if (snapshot === this.#revision) return null;
    const changedSince = (key: string) =>
      (this.#versions.get(key)?.at(-1)?.revision ?? 0) > snapshot && this.#sabotage !== "lost-update";
    const isLockedSince = (key: string) =>
      (this.#locked.get(key) ?? 0) > snapshot && this.#sabotage !== "forgotten-lock";
    for (const key of writes.keys()) {
      if (changedSince(key)) return `a change of key ${key}`;
      if (isLockedSince(key)) return `a lock of key ${key}`;
    }
    if (this.#sabotage === "forgotten-lock") return null;
    for (const key of locks) if (changedSince(key)) return `a change of key ${key}`;
    return null;
  }

  #put(key: string, version: Version, oldest: number): void {
    if (version.value === null) this.#deleted.add(key);
    else this.#deleted.delete(key);
    const versions = this.#versions.get(key);
    if (versions === undefined) return void this.#versions.set(key, [version]);
    let gone = 0; // D1: all but the last one that the oldest reader sees
    while (gone + 1 < versions.length && (versions[gone + 1] as Version).revision <= oldest) gone++;
    if (gone > 0) versions.splice(0, gone);
    versions.push(version);
  }

  /** All new keys of a commit at once, from the last: one by one, each would move all that come after it. */
  #list(fresh: string[]): void {
    fresh.sort(compareKeys);
    const keys = this.#keys;
    let end = keys.length;
    for (const key of fresh) {
      keys.push(key);
      this.#listed.add(key);
    }
    for (let left = fresh.length; left > 0; left--) {
      const key = fresh[left - 1] as string;
      const at = this.#indexOf(key, end);
      for (let from = end - 1; from >= at; from--) keys[from + left] = keys[from] as string;
      keys[at + left - 1] = key;
      end = at;
    }
  }

  /** D1. Scans need not walk over what is deleted for everybody. */
  #sweep(oldest: number): void {
    for (const key of this.#deleted) {
      if ((this.#versions.get(key)?.at(-1)?.revision ?? 0) > oldest) continue;
      this.#deleted.delete(key);
      this.#listed.delete(key);
    }
    this.#keys = this.#keys.filter((key) => this.#listed.has(key));
  }

  #oldestSnapshot(): number {
    let oldest = this.#revision;
    for (const { snapshot } of this.running) if (snapshot < oldest) oldest = snapshot;
    return oldest;
  }

  #indexOf(key: string, end = this.#keys.length): number {
    let [low, high] = [0, end];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareKeys(this.#keys[middle] as string, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** A process's store. What it leaves running when it dies is ended by `abandon`. */
export interface OrderedStore extends Store {
  abandon(): void;
}

export function openOrderedStore(data: OrderedData, link: Link): OrderedStore {
  const mine = new Set<Running>();
  const calls = new Map<Promise<unknown>, Scope>();
  let closing: Promise<void> | null = null;

  function call<T>(scope: Scope, work: () => Promise<T>): Promise<T> {
    if (closing !== null) {
      return Promise.reject(new SalarError("closed", "Cannot use store: it is closed"));
    }
    const going = work();
    calls.set(going, scope);
    return going.finally(() => calls.delete(going));
  }

  async function transact<T>(scope: Scope, work: (tx: Transaction) => Promise<T>): Promise<T> {
    checkLive(scope);
    await link.reach(scope);
    checkLive(scope);
    const running = data.begin();
    mine.add(running);
    const tx: Transaction = { scope, snapshot: running.snapshot, buffer: new WriteBuffer(), open: true };
    try {
      return await work(tx);
    } finally {
      tx.open = false;
      end(running);
    }
  }
  function end(running: Running): void {
    data.running.delete(running);
    mine.delete(running);
  }

  async function attempt<T>(
    tx: Transaction,
    fn: (tx: Write) => Promise<T>,
    token: string | undefined,
  ): Promise<Attempt<T>> {
    const known = token === undefined ? undefined : data.tokens.get(token);
    if (known !== undefined) {
      data.onRefused("repeated");
      return { ok: true, result: decodeResult<T>(known.result) };
    }
    const result = await fn(writer(data, tx));
    tx.open = false;
    const { scope, buffer } = tx;
    if (buffer.isEmpty() && token === undefined) return { ok: true, result };
    const saved = token === undefined
      ? null
      : { name: token, atMs: scope.nowMs(), result: encodeResult(result) };
    checkLive(scope);
    const outcome = await link.commit(scope, () => data.commit(tx, saved)).catch((error) => {
      if (token === undefined || !isSalarError(error, "outcome-unknown")) throw error;
      return { kind: "conflict" as const, lost: "its answer" }; // the next attempt finds the token, or commits
    });
    if (outcome.kind === "conflict") return { ok: false, lost: outcome.lost };
    if (outcome.kind === "repeated") return { ok: true, result: decodeResult<T>(outcome.result) };
    return { ok: true, result: saved === null ? result : decodeResult<T>(saved.result) };
  }

  async function close(): Promise<void> {
    const waits = [...calls].map(([going, scope]) =>
      scope.timeout(STORE_CLOSE_WAIT_MS_MAX, async () => void await going)
    );
    await Promise.allSettled(waits);
  }

  return {
    read: (scope, fn) => call(scope, () => transact(scope, (tx) => fn(reader(data, tx)))),
    write: (scope, fn, { token } = {}) =>
      call(scope, async () => {
        if (token !== undefined) checkToken(token);
        return await untilCommitted(scope, () => transact(scope, (tx) => attempt(tx, fn, token)));
      }),
    sweepTokens: (scope) =>
      call(scope, async () => {
        await link.reach(scope);
        const beforeMs = scope.nowMs() - STORE_TOKEN_KEEP_MS;
        const old = [...data.tokens].filter(([, { atMs }]) => atMs < beforeMs).slice(
          0,
          STORE_TOKEN_SWEEP_MAX,
        );
        for (const [name] of old) data.tokens.delete(name);
        return old.length;
      }),
    check: (scope) => call(scope, () => link.reach(scope)),
    close: () => closing ??= close(),
    abandon() {
      for (const running of mine) end(running);
    },
  };
}

interface Transaction {
  scope: Scope;
  snapshot: number;
  buffer: WriteBuffer;
  open: boolean;
}

function reader(data: OrderedData, tx: Transaction): Read {
  const find = (key: string) => {
    const own = tx.buffer.get(key);
    return own === undefined ? data.get(key, tx.snapshot)?.slice() ?? null : own;
  };
  const check = () => {
    assert(tx.open, "a transaction is not used after its function has returned");
    checkLive(tx.scope);
  };
  return {
    async get(key) {
      checkKey(key);
      check();
      return await find(key);
    },
    async getMany(keys) {
      keys.forEach(checkKey);
      check();
      return await keys.map(find);
    },
    async scan(range, options) {
      const rest = checkScan(range, options);
      check();
      const limit = options.limit + tx.buffer.countIn(rest);
      return await tx.buffer.overlay(data.scan(rest, tx.snapshot, { ...options, limit }), rest, options);
    },
  };
}

function writer(data: OrderedData, tx: Transaction): Write {
  const buffer = () => {
    assert(tx.open, "a transaction is not used after its function has returned");
    return tx.buffer;
  };
  return {
    ...reader(data, tx),
    put: (key, value) => buffer().put(key, value),
    delete: (key) => buffer().delete(key),
    lock: (key) => buffer().lock(key),
  };
}

function checkLive({ signal }: Scope): void {
  if (signal.aborted) {
    throw new SalarError("cancelled", "Cannot go on with transaction: its caller stopped waiting");
  }
}
