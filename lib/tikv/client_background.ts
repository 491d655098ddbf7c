/**
 * What a transaction leaves to be done after its caller has the answer: commits of secondaries, rollbacks, the
 * clearing of locks. All of it is best effort, since every reader can finish it; none of it is the caller's to abort.
 *
 * B1. At most BACKGROUND_TASKS_MAX tasks run. What must be done waits for room before it begins (`room`), what
 *     others would do as well is let go (`offer`).
 * B2. Each task has a budget of waiting, and ends when the client closes.
 */
import { TikvError } from "./errors.ts";
import { BACKGROUND_TASKS_MAX } from "./limits.ts";
import { Operation } from "./operation.ts";
import type { Runtime } from "./runtime.ts";

export type Task = (op: Operation) => Promise<void>;

export class Background {
  readonly #runtime: Runtime;
  readonly #onError: (error: unknown, name: string) => void;
  readonly #end = new AbortController();
  readonly #running = new Set<Promise<void>>();

  /** @param onError Told of every task that failed: nothing is lost, but somebody may want to know. */
  constructor(runtime: Runtime, onError: (error: unknown, name: string) => void) {
    this.#runtime = runtime;
    this.#onError = onError;
  }

  /** Tasks that have not ended. */
  get count(): number {
    return this.#running.size;
  }

  /** Waits until another task may run; who has room may `start` one. */
  async room(op: Operation): Promise<void> {
    while (this.#running.size >= BACKGROUND_TASKS_MAX) await op.until(Promise.race(this.#running));
  }

  start(name: string, budgetMs: number, task: Task): void {
    const op = new Operation({ name, budgetMs, runtime: this.#runtime, signal: this.#end.signal });
    const running = task(op).catch((error) => this.#onError(error, name)).finally(() => {
      this.#running.delete(running);
    });
    this.#running.add(running);
  }

  /** False when there is no room. */
  offer(name: string, budgetMs: number, task: Task): boolean {
    if (this.#running.size >= BACKGROUND_TASKS_MAX) return false;
    this.start(name, budgetMs, task);
    return true;
  }

  /** Waits for all tasks, but only so long, then ends the rest. */
  async close(waitMs: number): Promise<void> {
    const late = new AbortController();
    const wait = this.#runtime.sleep(waitMs, late.signal).catch(() => {});
    while (this.#running.size > 0) {
      const ended = await Promise.race([Promise.all(this.#running).then(() => true), wait.then(() => false)]);
      if (!ended) break;
    }
    late.abort();
    this.#end.abort(new TikvError("closed", "the client was closed"));
    await Promise.all(this.#running);
  }
}
