/** Waiting on promises that know nothing of scopes. */
import { isSalarError, SalarError } from "../errors.ts";
import { BUS_RETRY_MS, BUS_RETRY_MS_MAX } from "../limits.ts";
import type { Scope } from "../seams.ts";

/** Throws `cancelled` when the scope has ended. */
export function checkScope(scope: Scope, action: string): void {
  if (scope.signal.aborted) throw new SalarError("cancelled", `${action}: its scope has ended`);
}

/** What `promise` gives, or `cancelled` as soon as the scope ends; the promise itself goes on unheard. */
export function waitFor<T>(scope: Scope, action: string, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = () => reject(new SalarError("cancelled", `${action}: its scope has ended`));
    if (scope.signal.aborted) cancel();
    scope.signal.addEventListener("abort", cancel, { once: true });
    promise.then(resolve, reject).finally(() => scope.signal.removeEventListener("abort", cancel));
  });
}

/** Runs `work` for at most `ms`, then rejects with `deadline` in words of this action. */
export async function within<T>(
  scope: Scope,
  ms: number,
  action: string,
  work: (scope: Scope) => Promise<T>,
): Promise<T> {
  checkScope(scope, action);
  try {
    return await scope.timeout(ms, work);
  } catch (error) {
    if (!isSalarError(error, "deadline")) throw error;
    throw new SalarError("deadline", `${action}: no answer within ${ms} ms`, { cause: error });
  }
}

/** One try: a value, or why another try may do better. */
export type Try<T> = { value: T } | { again: string };

/** Tries for at most `ms`, with growing pauses; then `unavailable`. What a try throws ends it at once. */
export async function retry<T>(
  scope: Scope,
  ms: number,
  action: string,
  attempt: (scope: Scope) => Promise<Try<T>>,
): Promise<T> {
  checkScope(scope, action);
  let reason = "no answer";
  try {
    return await scope.timeout(ms, async (inner) => {
      for (let pauseMs = BUS_RETRY_MS;; pauseMs = Math.min(pauseMs * 2, BUS_RETRY_MS_MAX)) {
        const outcome = await attempt(inner);
        if ("value" in outcome) return outcome.value;
        reason = outcome.again;
        await inner.sleep(pauseMs);
      }
    });
  } catch (error) {
    if (!isSalarError(error, "deadline")) throw error;
    throw new SalarError("unavailable", `${action}: ${reason}, for ${ms} ms now`, { cause: error });
  }
}
