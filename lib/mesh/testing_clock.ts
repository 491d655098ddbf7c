/**
 * A clock for tests: it stands until it is moved, so a test of ten minutes takes none.
 *
 * Scopes made of it share its time. Work between two timers runs as it would: `advance` lets it settle before each.
 */
import { setImmediate } from "node:timers";
import { realRandom } from "./real_scope.ts";
import { type Clock, createScope, type ScopeOptions } from "./scope.ts";
import type { Scope } from "../seams.ts";

/** How often the event loop turns before time goes on; enough for the in-process store and bus. */
const TURNS = 3;

export class TestingClock implements Clock {
  readonly random = realRandom();
  #nowMs = 1_000_000;
  #timers: { atMs: number; fire: () => void }[] = [];

  readonly nowMs = () => this.#nowMs;
  readonly monoMs = () => this.#nowMs;

  after(ms: number, fire: () => void): () => void {
    const timer = { atMs: this.#nowMs + Math.max(0, ms), fire };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((each) => each !== timer));
  }

  scope(options: ScopeOptions): Scope {
    return createScope(this, options);
  }

  /** Moves time on by `ms`, stopping at every timer on the way. */
  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      await settle();
      const next = this.#timers.reduce<number>((least, { atMs }) => Math.min(least, atMs), Infinity);
      if (next > untilMs) break;
      this.#nowMs = Math.max(this.#nowMs, next);
      const due = this.#timers.filter(({ atMs }) => atMs <= next);
      this.#timers = this.#timers.filter(({ atMs }) => atMs > next);
      for (const { fire } of due) fire();
    }
    this.#nowMs = untilMs;
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}
