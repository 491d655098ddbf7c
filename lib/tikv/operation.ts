/**
 * One operation of a caller, such as a get or a prewrite: how long it may wait in all, and what it waited for.
 *
 * O1. The n-th wait of a kind lasts min(cap, base · 2ⁿ) milliseconds, jittered where the table says so.
 * O2. A wait that would go over the budget ends the operation, with the causes seen and a code that fits the last
 *     of them. An abort ends it at once: `cancelled`.
 * Source: client-go config/retry.
 */
import { BUSY_BUDGET_MS } from "./limits.ts";
import { TikvError, type TikvErrorCode } from "./errors.ts";
import type { Runtime } from "./runtime.ts";

/** Kind → [base ms, cap ms, whether half of each wait is random]. */
const WAITS = {
  storeCall: [100, 2_000, true],
  placementCall: [500, 3_000, true],
  /** For a leader of the placement driver to appear. */
  members: [20, 1_000, true],
  regionMiss: [2, 500, false],
  scheduling: [2, 500, false],
  serverBusy: [2_000, 10_000, true],
  diskFull: [500, 5_000, false],
  recovery: [100, 10_000, true],
  staleCommand: [2, 1_000, false],
  maxTimestamp: [2, 500, false],
  regionNotInitialized: [2, 1_000, false],
  witness: [1_000, 10_000, true],
  lock: [100, 3_000, true],
  lockOfRead: [2, 3_000, true],
  transactionNotFound: [2, 500, false],
  /** Before a whole transaction runs again. */
  conflict: [2, 500, true],
} as const satisfies Record<string, readonly [number, number, boolean]>;

export type WaitKind = keyof typeof WAITS;

/** What it means to have waited in vain; `timeout` for all other kinds. */
const IN_VAIN: Partial<Record<WaitKind, TikvErrorCode>> = {
  storeCall: "unavailable",
  placementCall: "unavailable",
  members: "unavailable",
  diskFull: "disk-full",
};

/** How many different causes an error quotes. */
const CAUSES_MAX = 5;

export interface OperationOptions {
  /** For messages: `get`, `prewrite of 12 keys`. */
  name: string;
  budgetMs: number;
  runtime: Runtime;
  signal?: AbortSignal | undefined;
}

interface Waits {
  readonly counts: Map<WaitKind, number>;
  readonly causes: string[];
}

export class Operation {
  readonly name: string;
  readonly signal: AbortSignal | undefined;
  readonly #runtime: Runtime;
  readonly #budgetMs: number;
  /** Made at the first wait: most operations never wait, and every request has one. */
  #waits: Waits | null = null;
  #waitedMs = 0;
  #busyMs = 0;

  constructor({ name, budgetMs, runtime, signal }: OperationOptions) {
    this.name = name;
    this.signal = signal;
    this.#runtime = runtime;
    this.#budgetMs = budgetMs;
  }

  /** A part of this operation that has its own budget and the same end. */
  part(name: string, budgetMs: number): Operation {
    return new Operation({ name, budgetMs, runtime: this.#runtime, signal: this.signal });
  }

  /**
   * One of several things that this operation does side by side, for waits side by side take no longer than one. It
   * goes on where this one is: what has been waited for is waited for longer next time.
   */
  fork(): Operation {
    const fork = this.part(this.name, this.#budgetMs - this.#waitedMs);
    fork.#busyMs = this.#busyMs;
    if (this.#waits !== null) {
      const { counts, causes } = this.#waits;
      fork.#waits = { counts: new Map(counts), causes: [...causes] };
    }
    return fork;
  }

  /**
   * Sleeps before the next attempt, at most `atMostMs`; see O1 and O2. `lostMs` is time that a vain attempt took
   * and that the budget is to bear too.
   */
  async wait(kind: WaitKind, cause: string, { atMostMs = Infinity, lostMs = 0 } = {}): Promise<void> {
    this.throwIfAborted();
    const [baseMs, capMs, jitter] = WAITS[kind];
    const { counts, causes } = this.#waits ??= newWaits();
    const count = counts.get(kind) ?? 0;
    counts.set(kind, count + 1);
    if (!causes.includes(cause) && causes.length < CAUSES_MAX) causes.push(cause);
    const fullMs = Math.min(capMs, baseMs * 2 ** Math.min(count, 20));
    const ms = Math.min(atMostMs, jitter ? fullMs / 2 + this.#runtime.random() * fullMs / 2 : fullMs);
    this.#spend(kind, ms + lostMs, cause);
    try {
      await this.#runtime.sleep(ms, this.signal);
    } catch (error) {
      this.throwIfAborted();
      throw error;
    }
  }

  /** What `work` gives, or `cancelled` as soon as the caller aborts: the work itself goes on, for others. */
  until<T>(work: Promise<T>): Promise<T> {
    return this.signal === undefined ? work : this.#unlessAborted(work, this.signal);
  }

  async #unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
    const aborted = Promise.withResolvers<never>();
    const abort = () => aborted.reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    try {
      return await Promise.race([work, aborted.promise]);
    } catch (error) {
      this.throwIfAborted();
      throw error;
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  throwIfAborted(): void {
    if (!this.signal?.aborted) return;
    const { reason } = this.signal;
    if (reason instanceof TikvError) throw reason;
    throw new TikvError("cancelled", `${this.name}: cancelled by its caller`, { cause: reason });
  }

  /** A busy store's waits count apart, for it is alive and says so. */
  #spend(kind: WaitKind, ms: number, cause: string): void {
    const busy = kind === "serverBusy";
    if (busy) this.#busyMs += ms;
    else this.#waitedMs += ms;
    if (this.#waitedMs <= this.#budgetMs && this.#busyMs <= BUSY_BUDGET_MS) return;
    throw new TikvError(
      IN_VAIN[kind] ?? "timeout",
      `${this.name}: gave up after ${Math.round(this.#waitedMs + this.#busyMs)} ms of waiting, ` +
        `last for ${cause} (seen: ${this.#waits?.causes.join("; ")})`,
    );
  }
}

function newWaits(): Waits {
  return { counts: new Map(), causes: [] };
}
