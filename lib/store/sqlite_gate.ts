/**
 * Who may touch the database and when: waits out other processes, ends with the caller, closes.
 *
 * W1. After `close()` begins no new call starts; those that run go on for at most STORE_CLOSE_WAIT_MS_MAX.
 * W2. Other processes' locks are waited for through the scope, at most STORE_BUSY_WAIT_MS_MAX.
 */
import { SalarError } from "../errors.ts";
import { STORE_BUSY_BACKOFF_MS_MAX, STORE_BUSY_WAIT_MS_MAX, STORE_CLOSE_WAIT_MS_MAX } from "../limits.ts";
import type { Scope } from "../seams.ts";
import { isBusy, storeFault } from "./sqlite_tables.ts";

export interface Gate {
  /** One call of the store, from its start to its end. */
  call<T>(scope: Scope, work: () => Promise<T>): Promise<T>;
  /**
   * Runs `op` as soon as no other process is in the way; `op` has done nothing when it throws.
   * @throws {SalarError} `cancelled`, `closed`, `unavailable`
   */
  untilFree<T>(scope: Scope, action: string, op: () => T | Promise<T>): Promise<T>;
  /** Waits for the calls that run (W1), then calls `end` once. */
  close(end: () => void): Promise<void>;
}

export function createGate(path: string): Gate {
  const calls = new Map<Promise<unknown>, Scope>();
  let closing: Promise<void> | null = null;
  let closed = false;
  const closedError = () => new SalarError("closed", `Cannot use store ${path}: it is closed`);

  async function shut(end: () => void): Promise<void> {
    const waits = [...calls].map(([call, scope]) =>
      scope.timeout(STORE_CLOSE_WAIT_MS_MAX, async () => void await call)
    );
    await Promise.allSettled(waits); // how a call ended is for its caller to hear
    closed = true;
    end();
  }

  return {
    call(scope, work) {
      if (closing !== null) return Promise.reject(closedError());
      const call = work();
      calls.set(call, scope);
      return call.finally(() => calls.delete(call));
    },
    async untilFree(scope, action, op) {
      let busySinceMs: number | null = null;
      for (let waitMs = 1;; waitMs = Math.min(waitMs * 2, STORE_BUSY_BACKOFF_MS_MAX)) {
        if (closed) throw closedError();
        if (scope.signal.aborted) throw cancelledError();
        try {
          return await op();
        } catch (error) {
          busySinceMs ??= scope.monoMs();
          const waitedMs = scope.monoMs() - busySinceMs;
          if (!isBusy(error) || waitedMs > STORE_BUSY_WAIT_MS_MAX) throw storeFault(error, action, path);
        }
        // Not by chance: those that failed together wake together, and share the next sync.
        await scope.sleep(waitMs);
      }
    },
    close: (end) => closing ??= shut(end),
  };
}

export function cancelledError(): SalarError {
  return new SalarError("cancelled", "Cannot go on with transaction: its caller stopped waiting");
}
