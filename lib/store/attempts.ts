/** Runs a write transaction again until it commits (T2 of `store.ts`). Shared by every adapter. */
import { SalarError } from "../errors.ts";
import { STORE_CONFLICT_BACKOFF_MS_MAX, STORE_TX_ATTEMPTS_MAX } from "../limits.ts";
import type { Scope } from "../seams.ts";

/** What one run came to; `lost` says what others were faster with, such as `a change of key a`. */
export type Attempt<T> = { ok: true; result: T } | { ok: false; lost: string };

/**
 * The first result of `attempt`, which runs at most STORE_TX_ATTEMPTS_MAX times and is told how often it has lost.
 * Between runs it waits, by chance and longer each time, so that many on one key come apart.
 * @throws {SalarError} `conflict` when all of them lost.
 */
export async function untilCommitted<T>(
  scope: Scope,
  attempt: (losses: number) => Promise<Attempt<T>>,
): Promise<T> {
  let lost = "";
  for (let n = 1; n <= STORE_TX_ATTEMPTS_MAX; n++) {
    if (n > 1) await scope.sleep(scope.random.below(Math.min(2 ** n, STORE_CONFLICT_BACKOFF_MS_MAX)));
    const attempted = await attempt(n - 1);
    if (attempted.ok) return attempted.result;
    lost = attempted.lost;
  }
  throw new SalarError(
    "conflict",
    `Cannot commit transaction: others were faster ${STORE_TX_ATTEMPTS_MAX} times, at last with ${lost}`,
  );
}
