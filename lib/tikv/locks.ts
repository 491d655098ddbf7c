/**
 * Locks that a reader or a writer meets: whose they are, what became of those transactions, and whether to wait.
 *
 * L1. A reader passes a lock without waiting where it can: committed before its snapshot, it reads through the lock;
 *     committed after it, rolled back, or pushed above it, it reads as if the lock were not there. The lock is
 *     cleared in the background.
 * L2. A writer clears what is settled before it goes on, and waits for what lives, never past its time to live.
 * L3. What was settled once is remembered. A second answer that differs is `corrupt`.
 * Source: client-go txnkv/txnlock.
 */
import { TikvError } from "./errors.ts";
import type { Background } from "./client_background.ts";
import { inParallel } from "./grouping.ts";
import { sameKey } from "./keys.ts";
import { BUDGET_MS, STATUS_CHECKS_AT_ONCE_MAX } from "./limits.ts";
import { addLock, clear, clearPessimistic, type Leftover } from "./locks_clear.ts";
import { type Asker, type Status, statusOf } from "./locks_status.ts";
import { type Settled, Statuses } from "./locks_statuses.ts";
import { type LockInfo, Op } from "./messages_kv.ts";
import type { Operation, WaitKind } from "./operation.ts";
import type { Placement, Regions } from "./rpc.ts";

/** What a reader does about the transactions whose locks it met. */
export interface Passage {
  /** Read as if their locks were not there. */
  passed: bigint[];
  /** Read through their locks. */
  committed: bigint[];
  /** Null when nothing has to be waited for; else when the first lock expires. */
  waitMs: number | null;
}

export interface LocksOptions {
  regions: Regions;
  placement: Placement;
  background: Background;
  /** Told before a `corrupt` error is thrown. */
  onCorrupt: (error: TikvError) => void;
}

export class Locks {
  readonly #with: LocksOptions;
  readonly #statuses = new Statuses();

  constructor(options: LocksOptions) {
    this.#with = options;
  }

  /** L1. */
  async forRead(locks: readonly LockInfo[], version: bigint, op: Operation): Promise<Passage> {
    const passage: Passage = { passed: [], committed: [], waitMs: null };
    const met = await this.#look(locks, { callerStartTs: version, expireAll: false }, op);
    for (const { startTs, status } of met.transactions) {
      if (status.kind === "alive" && !status.pushed) {
        passage.waitMs = Math.max(1, Math.min(passage.waitMs ?? Infinity, status.remainingMs));
      } else if (status.kind === "void") {
        passage.waitMs ??= Infinity; // no such lock stops readers: what did is gone, or the store is confused
      } else if (status.kind === "settled" && status.commitTs > 0n && status.commitTs <= version) {
        passage.committed.push(startTs);
      } else {
        passage.passed.push(startTs);
      }
    }
    if (met.leftovers.length > 0 || met.voids.length > 0) {
      this.#with.background.offer("clear locks", BUDGET_MS.resolve, (op) => this.#clear(met, op));
    }
    return passage;
  }

  /** L2. Null when nothing has to be waited for; else when the first of the living locks expires. */
  async forWrite(locks: readonly LockInfo[], op: Operation): Promise<number | null> {
    const met = await this.#look(locks, { callerStartTs: 0n, expireAll: false }, op);
    await this.#clear(met, op);
    const left = met.transactions.flatMap(({ status }) =>
      status.kind === "alive" ? [status.remainingMs] : []
    );
    return left.length === 0 ? null : Math.max(1, Math.min(...left));
  }

  /**
   * Waits for living locks, and then looks what time it is: the recent timestamp may be older than the wait.
   * @param atMostMs As `forRead` and `forWrite` gave it.
   */
  async wait(
    kind: WaitKind,
    met: readonly LockInfo[],
    atMostMs: number,
    op: Operation,
    { lostMs = 0 } = {},
  ): Promise<void> {
    await op.wait(kind, `transaction ${met[0]?.lockVersion}`, { atMostMs, lostMs });
    await this.#with.placement.timestamp(op);
  }

