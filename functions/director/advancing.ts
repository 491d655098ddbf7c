/**
 * The tick that carries plans: finds the moves of `planning` plans, counts what has ended, gives up what is overdue,
 * begins what the budget allows, and ends plans that have nothing left.
 *
 * In: nothing but the store (the work indexes); safe to lose, repeat, and run on two replicas at once.
 * A1. Only this tick writes an open plan's counts: moves that end leave a note in `work/ended/`, so that reports of many
 *     systems do not fight for one record.
 * A2. One pass ends and begins MOVES_BATCH_MAX moves at most, but knows all that are under way: they fill the budget.
 * A3. A place for a new system is no promise: while its way there has not begun and the node takes nobody, it is
 *     given up, and the system placed anew. A move of a drain waits for its target instead, or for its deadline, unless
 *     the target was removed.
 * A4. Cancelling or pausing never touches a system that has its directive: it ends there or back by itself.
 */
import { MOVES_BATCH_MAX } from "../../lib/limits.ts";
import { type Entry, prefixRange, type Read } from "../../lib/store/store.ts";
import { type Change, change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { giveUp, settle, startMove, withEnd } from "../../lib/cluster/moving.ts";
import { enterNodeState } from "../../lib/cluster/node_states.ts";
import { loads, moves, nodes, plans } from "../../lib/cluster/records.ts";
import { entries, toText } from "../../lib/store/record.ts";
import type { Counts, Move, Node, Plan } from "../../lib/cluster/types.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { done, type Tick } from "../../lib/mesh/handler.ts";
import { openPlans, planBatch } from "./drain.ts";
import { enterPlanState, putPlan } from "./plan_records.ts";

export const advanceTick: Tick = {
  name: "advance",
  everyMs: 1_000,
  async run(context) {
    const open = await context.store.read(context.scope, (tx) => openPlans(tx));
    for (const plan of open) {
      let isPlanning = plan.state === "planning";
      while (isPlanning) isPlanning = await planBatch(context, plan.id); // bounded by the node's systems
      await advancePlan(context, plan.id);
    }
    return done();
  },
};

/** One pass over one plan. */
export async function advancePlan(context: Context, planId: string): Promise<void> {
  const before = await context.store.read(context.scope, (tx) => progressOf(tx, planId));
  if (before === null || !hasWork(before, context.scope.nowMs())) return;
  await change(context, { who: "function:director" }, async (c) => {
    const progress = await progressOf(c.tx, planId);
    if (progress === null) return;
    for (const move of overdue(progress.active, c.nowMs).slice(0, MOVES_BATCH_MAX)) await endOverdue(c, move);
    if (stops(progress.plan, c.nowMs)) await giveBack(c, progress);
    else if (progress.plan.state === "running") {
      const { ready, homeless } = await withinBudget(c.tx, progress);
      for (const id of ready) await startMove(c, planId, id);
      for (const id of homeless) {
        await giveUp(c, planId, id, { reason: "its node takes no systems any more" });
      }
    }
    await recount(c, progress);
  });
}

/** What has not begun; and of a cancelled plan what has, where the system has not been told yet (A4). */
async function giveBack(c: Change, { plan, queued, active }: Progress): Promise<void> {
  const isCancelled = plan.state === "cancelling";
  const reason = isCancelled ? "cancelled" : "the plan's deadline is over";
  for (const move of queued) await giveUp(c, plan.id, move.system, { reason });
  if (!isCancelled) return;
  let left = MOVES_BATCH_MAX - queued.length;
  for (const { system, state } of active) {
    if (left <= 0) return; // the next pass goes on
    if (state === "settling") continue;
    if (await giveUp(c, plan.id, system, { reason })) left--;
  }
}

interface Progress {
  plan: Plan;
  /** Not yet begun, the first MOVES_BATCH_MAX. */
  queued: Move[];
  /** Under way, all of them. */
  active: Move[];
  /** How moves have ended that the counts do not hold yet. */
  ended: { id: number; end: string }[];
}

async function progressOf(tx: Read, planId: string): Promise<Progress | null> {
  const plan = await plans.get(tx, planId);
  if (plan === null || plan.state === "done" || plan.state === "cancelled") return null;
  const firstOf = (prefix: string) => tx.scan(prefixRange(prefix), { limit: MOVES_BATCH_MAX });
  const movesAt = async (prefix: string, index: readonly Entry[]) => {
    const at = index.map(({ key }) => [planId, Number(key.slice(prefix.length))] as [string, number]);
    return (await moves.getMany(tx, at)).filter((move) => move !== null);
  };
  const queuedKeys = keys.movesQueued(planId);
  const activeKeys = keys.movesActive(planId);
  const endedKeys = keys.movesEnded(planId);
  return {
    plan,
    queued: await movesAt(queuedKeys, await firstOf(queuedKeys)),
    active: await movesAt(activeKeys, await Array.fromAsync(entries(tx, activeKeys))),
    ended: (await firstOf(endedKeys)).map(({ key, value }) => ({
      id: Number(key.slice(endedKeys.length)),
      end: toText(value),
    })),
  };
}

/** Most passes find nothing to do; those must not write. */
function hasWork({ plan, queued, active, ended }: Progress, nowMs: number): boolean {
  if (ended.length > 0 || overdue(active, nowMs).length > 0) return true;
  if (plan.state === "planning") return false;
  if (queued.length === 0 && active.length === 0) return true;
  if (stops(plan, nowMs)) return queued.length > 0 || active.some(({ state }) => state !== "settling");
  return plan.state === "running" && queued.length > 0;
}

/** True when queued moves shall not begin any more. */
function stops({ state, deadlineAtMs }: Plan, nowMs: number): boolean {
  return state === "cancelling" || (deadlineAtMs !== null && deadlineAtMs <= nowMs);
}

function overdue(active: readonly Move[], nowMs: number): Move[] {
  return active.filter(({ deadlineAtMs }) => deadlineAtMs !== null && deadlineAtMs <= nowMs);
}

async function endOverdue(c: Change, move: Move): Promise<void> {
  if (move.state === "settling") {
    // The agent proved the new master; that its database never told is worth a word, not a way back.
    await settle(c, { ...move, reason: "not seen in the database of its new node" });
    return;
  }
  const told = move.state === "switching"; // its directive has expired: an agent will not begin it any more
  await giveUp(c, move.plan, move.system, { reason: `no answer while ${move.state}`, told });
}

/** The queued moves that may begin now: within the budget of every node and zone, targets accepted. And A3. */
async function withinBudget(
  tx: Read,
  { plan, queued, active }: Progress,
): Promise<{ ready: number[]; homeless: number[] }> {
  const busy = new Map<string, number>();
  const known = new Map<string, Node | null>();
  const placesOf = async (move: Move) => {
    const fps = [...new Set([move.from, move.to])].filter((fp) => fp !== null);
    for (const fp of fps) if (!known.has(fp)) known.set(fp, await nodes.get(tx, fp));
    const zones = [...new Set(fps.map((fp) => known.get(fp)?.zone).filter((zone) => zone !== undefined))];
    return { nodes: fps.map((fp) => `node/${fp}`), zones: zones.map((zone) => `zone/${zone}`) };
  };
  const take = (places: { nodes: string[]; zones: string[] }) => {
    for (const place of [...places.nodes, ...places.zones]) busy.set(place, (busy.get(place) ?? 0) + 1);
  };
  const hasRoom = (places: { nodes: string[]; zones: string[] }) =>
    places.nodes.every((place) => (busy.get(place) ?? 0) < plan.budget.perNode) &&
    places.zones.every((place) => (busy.get(place) ?? 0) < plan.budget.perZone);

  for (const move of active) take(await placesOf(move));
  const ready: number[] = [];
  const homeless: number[] = [];
  for (const move of queued) {
    const places = await placesOf(move);
    const state = known.get(move.to)?.state ?? "removed";
    if (state !== "accepted") {
      if (move.from === null || state === "removed") homeless.push(move.system);
    } else if (hasRoom(places)) {
      take(places);
      ready.push(move.system);
    }
  }
  return { ready, homeless };
}

/** A1. Takes up what has ended, and ends the plan when nothing is left. */
async function recount(c: Change, { plan: { id } }: Progress): Promise<void> {
  const progress = await progressOf(c.tx, id);
  if (progress === null) return;
  const { plan, ended } = progress;
  const counts: Counts = { ...ended.reduce((counts, { end }) => withEnd(counts, end), plan.counts) };
  for (const { id: system } of ended) c.tx.delete(keys.moveEnded(id, system));
  // The rest is arithmetic, so that no drift can stay: active are few enough to be counted.
  counts.active = progress.active.length;
  counts.queued = counts.total - counts.stuck - counts.there - counts.back - counts.active;
  const isOver = plan.state !== "planning" && progress.queued.length === 0 && progress.active.length === 0 &&
    ended.length < MOVES_BATCH_MAX;
  if (!isOver) {
    if (JSON.stringify(counts) !== JSON.stringify(plan.counts)) putPlan(c, { ...plan, counts });
    return;
  }
  const over = { ...plan, counts };
  enterPlanState(c, over, "finish", `${counts.there} there, ${counts.back} back, ${counts.stuck} stuck`);
  if (plan.kind === "drain" && plan.node !== null) await endDrain(c, plan.node);
}

/**
 * A node whose last system has left is `drained`; one that kept some, or to which some were on their way already, stays
 * `draining` and can be drained again.
 */
async function endDrain(c: Change, fp: string): Promise<void> {
  const node = await nodes.get(c.tx, fp);
  const placed = (await loads.get(c.tx, fp))?.placed ?? 0;
  c.tx.lock(keys.load(fp));
  if (node?.state === "draining" && placed === 0) {
    enterNodeState(c, node, "emptied", "its last system has left");
  }
}
