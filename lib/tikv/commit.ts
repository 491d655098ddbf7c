/**
 * Commits a transaction: in one phase where its keys fit one batch of one region, else by async commit where they are
 * few, else in two phases.
 *
 * M1. Committed or not is decided when this returns or throws, and what follows runs in the background. Only
 *     `undetermined` leaves it open, and then nothing is taken back.
 * M2. One-phase and async commits fetch a timestamp first and commit above it, so that whoever begins after this
 *     returned sees it, and whoever ended before this began is older (`causal` leaves that to one client).
 * M3. A transaction older than TRANSACTION_AGE_MS_MAX does not commit: garbage collection may have settled its locks.
 * Source: client-go txnkv/transaction/2pc.go.
 */
import type { Core } from "./client_core.ts";
import { bytesOf, keyOf, lockTtlMs, type Plan } from "./commit_plan.ts";
import { commitPrimary } from "./commit_primary.ts";
import { type Mode, prewrite } from "./commit_prewrite.ts";
import { commitRest, isUndetermined, rollBack } from "./commit_rest.ts";
import { TikvError } from "./errors.ts";
import { groupByRegion } from "./grouping.ts";
import {
  ASYNC_COMMIT_KEY_BYTES_MAX,
  ASYNC_COMMIT_KEYS_MAX,
  BUDGET_MS,
  TRANSACTION_AGE_MS_MAX,
} from "./limits.ts";
import type { Operation } from "./operation.ts";

/** @returns The commit timestamp. */
export async function commit(core: Core, plan: Plan, signal: AbortSignal | undefined): Promise<bigint> {
  const op = core.operation("prewrite", BUDGET_MS.prewrite, signal);
  await core.background.room(op);
  refuseOld(core, plan);
  const batches = await groupByRegion(plan.intents, { regions: core.regions, op, keyOf, bytesOf });
  const mode = modeOf(core, plan, batches.length);
  const minCommitTs = await lowestCommitTs(core, plan, mode, op);

  let stopHeartbeat = () => {};
  const onPrimary = () => {
    if (mode === "one-phase" || plan.held !== null) return; // no lock to keep, or it is kept already
    stopHeartbeat = core.heartbeats.start({ ...plan, firstAfterMs: Number(lockTtlMs(plan.bytes, 0)) / 2 });
  };
  try {
    const decided = await prewrite(core, { plan, mode, minCommitTs, batches, onPrimary, signal });
    if (decided === null) return await commitTwoPhase(core, plan, signal);
    if (mode === "async") commitRest(core, plan, { keys: plan.keys, commitTs: decided, async: true });
    return decided;
  } finally {
    stopHeartbeat();
  }
}

async function commitTwoPhase(core: Core, plan: Plan, signal: AbortSignal | undefined): Promise<bigint> {
  try {
    refuseOld(core, plan);
    const op = core.operation("commit", BUDGET_MS.commitPrimary, signal);
    const { commitTs, rest } = await commitPrimary(core, plan, op);
    commitRest(core, plan, { keys: rest, commitTs, async: false });
    return commitTs;
  } catch (error) {
    if (!isUndetermined(error)) rollBack(core, plan); // M1
    throw error;
  }
}

function modeOf({ commit: allowed }: Core, { keys, keyBytes }: Plan, batches: number): Mode {
  if (allowed.onePhase && batches === 1) return "one-phase";
  const few = keys.length <= ASYNC_COMMIT_KEYS_MAX && keyBytes <= ASYNC_COMMIT_KEY_BYTES_MAX;
  return allowed.async && few ? "async" : "two-phase";
}

/** M2. Never below the snapshot, so that readers can push it. */
async function lowestCommitTs(
  core: Core,
  { startTs, held }: Plan,
  mode: Mode,
  op: Operation,
): Promise<bigint> {
  const own = held !== null && held.forUpdateTs > startTs ? held.forUpdateTs : startTs;
  const fresh = mode === "two-phase" || core.commit.causal ? own : await core.placement.timestamp(op);
  return (fresh > own ? fresh : own) + 1n;
}

/** M3. */
function refuseOld({ runtime }: Core, { startTs, startedAtMs }: Plan): void {
  const ageMs = Math.round(runtime.nowMs() - startedAtMs);
  if (ageMs <= TRANSACTION_AGE_MS_MAX) return;
  throw new TikvError(
    "too-old",
    `commit transaction ${startTs}: it began ${ageMs} ms ago, at most ${TRANSACTION_AGE_MS_MAX} are allowed; ` +
      "run it again, in smaller parts",
  );
}
