/**
 * The first phase: puts every change into its place, under a lock that names the primary.
 *
 * P1. A batch that meets locks writes nothing; it is sent again when they are settled.
 * P2. The first failure ends the other batches.
 * P3. In an async or one-phase commit the last prewrite commits. If it fails and each failed batch may nevertheless
 *     have been executed, nobody knows: `undetermined`. One key that was surely not written means not committed.
 * P4. One-phase is given up when the keys turn out to lie in several regions; what the store gives up, we follow.
 */
import type { Core } from "./client_core.ts";
import { bytesOf, type Intent, keyOf, lockTtlMs, type Plan, secondariesOf } from "./commit_plan.ts";
import { rollBack } from "./commit_rest.ts";
import { TikvError } from "./errors.ts";
import { type Batch, inParallel, regroup } from "./grouping.ts";
import { hex, sameKey } from "./keys.ts";
import {
  BATCHES_AT_ONCE_MAX,
  BUDGET_MS,
  LOCK_TRIES_AT_ONCE_MAX,
  POINT_CALL_MS,
  SERVER_EXECUTION_MS,
} from "./limits.ts";
import { ConflictReason, type KeyError, type LockInfo, PessimisticAction } from "./messages_kv.ts";
import { Kv } from "./methods.ts";
import type { Operation } from "./operation.ts";
import type { Encodable } from "./protobuf.ts";
import type { Fate } from "./rpc.ts";
import { keyErrorOf, locksOf } from "./transaction_error.ts";
import { TS_MAX } from "./transaction_time.ts";

export type Mode = "one-phase" | "async" | "two-phase";

export interface Prewriting {
  plan: Plan;
  mode: Mode;
  /** Below this no commit timestamp may be. */
  minCommitTs: bigint;
  batches: readonly Batch<Intent>[];
  /** Called when the primary's lock is there. */
  onPrimary: () => void;
  signal: AbortSignal | undefined;
}

/** Committed at a timestamp, or null: a second phase has to follow. What a failure leaves is taken back. */
export async function prewrite(core: Core, prewriting: Prewriting): Promise<bigint | null> {
  const { batches, plan } = prewriting;
  const phase = new Prewrite(core, prewriting);
  let begun = 0;
  try {
    await inParallel(batches, BATCHES_AT_ONCE_MAX, (batch) => {
      begun++;
      return phase.send(batch, { uncertain: false }, batches.length === 1 ? phase.op : phase.op.fork());
    });
    return phase.commitTs();
  } catch (error) {
    if (begun < batches.length || !phase.mayBeCommitted()) {
      if (phase.mayHaveLocked()) rollBack(core, plan);
      throw phase.certainFailure(error) ?? new TikvError(
        "aborted",
        `prewrite of transaction ${plan.startTs}: given up before all of it was sent`,
        { cause: error },
      );
    }
    throw new TikvError(
      "undetermined",
      `prewrite of transaction ${plan.startTs}: it may have committed, its answer was lost; ask for the outcome`,
      { cause: error },
    );
  }
}

class Prewrite {
  readonly #core: Core;
  readonly #with: Prewriting;
  /** Whether each failed batch may have been executed nevertheless. */
  readonly #failed = new Map<unknown, boolean>();
  #mode: Mode;
  /** Whether prewrites alone may commit. */
  #commits: boolean;
  #commitTs = 0n;

  /** Null where there is but one batch, which nobody but the caller can end: most commits, without its price. */
  readonly #stop: AbortController | null;
  /** Ends with the first failure, or the caller's signal. */
  readonly op: Operation;

