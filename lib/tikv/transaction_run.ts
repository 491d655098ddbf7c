/**
 * Runs a function in a transaction, again on a fresh snapshot where that can help.
 *
 * N1. The function may run several times, and must do nothing but use the transaction it is given.
 * N2. Only errors that say so are tried again, after a growing wait.
 * N3. A commit whose answer was lost is settled first: what is committed is never run again.
 */
import type { Core } from "./client_core.ts";
import { isUndetermined } from "./commit_rest.ts";
import { TikvError } from "./errors.ts";
import { BUDGET_MS, TRANSACTION_ATTEMPTS_MAX } from "./limits.ts";
import { Transaction, type TransactionOptions } from "./transaction.ts";

export interface RunOptions extends TransactionOptions {
  /** How often the function runs at most. @default 32 */
  attempts?: number | undefined;
  /** All attempts together. @default unbounded */
  timeoutMs?: number | undefined;
}

export async function runTransaction<T>(
  core: Core,
  fn: (tx: Transaction) => T | Promise<T>,
  options: RunOptions = {},
): Promise<T> {
  const { attempts = TRANSACTION_ATTEMPTS_MAX, timeoutMs, signal, pessimistic } = options;
  if (!Number.isInteger(attempts) || attempts < 1) {
    throw new TikvError("invalid", `transaction: attempts must be a positive integer, it is ${attempts}`);
  }
  if (timeoutMs === undefined) return await attempt(core, fn, { attempts, signal, pessimistic });

  const late = new AbortController();
  const timer = new AbortController();
  const expired = new TikvError("timeout", `transaction: not done within ${timeoutMs} ms`);
  core.runtime.sleep(timeoutMs, timer.signal).then(() => late.abort(expired), () => {});
  try {
    const both = signal === undefined ? late.signal : AbortSignal.any([late.signal, signal]);
    return await attempt(core, fn, { attempts, signal: both, pessimistic });
  } catch (error) {
    if (late.signal.aborted && error instanceof TikvError && error.code === "cancelled") throw expired;
    throw error;
  } finally {
    timer.abort();
  }
}

async function attempt<T>(
  core: Core,
  fn: (tx: Transaction) => T | Promise<T>,
  { attempts, signal, pessimistic }: TransactionOptions & { attempts: number },
): Promise<T> {
  const waiting = core.operation("transaction", BUDGET_MS.prewrite, signal);
  for (let left = attempts - 1;; left--) {
    const tx = new Transaction(core, { signal, pessimistic });
    try {
      const result = await fn(tx);
      if (!tx.ended) await commitAndSettle(tx, signal);
      return result;
    } catch (error) {
      await tx.rollback();
      if (left === 0 || !(error instanceof TikvError) || !error.retry) throw error; // N2
      await waiting.wait("conflict", error.message);
    }
  }
}

/** N3. */
async function commitAndSettle(tx: Transaction, signal: AbortSignal | undefined): Promise<void> {
  try {
    await tx.commit();
  } catch (lost) {
    if (!isUndetermined(lost)) throw lost;
    const outcome = await tx.outcome({ signal }).catch(() => null);
    if (outcome === null) throw lost;
    if (outcome.committed) return;
    throw new TikvError("conflict", "commit: its answer was lost, and it turned out to be rolled back", {
      cause: lost,
    });
  }
}
