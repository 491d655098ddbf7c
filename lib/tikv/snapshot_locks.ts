/** The locks that one snapshot met and need not stop at again: every request of it names their transactions. */
import { LOCK_TRIES_AT_ONCE_MAX, PASSED_LOCKS_MAX } from "./limits.ts";
import type { Locks } from "./locks.ts";
import type { Context, KeyError, LockInfo } from "./messages_kv.ts";
import type { Operation } from "./operation.ts";
import { keyErrorOf, locksOf } from "./transaction_error.ts";

const NONE: Context = {};

export class SnapshotLocks {
  readonly #locks: Locks;
  /** Made at the first lock: most snapshots meet none. */
  #known: { passed: Set<bigint>; committed: Set<bigint> } | null = null;
  #context: Context = NONE;

  constructor(locks: Locks) {
    this.#locks = locks;
  }

  /** For the context of a read. */
  get context(): Context {
    return this.#context;
  }

  /**
   * Returns when the read is worth another try. Throws where the errors are about other things than locks.
   * @param tries How often this read has met locks before.
   */
  async settle(errors: readonly KeyError[], version: bigint, op: Operation, tries: number): Promise<void> {
    const fresh: LockInfo[] = [];
    const stubborn: LockInfo[] = []; // old stores stop at locks that they were told to read through
    for (const error of errors) {
      if (error.locked === null) throw keyErrorOf(error, op.name);
      for (const lock of locksOf(error.locked)) (this.#knows(lock) ? stubborn : fresh).push(lock);
    }
    const waits: (number | null)[] = tries < LOCK_TRIES_AT_ONCE_MAX ? [] : [Infinity];
    if (stubborn.length > 0) waits.push(await this.#locks.forWrite(stubborn, op));
    if (fresh.length > 0) {
      const { passed, committed, waitMs } = await this.#locks.forRead(fresh, version, op);
      const known = this.#known ??= { passed: new Set(), committed: new Set() };
      for (const startTs of passed) remember(known.passed, startTs);
      for (const startTs of committed) remember(known.committed, startTs);
      this.#context = { resolvedLocks: [...known.passed], committedLocks: [...known.committed] };
      waits.push(waitMs);
    }
    const living = waits.filter((waitMs) => waitMs !== null);
    if (living.length > 0) {
      await this.#locks.wait("lockOfRead", [...fresh, ...stubborn], Math.min(...living), op);
    }
  }

  #knows({ lockVersion }: LockInfo): boolean {
    return this.#known !== null &&
      (this.#known.passed.has(lockVersion) || this.#known.committed.has(lockVersion));
  }
}

function remember(known: Set<bigint>, startTs: bigint): void {
  if (known.size >= PASSED_LOCKS_MAX) {
    for (const oldest of known) {
      known.delete(oldest);
      break;
    }
  }
  known.add(startTs);
}
