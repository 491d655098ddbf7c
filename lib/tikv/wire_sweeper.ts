/**
 * One clock for the deadlines of all calls of a wire: every DEADLINE_SWEEP_MS it looks for overdue ones, and it stands
 * still while there are none. A timer for each call would cost more than the call's own work.
 */
import { DEADLINE_SWEEP_MS } from "./limits.ts";
import type { Runtime } from "./runtime.ts";

export interface Swept {
  /** Ends what is overdue; false when nothing more is pending. */
  sweep(nowMs: number): boolean;
}

export class Sweeper {
  readonly #runtime: Runtime;
  readonly #closed = new AbortController();
  readonly #watched = new Set<Swept>();
  #running = false;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  /** Sweeps `owner` until it has nothing pending. */
  watch(owner: Swept): void {
    this.#watched.add(owner);
    if (!this.#running && !this.#closed.signal.aborted) void this.#run();
  }

  close(): void {
    this.#closed.abort();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#watched.size > 0) {
      try {
        await this.#runtime.sleep(DEADLINE_SWEEP_MS, this.#closed.signal);
      } catch {
        return; // closed, and so are all who were watched
      }
      const nowMs = this.#runtime.nowMs();
      for (const owner of this.#watched) if (!owner.sweep(nowMs)) this.#watched.delete(owner);
    }
    this.#running = false;
  }
}
