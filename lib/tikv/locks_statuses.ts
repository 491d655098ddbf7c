/**
 * What became of transactions, as far as it is settled for ever: committed at a timestamp, or rolled back.
 * A settled status never changes; the least recently added ones are forgotten.
 */
import { TikvError } from "./errors.ts";
import { STATUS_CACHE_MAX } from "./limits.ts";

/** The commit timestamp; zero is a rollback, as in ResolveLock. */
export type Settled = bigint;

export class Statuses {
  readonly #byStartTs = new Map<bigint, Settled>();

  get(startTs: bigint): Settled | undefined {
    return this.#byStartTs.get(startTs);
  }

  /** Throws `corrupt` when something else was settled before. */
  add(startTs: bigint, settled: Settled): void {
    const before = this.#byStartTs.get(startTs);
    if (before === settled) return;
    if (before !== undefined) {
      throw new TikvError(
        "corrupt",
        `settle transaction ${startTs}: ${told(settled)} now, ${
          told(before)
        } before; stop writing and find out why`,
      );
    }
    if (this.#byStartTs.size >= STATUS_CACHE_MAX) {
      for (const oldest of this.#byStartTs.keys()) {
        this.#byStartTs.delete(oldest);
        break;
      }
    }
    this.#byStartTs.set(startTs, settled);
  }
}

function told(settled: Settled): string {
  return settled === 0n ? "rolled back" : `committed at ${settled}`;
}
