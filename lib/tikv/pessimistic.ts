/**
 * Locks taken before the commit: whoever holds one decides from a value that nobody else can change meanwhile.
 *
 * I1. The first key locked is the transaction's primary, and a heartbeat keeps it alive from then on.
 * I2. A lock is taken on the latest version. Where that is newer than the last look, a new timestamp is fetched.
 * I3. What was asked for is let go at the end even where the answer was lost.
 * I4. At the commit every key that is written is locked as well, at the snapshot: a version newer than that is a
 *     conflict, as it is without pessimistic locks.
 * Source: client-go txnkv/transaction/pessimistic.go.
 */
import type { Core } from "./client_core.ts";
import { keyErrorOf, locksOf } from "./transaction_error.ts";
import { type Batch, eachBatch, type Grouping } from "./grouping.ts";
import { keyText } from "./keys.ts";
import {
  BUDGET_MS,
  HEARTBEAT_EVERY_MS,
  HEARTBEAT_TTL_MS,
  LOCK_TRIES_AT_ONCE_MAX,
  PESSIMISTIC_WAIT_MS,
  POINT_CALL_MS,
} from "./limits.ts";
import { type KeyError, Op } from "./messages_kv.ts";
import { Kv } from "./methods.ts";
import type { Operation } from "./operation.ts";

/** Key, as text → its value when it was locked, null for none. */
export type Values = Map<string, Uint8Array | null>;

export interface PessimisticOptions {
  startTs: bigint;
  /** On the runtime's clock. */
  startedAtMs: number;
}

export class PessimisticLocks {
  readonly #core: Core;
  readonly #transaction: PessimisticOptions;
  readonly #asked = new Map<string, Uint8Array>();
  #primary: Uint8Array | null = null;
  #forUpdateTs = 0n;
  #stopHeartbeat = () => {};

  constructor(core: Core, transaction: PessimisticOptions) {
    this.#core = core;
    this.#transaction = transaction;
  }

  /** Null before the first lock. */
  get primary(): Uint8Array | null {
    return this.#primary;
  }

  /** Of the latest lock. */
  get forUpdateTs(): bigint {
    return this.#forUpdateTs;
  }

  /**
   * Waits until all keys are locked. Throws `deadlock` and `timeout`.
   * @param keys Ascending.
   */
  async lock(keys: readonly Uint8Array[], signal: AbortSignal | undefined): Promise<Values> {
    const op = this.#core.operation("lock", BUDGET_MS.prewrite, signal);
    return await this.#lock(
      keys,
      { forUpdateTs: await this.#core.placement.timestamp(op), latest: true },
      op,
    );
  }

  /** I4. Throws `conflict` as well. */
  async lockAtSnapshot(keys: readonly Uint8Array[], signal: AbortSignal | undefined): Promise<Values> {
    const op = this.#core.operation("lock", BUDGET_MS.prewrite, signal);
    return await this.#lock(keys, { forUpdateTs: this.#transaction.startTs, latest: false }, op);
  }

  /** The commit took the locks over, or takes them back. */
  handOver(): void {
    this.#stopHeartbeat();
    this.#asked.clear();
  }

  /** Lets everything go, in the background. */
  release(): void {
    const keys = [...this.#asked.keys()].sort().map((text) => this.#asked.get(text) as Uint8Array);
    this.handOver();
    if (keys.length === 0) return;
    const { regions, background } = this.#core;
    const { startTs } = this.#transaction;
    const forUpdateTs = this.#forUpdateTs;
    background.start("release of pessimistic locks", BUDGET_MS.rollback, async (op) => {
      await eachBatch(keys, this.#grouping(op), async ({ region, items }, op) => {
        const request = { startVersion: startTs, forUpdateTs, keys: items };
        const reply = await regions.send(region, Kv.pessimisticRollback, request, {
          op,
          timeoutMs: POINT_CALL_MS,
        });
        const error = reply?.errors[0];
        if (error !== undefined) throw keyErrorOf(error, op.name);
        return reply !== null;
      });
    });
  }