  /** Ends every transaction that holds one of the locks, however young: for garbage collection. */
  async settleAll(locks: readonly LockInfo[], op: Operation): Promise<void> {
    const met = await this.#look(locks, { callerStartTs: 0n, expireAll: true }, op);
    await this.#clear(met, op);
    const alive = met.transactions.find(({ status }) => status.kind === "alive");
    if (alive !== undefined) {
      throw new TikvError("aborted", `${op.name}: transaction ${alive.startTs} lives on though it was ended`);
    }
  }

  /** The status of one transaction, by a lock of it; or by what its owner knows its lock to be. */
  async status(lock: LockInfo, op: Operation): Promise<Status> {
    const met = await this.#look([lock], { callerStartTs: 0n, expireAll: false }, op);
    return met.transactions[0]?.status ?? { kind: "void" };
  }

  /** Told by an owner, whose word is good: its locks can be read through from now on. */
  remember(startTs: bigint, settled: Settled): void {
    try {
      this.#statuses.add(startTs, settled);
    } catch (error) {
      if (error instanceof TikvError) this.#with.onCorrupt(error);
      throw error;
    }
  }

  /** Asks once for each transaction, and tells what has to be cleared for it. */
  async #look(locks: readonly LockInfo[], how: Pick<Asker, "callerStartTs" | "expireAll">, op: Operation) {
    const asker: Asker = { ...this.#with, ...how };
    const met: Met = { transactions: [], leftovers: [], voids: [] };
    await inParallel([...byTransaction(locks)], STATUS_CHECKS_AT_ONCE_MAX, async ([startTs, held]) => {
      // Of a pessimistic transaction each lock may be void by itself, so none of them speaks for another.
      const pessimistic = held.filter((lock) => lock.lockType === Op.pessimisticLock);
      const [first] = held.filter((lock) => lock.lockType !== Op.pessimisticLock);
      for (const lock of first === undefined ? pessimistic : [first, ...pessimistic]) {
        const status = await this.#statusOf(lock, asker, op);
        met.transactions.push({ startTs, status });
        if (status.kind === "alive") continue;
        if (lock.lockType === Op.pessimisticLock) met.voids.push(lock);
        else if (status.kind === "settled") met.leftovers.push(leftoverOf(startTs, status, held));
      }
    });
    return met;
  }

  /** L3. */
  async #statusOf(lock: LockInfo, asker: Asker, op: Operation): Promise<Status> {
    const known = this.#statuses.get(lock.lockVersion);
    if (known !== undefined) {
      return { kind: "settled", commitTs: known, primaryCleared: false, toClear: [] };
    }
    try {
      const status = await statusOf(lock, asker, op);
      if (status.kind === "settled") this.#statuses.add(lock.lockVersion, status.commitTs);
      return status;
    } catch (error) {
      if (error instanceof TikvError && error.code === "corrupt") this.#with.onCorrupt(error);
      throw error;
    }
  }

  async #clear({ leftovers, voids }: Met, op: Operation): Promise<void> {
    const { regions } = this.#with;
    await inParallel(leftovers, STATUS_CHECKS_AT_ONCE_MAX, (leftover) => clear(regions, leftover, op));
    await inParallel(voids, STATUS_CHECKS_AT_ONCE_MAX, (lock) => clearPessimistic(regions, lock, op));
  }
}

interface Met {
  transactions: { startTs: bigint; status: Status }[];
  leftovers: Leftover[];
  voids: LockInfo[];
}

function byTransaction(locks: readonly LockInfo[]): Map<bigint, LockInfo[]> {
  const held = new Map<bigint, LockInfo[]>();
  for (const lock of locks) {
    const others = held.get(lock.lockVersion);
    if (others === undefined) held.set(lock.lockVersion, [lock]);
    else others.push(lock);
  }
  return held;
}

function leftoverOf(
  startTs: bigint,
  { commitTs, primaryCleared, toClear }: Status & { kind: "settled" },
  held: readonly LockInfo[],
): Leftover {
  const leftover: Leftover = { startTs, commitTs, keys: [...toClear], regionsOf: [] };
  for (const lock of held) {
    if (lock.lockType === Op.pessimisticLock) continue;
    if (primaryCleared && sameKey(lock.key, lock.primaryLock)) continue;
    addLock(leftover, lock);
  }
  return leftover;
}
