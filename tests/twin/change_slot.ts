/**
 * A named change feed of an in-memory twin: what a logical replication slot and its publication are to PostgreSQL.
 *
 * C1. Transactions come in commit order, whole, and only those that touched a published table.
 * C2. What is not confirmed comes again to the next reader.
 * C3. At most `transactionsMax` wait; then the slot is lost, as one is that outgrew `max_slot_wal_keep_size`.
 */
import type { RowChange } from "./db.ts";

/** Published columns by table, both in lower case; what is not named (a secret) is not sent. */
export type Publication = Readonly<Record<string, readonly string[]>>;

export interface ChangeTransaction {
  /** Position behind the commit. It rises; gaps are normal. */
  lsn: bigint;
  /** Commit time, epoch milliseconds. */
  atMs: number;
  changes: RowChange[];
}

export class SlotLostError extends Error {
  override readonly name = "SlotLostError";
}

export class ChangeSlot {
  #waiting: ChangeTransaction[] = [];
  /** How many transactions stood before the first of `#waiting`. */
  #confirmed = 0;
  #lost = false;
  #wake = Promise.withResolvers<void>();

  constructor(readonly publication: Publication, readonly transactionsMax: number) {}

  /** For the database: adds a committed transaction. */
  push(transaction: ChangeTransaction): void {
    if (this.#lost) return;
    if (this.#waiting.length >= this.transactionsMax) {
      this.#lost = true;
      this.#waiting = [];
    } else {
      this.#waiting.push(transaction);
    }
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /**
   * All unconfirmed transactions, then the new ones; ends when the signal aborts.
   * @throws {SlotLostError} drop the slot, make a new one and compare everything
   */
  async *changes(signal: AbortSignal): AsyncGenerator<ChangeTransaction> {
    const aborted = Promise.withResolvers<void>();
    const onAbort = () => aborted.resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      let next = this.#confirmed;
      while (!signal.aborted) {
        if (this.#lost) throw new SlotLostError("Cannot read changes: the slot fell behind and is lost");
        next = Math.max(next, this.#confirmed);
        const transaction = this.#waiting[next - this.#confirmed];
        if (transaction === undefined) {
          await Promise.race([this.#wake.promise, aborted.promise]);
          continue;
        }
        next++;
        yield transaction;
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Forgets transactions up to and including `lsn`. */
  confirm(lsn: bigint): void {
    const first = this.#waiting.findIndex((transaction) => transaction.lsn > lsn);
    const count = first === -1 ? this.#waiting.length : first;
    this.#waiting = this.#waiting.slice(count);
    this.#confirmed += count;
  }
}
