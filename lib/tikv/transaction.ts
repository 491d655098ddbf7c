/**
 * A transaction: reads of one snapshot, changes kept in memory, and a commit that is all or nothing.
 *
 * T1. It reads the snapshot of its beginning, with its own changes laid over it.
 * T2. The commit fails with `conflict` when another transaction, committed since the snapshot, changed or locked a key
 *     that this one changed, or changed a key that this one locked. What it merely read is not protected: `lock` it
 *     when the decision depends on it.
 * T3. A transaction that changed and locked nothing commits without asking anybody.
 * T4. After commit or rollback it takes nothing more.
 */
import type { Core } from "./client_core.ts";
import { commit } from "./commit.ts";
import { planCommit } from "./commit_plan.ts";
import { isUndetermined } from "./commit_rest.ts";
import { TikvError } from "./errors.ts";
import { inParallel, sortedKeys } from "./grouping.ts";
import { hex, keyText } from "./keys.ts";
import { checkedValue, type KeyRange } from "./keyspace.ts";
import { BATCHES_AT_ONCE_MAX, BUDGET_MS, LOCK_TTL_MS } from "./limits.ts";
import { LockInfo, Op } from "./messages_kv.ts";
import { PessimisticLocks } from "./pessimistic.ts";
import { type ScanOptions, Snapshot } from "./snapshot.ts";
import { type Change, WriteBuffer } from "./write_buffer.ts";
import type { Entry } from "./write_buffer_merge.ts";

export interface TransactionOptions {
  signal?: AbortSignal | undefined;
  /**
   * Whether `lock` waits for its lock at once, and keeps others from changing the key until the end. That helps
   * where many change the same keys; elsewhere it costs a round trip for each. @default false
   */
  pessimistic?: boolean | undefined;
}

/** What became of a transaction. */
export type Outcome = { committed: true; commitTs: bigint | null } | { committed: false };

type State = "open" | "committing" | "committed" | "rolled-back" | "undetermined";

/**
 * @example
 * ```ts
 * await using tx = client.begin();
 * const seen = await tx.get(bytes("counter"));
 * tx.put(bytes("counter"), bytes(String(Number(text(seen ?? bytes("0"))) + 1)));
 * await tx.commit(); // without it, nothing happens
 * ```
 */
export class Transaction {
  /** Of the snapshot. */
  readonly startTs: Promise<bigint>;
  readonly #core: Core;
  readonly #snapshot: Snapshot;
  readonly #buffer = new WriteBuffer();
  readonly #signal: AbortSignal | undefined;
  readonly #pessimistic: boolean;
  readonly #startedAtMs: number;
  #held: PessimisticLocks | null = null;
  #primary: Uint8Array | null = null;
  #state: State = "open";
  #commitTs: bigint | null = null;

  constructor(core: Core, { signal, pessimistic = false }: TransactionOptions = {}) {
    this.#core = core;
    this.#signal = signal;
    this.#pessimistic = pessimistic;
    this.#startedAtMs = core.runtime.nowMs();
    // Asked for now and awaited when needed: the way to the placement driver overlaps the caller's own work.
    this.startTs = core.placement.timestamp(core.operation("begin", BUDGET_MS.timestamp, signal));
    this.#snapshot = new Snapshot(core, this.startTs);
  }

  /** Null until committed, and for a transaction that changed nothing. */
  get commitTs(): bigint | null {
    return this.#commitTs;
  }

  /** Null when there is no such key. The value may be a view into a larger buffer. */
  async get(key: Uint8Array): Promise<Uint8Array | null> {
    this.#requireOpen("get");
    const own = this.#buffer.read(this.#core.keyspace.wireKey(key));
    if (own !== undefined) return own;
    return await this.#snapshot.get(key, { signal: this.#signal });
  }

