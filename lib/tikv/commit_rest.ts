/** What follows the decision of a commit, in the background: the other keys, or the taking back of all. */
import type { Core } from "./client_core.ts";
import type { Plan } from "./commit_plan.ts";
import { TikvError } from "./errors.ts";
import { eachBatch } from "./grouping.ts";
import { hex, sameKey } from "./keys.ts";
import { BUDGET_MS, POINT_CALL_MS, REFUSALS_MAX, SERVER_EXECUTION_MS } from "./limits.ts";
import { CommitRole, type KeyError } from "./messages_kv.ts";
import { Kv } from "./methods.ts";
import type { Operation } from "./operation.ts";
import { isUnexplained, keyErrorOf } from "./transaction_error.ts";

/** Commits keys of a transaction that is committed. Where this fails, readers finish it. */
export function commitRest(
  core: Core,
  plan: Plan,
  { keys, commitTs, async }: { keys: readonly Uint8Array[]; commitTs: bigint; async: boolean },
): void {
  if (keys.length === 0) return;
  core.locks.remember(plan.startTs, commitTs); // our own reads go through these locks from now on
  core.background.start("commit of the other keys", BUDGET_MS.commitSecondaries, async (op) => {
    await eachBatch(keys, keysOf(core, op), async ({ region, items, regrouped }, op) => {
      const request = {
        startVersion: plan.startTs,
        keys: items,
        commitVersion: commitTs,
        commitRole: items.some((key) => sameKey(key, plan.primary))
          ? CommitRole.primary
          : CommitRole.secondary,
        primaryKey: plan.primary,
        useAsyncCommit: async,
      };
      const reply = await core.regions.send(region, Kv.commit, request, optionsOf(op, regrouped));
      if (reply?.error && isUnexplained(reply.error)) return againOrThrow(reply.error, op, regrouped);
      if (reply?.error) {
        const refused = keyErrorOf(reply.error, `${op.name} of transaction ${plan.startTs}`);
        const error = new TikvError(
          "corrupt",
          `transaction ${plan.startTs} committed at ${commitTs}, but from ${
            hex(items[0] as Uint8Array)
          } on ` +
            `its keys were taken back: ${refused.message}`,
        );
        core.onCorrupt(error);
        throw error;
      }
      return reply !== null;
    });
  });
}

/**
 * Takes back what a prewrite may have written, the primary first: once that is rolled back, the transaction is. The
 * rollbacks stay as records that also stop prewrites which are still under way.
 */
export function rollBack(core: Core, plan: Plan): void {
  core.background.start("rollback", BUDGET_MS.rollback, async (op) => {
    const rest = plan.keys.filter((key) => !sameKey(key, plan.primary));
    for (const keys of [[plan.primary], rest]) {
      await eachBatch(keys, keysOf(core, op), async ({ region, items, regrouped }, op) => {
        const request = { startVersion: plan.startTs, keys: items };
        const reply = await core.regions.send(region, Kv.batchRollback, request, optionsOf(op, regrouped));
        if (reply?.error) return againOrThrow(reply.error, op, regrouped);
        return reply !== null;
      });
    }
  });
}

/** False, to group the batch again after a wait; but only where that may help, and not for ever. */
function againOrThrow(error: KeyError, op: Operation, regrouped: number): false {
  if (isUnexplained(error) && regrouped < REFUSALS_MAX) return false;
  throw keyErrorOf(error, op.name);
}

/** Then nobody knows whether the transaction is committed, and it must be left as it is. */
export function isUndetermined(error: unknown): boolean {
  return error instanceof TikvError && error.code === "undetermined";
}

function keysOf({ regions }: Core, op: Operation) {
  return { regions, op, keyOf: (key: Uint8Array) => key, bytesOf: (key: Uint8Array) => key.length };
}

function optionsOf(op: Operation, regrouped: number) {
  const context = { maxExecutionDurationMs: BigInt(SERVER_EXECUTION_MS) };
  return { op, timeoutMs: POINT_CALL_MS, again: regrouped > 0, context };
}
