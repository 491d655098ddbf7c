/** The subscriptions of one client: how each ends, and how all end with their client or scope. */
import type { Scope } from "../seams.ts";
import type { Subscription } from "./bus.ts";
import type { Pool } from "./pool.ts";

export interface Subscriptions {
  /**
   * `leave` stops deliveries and resolves once none is under way; it is called on every way to end, maybe twice.
   * The subscription ends with its scope: what waits then is let go.
   */
  keep<T>(scope: Scope, pool: Pool<T>, leave: () => Promise<void>): Subscription;
  drainAll(): Promise<void>;
  endAll(): void;
}

export function createSubscriptions(): Subscriptions {
  const kept = new Map<Subscription, () => void>();
  return {
    keep(scope, pool, leave) {
      const end = () => {
        scope.signal.removeEventListener("abort", end);
        kept.delete(subscription);
        pool.stop();
        void leave();
      };
      const subscription = {
        async drain() {
          await leave();
          await pool.idle(); // what was taken before is handled, not dropped
          end();
        },
      };
      scope.signal.addEventListener("abort", end, { once: true });
      kept.set(subscription, end);
      return subscription;
    },
    async drainAll() {
      await Promise.all([...kept.keys()].map((subscription) => subscription.drain()));
    },
    endAll() {
      for (const end of [...kept.values()]) end();
    },
  };
}