  constructor(core: Core, prewriting: Prewriting) {
    const { batches, signal } = prewriting;
    this.#stop = batches.length === 1 ? null : new AbortController();
    const signals = [this.#stop?.signal, signal].filter((each) => each !== undefined);
    const both = this.#stop === null ? signal : AbortSignal.any(signals);
    this.op = core.operation("prewrite", BUDGET_MS.prewrite, both);
    this.#core = core;
    this.#with = prewriting;
    this.#mode = prewriting.mode;
    this.#commits = prewriting.mode !== "two-phase";
  }

  /** P3. */
  mayBeCommitted(): boolean {
    return this.#commits && [...this.#failed.values()].every((uncertain) => uncertain);
  }

  /**
   * The first that says for sure that its batch was not written. One that was ended by the failure of another says
   * this for sure as well, and `first` says why.
   */
  certainFailure(first: unknown): unknown {
    for (const [error, uncertain] of this.#failed) {
      if (uncertain) continue;
      const followed = this.#stop?.signal.aborted && !this.#with.signal?.aborted && isCancelled(error);
      return followed ? first : error;
    }
    return null;
  }

  /** A one-phase commit that was refused left nothing, unless its locks were there before. */
  mayHaveLocked(): boolean {
    return this.#mode !== "one-phase" || this.#with.plan.held !== null;
  }

  commitTs(): bigint | null {
    return this.#mode === "two-phase" ? null : this.#commitTs;
  }

  async send(batch: Batch<Intent>, fate: Fate, op: Operation): Promise<void> {
    try {
      const rest = await this.#sendUntilAnswered(batch, fate, op);
      await inParallel(rest, BATCHES_AT_ONCE_MAX, (part) => this.send(part, { ...fate }, op.fork()));
    } catch (error) {
      if (!this.#failed.has(error)) this.#failed.set(error, fate.uncertain);
      this.#stop?.abort(); // P2
      throw error;
    }
  }

  /** Returns what has to be sent instead, when the region changed. */
  async #sendUntilAnswered(batch: Batch<Intent>, fate: Fate, op: Operation): Promise<Batch<Intent>[]> {
    const { regions } = this.#core;
    const { plan } = this.#with;
    const context = { maxExecutionDurationMs: BigInt(SERVER_EXECUTION_MS) };
    for (let tries = 0;; tries++) {
      const again = tries > 0 || batch.regrouped > 0;
      const options = { op, timeoutMs: POINT_CALL_MS, again, context, ...this.#commits && { fate } };
      const reply = await regions.send(batch.region, Kv.prewrite, this.#request(batch), options);
      if (reply === null) return this.#split(await regroup(batch, { regions, op, keyOf, bytesOf }), fate);
      if (reply.errors.length === 0) {
        this.#accept(reply.minCommitTs, reply.onePcCommitTs);
        if (holds(batch, plan.primary)) this.#with.onPrimary();
        return [];
      }
      if (reply.errors.some((error) => isRefusal(error, plan))) fate.uncertain = false;
      await this.#settle(reply.errors, tries, op);
    }
  }

  /** P4. Where a lost attempt may have committed in one phase, a second phase must not follow it. */
  #split(parts: Batch<Intent>[], fate: Fate): Batch<Intent>[] {
    if (this.#mode !== "one-phase" || parts.length === 1) return parts;
    if (fate.uncertain) {
      throw new TikvError(
        "aborted",
        `${this.op.name}: the region was split while an answer was lost`,
      );
    }
    this.#mode = "two-phase";
    this.#commits = false;
    return parts;
  }

  /** P4. */
  #accept(minCommitTs: bigint, onePhaseCommitTs: bigint): void {
    const commitTs = this.#mode === "one-phase" ? onePhaseCommitTs : minCommitTs;
    if (this.#mode !== "two-phase" && commitTs === 0n) {
      this.#mode = "two-phase";
      this.#commits = false;
    }
    if (commitTs > this.#commitTs) this.#commitTs = commitTs;
  }

  /** P1. */
  async #settle(errors: readonly KeyError[], tries: number, op: Operation): Promise<void> {
    const { plan } = this.#with;
    const { locks } = this.#core;
    const met: LockInfo[] = [];
    for (const error of errors) {
      if (error.locked === null) throw keyErrorOf(error, op.name);
      met.push(...locksOf(error.locked));
    }
    const younger = met.find((lock) => lock.lockVersion > plan.startTs);
    if (younger !== undefined && plan.held === null) {
      throw new TikvError(
        "conflict",
        `${op.name}: the younger transaction ${younger.lockVersion} is changing key ${hex(younger.key)}; ` +
          "run the transaction again",
      );
    }
    const waitMs = await locks.forWrite(met, op);
    if (waitMs === null && tries < LOCK_TRIES_AT_ONCE_MAX) return;
    await locks.wait("lock", met, waitMs ?? Infinity, op);
  }

  #request({ items, regionItems, regrouped }: Batch<Intent>): Encodable<typeof Kv.prewrite.request> {
    const { plan, minCommitTs } = this.#with;
    const { held } = plan;
    const ageMs = this.#core.runtime.nowMs() - plan.startedAtMs;
    return {
      mutations: items,
      primaryLock: plan.primary,
      startVersion: plan.startTs,
      lockTtl: lockTtlMs(plan.bytes, ageMs),
      // After a regrouping the region may hold keys of batches that we do not know of here.
      txnSize: regrouped > 0 ? TS_MAX : BigInt(regionItems),
      minCommitTs,
      tryOnePc: this.#mode === "one-phase",
      useAsyncCommit: this.#mode === "async",
      secondaries: this.#mode === "async" && holds({ items }, plan.primary) ? secondariesOf(plan) : [],
      forUpdateTs: held?.forUpdateTs ?? 0n,
      pessimisticActions: held === null ? [] : items.map(() => PessimisticAction.doPessimisticCheck),
    };
  }
}

/**
 * Whether the error shows that no earlier attempt was executed. A conflict with ourselves shows the opposite, and a
 * key that is there already may have been put by an attempt whose answer was lost.
 */
function isRefusal({ conflict }: KeyError, { startTs }: Plan): boolean {
  if (conflict === null) return false;
  return conflict.conflictTs !== startTs || conflict.reason === ConflictReason.selfRolledBack;
}

function isCancelled(error: unknown): boolean {
  return error instanceof TikvError && error.code === "cancelled";
}

function holds({ items }: { items: readonly Intent[] }, primary: Uint8Array): boolean {
  return items.some(({ key }) => sameKey(key, primary));
}
