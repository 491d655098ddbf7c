/** The locks that one snapshot met and need not stop at again: every request of it names their transactions. */
import { PASSED_LOCKS_MAX } from "./limits.ts";
import type { Locks } from "./locks.ts";
import type { Context, KeyError, LockInfo } from "./messages_kv.ts";
import type { Operation } from "./operation.ts";
import { keyErrorOf, locksOf } from "./transaction_error.ts";

const NONE: Context = {};

export class SnapshotLocks {
  readonly #locks: Locks;
  readonly #passed = new Set<bigint>();
  readonly #committed = new Set<bigint>();
  #context: Context = NONE;

  constructor(locks: Locks) {
    this.#locks = locks;
  }

  /** For the context of a read. */
  get context(): Context {
    return this.#context;
  }

  /** Returns when the read is worth another try. Throws where the errors are about other things than locks. */
  async settle(errors: readonly KeyError[], version: bigint, op: Operation): Promise<void> {
    const met: LockInfo[] = [];
    for (const error of errors) {
      if (error.locked === null) throw keyErrorOf(error, op.name);
      met.push(...locksOf(error.locked));
    }
    const { passed, committed, waitMs } = await this.#locks.forRead(met, version, op);
    const known = this.#passed.size + this.#committed.size;
    for (const startTs of passed) remember(this.#passed, startTs);
    for (const startTs of committed) remember(this.#committed, startTs);
    this.#context = { resolvedLocks: [...this.#passed], committedLocks: [...this.#committed] };
    // A store that stops at a lock it was told to pass gets time as well, or the two would spin.
    const futile = this.#passed.size + this.#committed.size === known;
    if (waitMs !== null || futile) {
      await op.wait("lockOfRead", `transaction ${met[0]?.lockVersion}`, { atMostMs: waitMs ?? Infinity });
    }
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
