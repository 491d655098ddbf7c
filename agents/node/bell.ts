/** A bell that cuts a wait short: hints ring it. A ring that comes while nobody waits is not forgotten. */
import type { Scope } from "../../lib/seams.ts";

export interface Bell {
  ring(): void;
  /** Resolves at the next ring, or after `ms`. Rejects with `cancelled` when the scope ends. One waiter at a time. */
  wait(scope: Scope, ms: number): Promise<void>;
}

export function bell(): Bell {
  let rung = new AbortController();
  return {
    ring: () => rung.abort(),
    async wait(scope, ms) {
      try {
        await scope.child("bell", rung.signal).sleep(ms);
      } catch (error) {
        if (scope.signal.aborted || !rung.signal.aborted) throw error;
      }
      rung = new AbortController();
    },
  };
}