  async #lock(keys: readonly Uint8Array[], attempt: Attempt, op: Operation): Promise<Values> {
    const values: Values = new Map();
    attempt.primary = this.#primary;
    const send = (batch: Batch<Uint8Array>, op: Operation) => this.#lockBatch(batch, attempt, values, op);
    let rest = keys;
    if (this.#primary === null && keys[0] !== undefined) { // I1: alone, for the others will point at it
      const primary = keys[0];
      attempt.primary = primary;
      attempt.first = keys.length === 1;
      await eachBatch([primary], this.#grouping(op), send);
      attempt.first = false;
      this.#primary = primary;
      const { startTs, startedAtMs } = this.#transaction;
      const beating = { primary, startTs, startedAtMs, firstAfterMs: HEARTBEAT_EVERY_MS };
      this.#stopHeartbeat = this.#core.heartbeats.start(beating);
      rest = keys.slice(1);
    }
    await eachBatch(rest, this.#grouping(op), send);
    return values;
  }

  async #lockBatch(
    { region, items }: Batch<Uint8Array>,
    attempt: Attempt,
    values: Values,
    op: Operation,
  ): Promise<boolean> {
    const { regions, runtime } = this.#core;
    const { startTs, startedAtMs } = this.#transaction;
    for (const key of items) this.#asked.set(keyText(key), key); // I3
    for (let tries = 0;; tries++) {
      const forUpdateTs = attempt.forUpdateTs;
      if (forUpdateTs > this.#forUpdateTs) this.#forUpdateTs = forUpdateTs;
      const request = {
        mutations: items.map((key) => ({ op: Op.pessimisticLock, key })),
        primaryLock: attempt.primary ?? undefined,
        startVersion: startTs,
        lockTtl: BigInt(Math.ceil(runtime.nowMs() - startedAtMs) + HEARTBEAT_TTL_MS),
        forUpdateTs,
        isFirstLock: attempt.first ?? false,
        waitTimeout: BigInt(PESSIMISTIC_WAIT_MS),
        returnValues: true,
        minCommitTs: forUpdateTs + 1n,
      };
      const options = { op, timeoutMs: POINT_CALL_MS, again: tries > 0 };
      const reply = await regions.send(region, Kv.pessimisticLock, request, options);
      if (reply === null) return false;
      if (reply.errors.length === 0) {
        items.forEach((key, at) => values.set(keyText(key), valueAt(reply, at)));
        return true;
      }
      await this.#settle(reply.errors, attempt, { sentAt: forUpdateTs, tries }, op);
    }
  }

  async #settle(
    errors: readonly KeyError[],
    attempt: Attempt,
    { sentAt, tries }: { sentAt: bigint; tries: number },
    op: Operation,
  ): Promise<void> {
    const { locks, placement } = this.#core;
    const met = errors.flatMap((error) => error.locked === null ? [] : locksOf(error.locked));
    const other = errors.find((error) => error.locked === null);
    if (other !== undefined && (other.conflict === null || !attempt.latest)) throw keyErrorOf(other, op.name);
    if (met.length > 0) {
      const waitMs = await locks.forWrite(met, op);
      if (waitMs !== null || tries >= LOCK_TRIES_AT_ONCE_MAX) {
        // The store has let us wait already, so ask again soon.
        await locks.wait("lockOfRead", met, waitMs ?? Infinity, op, { lostMs: PESSIMISTIC_WAIT_MS });
      }
    }
    if (other !== undefined && attempt.forUpdateTs === sentAt) { // I2
      attempt.conflicts = (attempt.conflicts ?? 0) + 1;
      if (attempt.conflicts > 1) await op.wait("conflict", "writers that keep changing the key");
      attempt.forUpdateTs = await placement.timestamp(op);
    }
  }

  #grouping(op: Operation): Grouping<Uint8Array> {
    const keyOf = (key: Uint8Array) => key;
    return { regions: this.#core.regions, op, keyOf, bytesOf: (key) => key.length };
  }
}

/** Old stores do not say which keys are absent, and give them an empty value. */
function valueAt(
  { values, notFounds }: { values: Uint8Array[]; notFounds: boolean[] },
  at: number,
): Uint8Array | null {
  const value = values[at] ?? null;
  const absent = notFounds[at] ?? value?.length === 0;
  return absent ? null : value;
}

interface Attempt {
  forUpdateTs: bigint;
  primary?: Uint8Array | null;
  conflicts?: number;
  /** Whether a newer version than `forUpdateTs` is looked at again, instead of being a conflict. */
  latest: boolean;
  /** Whether this is the only lock of its transaction: it can wait for others and none for it. */
  first?: boolean;
}
