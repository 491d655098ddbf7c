/**
 * The second phase of a two-phase commit: the transaction is committed when its primary is.
 *
 * C1. The commit timestamp is fetched after the last prewrite answered.
 * C2. The primary's batch goes first and alone.
 * C3. A reader may have pushed the commit above itself; then a newer timestamp is fetched.
 * C4. When the answer was lost and no later one came, the result is `undetermined`, and nothing may be rolled back.
 */
import type { Core } from "./client_core.ts";
import type { Plan } from "./commit_plan.ts";
import { TikvError } from "./errors.ts";
import { type Batch, groupByRegion, type Grouping, regroup } from "./grouping.ts";
import { sameKey } from "./keys.ts";
import { COMMIT_PUSH_MS_MAX, POINT_CALL_MS, REFUSALS_MAX, SERVER_EXECUTION_MS } from "./limits.ts";
import { CommitRole } from "./messages_kv.ts";
import { Kv } from "./methods.ts";
import type { Operation } from "./operation.ts";
import type { Fate } from "./rpc.ts";
import { isUnexplained, keyErrorOf } from "./transaction_error.ts";
import { physicalMs } from "./transaction_time.ts";

export interface PrimaryCommitted {
  commitTs: bigint;
  /** The keys that still hold locks. */
  rest: Uint8Array[];
}

export async function commitPrimary(core: Core, plan: Plan, op: Operation): Promise<PrimaryCommitted> {
  const fate: Fate = { uncertain: false };
  try {
    return await commitUntilAnswered(core, plan, fate, op);
  } catch (error) {
    if (!fate.uncertain) throw error;
    throw new TikvError(
      "undetermined",
      `commit of transaction ${plan.startTs}: it may have happened, its answer was lost; ask for the outcome`,
      { cause: error },
    );
  }
}

async function commitUntilAnswered(
  core: Core,
  plan: Plan,
  fate: Fate,
  op: Operation,
): Promise<PrimaryCommitted> {
  const { regions, placement } = core;
  const grouping: Grouping<Uint8Array> = {
    regions,
    op,
    keyOf: (key) => key,
    bytesOf: (key) => key.length,
  };
  let commitTs = await placement.timestamp(op); // C1
  let { batch, rest } = splitOff(await groupByRegion(plan.keys, grouping), plan.primary); // C2
  for (let pushes = 0, tries = 0;; tries++) {
    const request = {
      startVersion: plan.startTs,
      keys: batch.items,
      commitVersion: commitTs,
      commitRole: CommitRole.primary,
      primaryKey: plan.primary,
    };
    const context = { maxExecutionDurationMs: BigInt(SERVER_EXECUTION_MS) };
    const options = { op, timeoutMs: POINT_CALL_MS, fate, again: tries > 0, context };
    const reply = await regions.send(batch.region, Kv.commit, request, options);
    const refused = reply?.error && isUnexplained(reply.error) && batch.regrouped < REFUSALS_MAX;
    if (reply === null || refused) {
      const parts = splitOff(await regroup(batch, grouping), plan.primary);
      batch = parts.batch;
      rest = [...rest, ...parts.rest];
      continue;
    }
    if (reply.error === null) return { commitTs, rest };
    fate.uncertain = false; // had a lost attempt committed, this one would have been told so
    const expired = reply.error.commitTsExpired;
    if (expired === null) throw keyErrorOf(reply.error, op.name);
    if (physicalMs(expired.minCommitTs) - physicalMs(commitTs) > COMMIT_PUSH_MS_MAX) {
      throw new TikvError(
        "aborted",
        `${op.name}: readers pushed it to ${expired.minCommitTs}, over an hour ahead of the cluster's clock`,
      );
    }
    if (pushes++ > 0) await op.wait("maxTimestamp", "readers that push the commit"); // C3
    commitTs = await placement.timestamp(op);
  }
}

function splitOff(batches: Batch<Uint8Array>[], primary: Uint8Array) {
  const batch = batches.find(({ items }) => items.some((key) => sameKey(key, primary)));
  if (batch === undefined) throw new Error("the primary is none of the keys to commit");
  return { batch, rest: batches.flatMap((other) => other === batch ? [] : other.items) };
}