  /** In the order of `keys`; null where there is no such key. */
  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | null)[]> {
    this.#requireOpen("get");
    const own = keys.map((key) => this.#buffer.read(this.#core.keyspace.wireKey(key)));
    const others = keys.filter((_, at) => own[at] === undefined);
    const read = await this.#snapshot.getMany(others, { signal: this.#signal });
    let next = 0;
    return own.map((value) => value === undefined ? read[next++] ?? null : value);
  }

  /**
   * Entries of a range by ascending key, with this transaction's changes as they are when the first entry is asked
   * for: changes made while iterating do not show.
   */
  scan(range: KeyRange = {}, options: ScanOptions = {}): AsyncGenerator<Entry, void> {
    this.#requireOpen("scan");
    const wireRange = this.#core.keyspace.wireRange(range);
    return this.#snapshot.scanOver(
      wireRange,
      { ...options, signal: options.signal ?? this.#signal },
      (range, reverse) => this.#buffer.range(range, reverse),
    );
  }

  /** Throws `invalid` for an empty key or value, and `too-large`. The value must not change until the commit. */
  put(key: Uint8Array, value: Uint8Array): void {
    this.#requireOpen("put");
    this.#buffer.put(this.#ownKey(key), checkedValue(value));
  }

  /** As `put`, but the commit fails with `already-exists` when the key is there by then. */
  insert(key: Uint8Array, value: Uint8Array): void {
    this.#requireOpen("insert");
    this.#buffer.insert(this.#ownKey(key), checkedValue(value));
  }

  delete(key: Uint8Array): void {
    this.#requireOpen("delete");
    this.#buffer.delete(this.#ownKey(key));
  }

  /**
   * Protects keys that are read and not changed: the commit fails when another changes them meanwhile, or locks them.
   * A pessimistic transaction holds them when this returns, and reads their latest values from then on.
   */
  async lock(...keys: Uint8Array[]): Promise<void> {
    this.#requireOpen("lock");
    if (this.#pessimistic) await this.lockNow(...keys);
    else for (const key of keys) this.#buffer.lock(this.#ownKey(key));
  }

  /**
   * Waits until this transaction alone may change the keys, and gives their latest values, which may be newer than
   * the snapshot; later reads of these keys give the same. Throws `deadlock`, and `timeout` where the wait is long.
   *
   * @example
   * ```ts
   * await client.transaction(async (tx) => {
   *   const [seen = null] = await tx.lockNow(bytes("turns"));
   *   tx.put(bytes("turns"), bytes(String(Number(text(seen ?? bytes("0"))) + 1)));
   * });
   * ```
   */
  async lockNow(...keys: Uint8Array[]): Promise<(Uint8Array | null)[]> {
    this.#requireOpen("lock");
    const wireKeys = keys.map((key) => this.#ownKey(key));
    const startTs = await this.startTs;
    this.#held ??= new PessimisticLocks(this.#core, { startTs, startedAtMs: this.#startedAtMs });
    const missing = sortedKeys(wireKeys.filter((key) => !this.#buffer.holds(key)));
    const values = missing.length === 0 ? new Map() : await this.#held.lock(missing, this.#signal);
    for (const key of missing) this.#buffer.hold(key, values.get(keyText(key)) ?? null);
    return wireKeys.map((key) => this.#buffer.read(key) ?? null);
  }

  /**
   * All or nothing. Returns the commit timestamp, null where nothing was to be done. Throws `conflict`,
   * `already-exists`, `too-old` and others, after which nothing has happened; only `undetermined` leaves that open,
   * and `outcome` settles it.
   */
  async commit(): Promise<bigint | null> {
    this.#requireOpen("commit");
    this.#state = "committing";
    try {
      this.#commitTs = await this.#commit();
      this.#state = "committed";
      return this.#commitTs;
    } catch (error) {
      this.#state = isUndetermined(error) ? "undetermined" : "rolled-back";
      if (this.#state === "rolled-back") this.#held?.release();
      throw error;
    } finally {
      this.#held?.handOver();
    }
  }

  /** Forgets all changes and lets all locks go. After a commit, whatever its result, it does nothing. */
  rollback(): Promise<void> {
    if (this.#state === "open") {
      this.#state = "rolled-back";
      this.#held?.release();
    }
    return Promise.resolve();
  }

  /**
   * Whether the transaction is committed; after `undetermined` it asks its primary, and ends the transaction if its
   * time to live passes meanwhile. Waits a few seconds at most while everything answers.
   */
  async outcome({ signal }: { signal?: AbortSignal | undefined } = {}): Promise<Outcome> {
    if (this.#state === "committed") return { committed: true, commitTs: this.#commitTs };
    if (this.#state === "rolled-back") return { committed: false };
    if (this.#state !== "undetermined" || this.#primary === null) {
      throw new TikvError("invalid", `outcome: the transaction is ${this.#state}, commit it first`);
    }
    const op = this.#core.operation("outcome", BUDGET_MS.resolve, signal);
    const lock = await this.#primaryLock(this.#primary);
    while (true) {
      const status = await this.#core.locks.status(lock, op);
      if (status.kind === "settled") {
        this.#commitTs = status.commitTs === 0n ? null : status.commitTs;
        this.#state = status.commitTs === 0n ? "rolled-back" : "committed";
        return status.commitTs === 0n ? { committed: false } : { committed: true, commitTs: status.commitTs };
      }
      const atMostMs = status.kind === "alive" ? Math.max(1, status.remainingMs) : Infinity;
      await op.wait("lockOfRead", "the transaction's own lock", { atMostMs });
    }
  }

  /** Rolls back what was neither committed nor rolled back. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.rollback();
  }

  /** @internal Whether `commit` or `rollback` was called. */
  get ended(): boolean {
    return this.#state !== "open";
  }

  async #commit(): Promise<bigint | null> {
    if (this.#buffer.size === 0) return null; // T3
    const startTs = await this.startTs;
    const held = await this.#holdRest();
    const changes = this.#buffer.changes();
    const plan = planCommit(changes, { startTs, startedAtMs: this.#startedAtMs, held });
    if (plan === null) return await this.#checkOnly(changes);
    this.#primary = plan.primary;
    return await commit(this.#core, plan, this.#signal);
  }

  /** A pessimistic transaction holds every key that it writes: see pessimistic.ts. */
  async #holdRest() {
    const held = this.#held;
    if (held === null || held.primary === null) return null;
    const missing = this.#buffer.changes().filter((change) => change.held === undefined);
    const values = await held.lockAtSnapshot(missing.map(({ key }) => key), this.#signal);
    for (const { key, op } of missing) {
      const value = values.get(keyText(key)) ?? null;
      if (value !== null && (op === Op.insert || op === Op.checkNotExists)) throw alreadyExists(key);
      this.#buffer.hold(key, value);
    }
    return { primary: held.primary, forUpdateTs: held.forUpdateTs };
  }

  /** Nothing is written, so the transaction is one that reads: its snapshot answers. */
  async #checkOnly(changes: readonly Change[]): Promise<null> {
    const { keyspace } = this.#core;
    await inParallel(changes, BATCHES_AT_ONCE_MAX, async ({ key }) => {
      const value = await this.#snapshot.get(keyspace.userKey(key), { signal: this.#signal });
      if (value !== null) throw alreadyExists(key);
    });
    return null;
  }

  /** The lock that the primary has if it has one, for those who ask what became of it. */
  async #primaryLock(primary: Uint8Array): Promise<LockInfo> {
    const lock = LockInfo.decode(new Uint8Array(0));
    const ageMs = this.#core.runtime.nowMs() - this.#startedAtMs;
    return {
      ...lock,
      primaryLock: primary,
      key: primary,
      lockVersion: await this.startTs,
      // A prewrite that is still under way may yet arrive: it is given the time that its lock would live.
      lockTtl: BigInt(Math.ceil(ageMs) + LOCK_TTL_MS),
    };
  }

  /** A key that stays in the buffer: a copy, for the caller may use its array again. */
  #ownKey(key: Uint8Array): Uint8Array {
    const wireKey = this.#core.keyspace.wireKey(key);
    return wireKey === key ? wireKey.slice() : wireKey;
  }

  /** T4. */
  #requireOpen(action: string): void {
    if (this.#state === "open") return;
    throw new TikvError("invalid", `${action}: the transaction is ${this.#state}; begin another`);
  }
}

function alreadyExists(key: Uint8Array): TikvError {
  return new TikvError("already-exists", `commit: key ${hex(key)} is there already`);
}
