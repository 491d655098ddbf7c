/** The gate of the embedded store, which also waits out other processes that hold its file. */
import { STORE_BUSY_BACKOFF_MS_MAX, STORE_BUSY_WAIT_MS_MAX } from "../limits.ts";
import type { Scope } from "../seams.ts";
import { cancelledError, createGate, type Gate } from "./gate.ts";
import { isBusy, storeFault } from "./sqlite_tables.ts";

export interface SqliteGate extends Gate {
  /**
   * Runs `op` as soon as no other process is in the way, which is waited for through the scope, at most
   * STORE_BUSY_WAIT_MS_MAX; `op` has done nothing when it throws.
   * @throws {SalarError} `cancelled`, `closed`, `unavailable`
   */
  untilFree<T>(scope: Scope, action: string, op: () => T | Promise<T>): Promise<T>;
}

export function createSqliteGate(path: string): SqliteGate {
  const gate = createGate(path);
  return {
    ...gate,
    async untilFree(scope, action, op) {
      let busySinceMs: number | null = null;
      for (let waitMs = 1;; waitMs = Math.min(waitMs * 2, STORE_BUSY_BACKOFF_MS_MAX)) {
        gate.checkOpen();
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
  };
}
