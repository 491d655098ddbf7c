/**
 * The tick that carries plans: finds the moves of `planning` plans, counts what has ended, gives up what is overdue,
 * begins what the budget allows, and ends plans that have nothing left.
 *
 * In: nothing but the store (the work indexes); safe to lose, repeat, and run on two replicas at once.
 * A1. Only this tick writes a plan's counts: moves that end leave a note in `work/ended/`, so that reports of many
 *     systems do not fight for one record.
 * A2. Cancelling or pausing never touches a system that has its directive: it ends there or back by itself.
 */
import { MOVES_BATCH_MAX } from "../../lib/limits.ts";
import { prefixRange, type Read } from "../../lib/store/store.ts";
import { type Change, change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { giveUp, settle, startMove } from "../../lib/cluster/moving.ts";
import { moves, nodes, plans } from "../../lib/cluster/records.ts";
import { toText } from "../../lib/store/record.ts";
import type { Counts, Move, Node, Plan } from "../../lib/cluster/types.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { done, type Tick } from "../../lib/mesh/handler.ts";
import { enterNodeState } from "./nodes.ts";
import { openPlans, planBatch } from "./drain.ts";
import { enterPlanState, putPlan } from "./plan_records.ts";

export const advanceTick: Tick = {
  name: "advance",
  everyMs: 1_000,
  async run(context) {
    const open = await context.store.read(context.scope, (tx) => openPlans(tx));
    for (const plan of open) {
      if (plan.state === "planning") { while (await planBatch(context, plan.id)); // bounded by the node's systems
       }
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
    for (const move of overdue(progress.active, c.nowMs)) await endOverdue(c, move);
    if (stops(progress.plan, c.nowMs)) {
      for (const id of progress.queued) {
        await giveUp(c, planId, id, { reason: "cancelled" });
      }
      if (progress.plan.state === "cancelling") {
        for (const { system } of progress.active) await giveUp(c, planId, system, { reason: "cancelled" });
      }
    } else if (progress.plan.state === "running") {
      for (const id of await withinBudget(c.tx, progress)) await startMove(c, planId, id);
    }
    await recount(c, progress);
  });
}

interface Progress {
  plan: Plan;
  /** Ids of moves not yet begun, at most MOVES_BATCH_MAX. */
  queued: number[];
  active: Move[];
  /** How moves have ended that the counts do not hold yet. */
  ended: { id: number; end: string }[];
}

async function progressOf(tx: Read, planId: string): Promise<Progress | null> {
  const plan = await plans.get(tx, planId);
  if (plan === null || plan.state === "done" || plan.state === "cancelled") return null;
  const ids = async (prefix: string) =>
    (await tx.scan(prefixRange(prefix), { limit: MOVES_BATCH_MAX })).map(({ key, value }) => ({
      id: Number(key.slice(prefix.length)),
      value,
    }));
  const queued = (await ids(keys.movesQueued(planId))).map(({ id }) => id);
  const activeIds = await ids(keys.movesActive(planId));
  const active = await moves.getMany(tx, activeIds.map(({ id }) => [planId, id] as [string, number]));
  const ended = (await ids(keys.movesEnded(planId))).map(({ id, value }) => ({ id, end: toText(value) }));
  return { plan, queued, active: active.filter((move) => move !== null), ended };
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

/** The queued moves that may begin now: within the budget of every node and zone, targets accepted. */
async function withinBudget(tx: Read, { plan, queued, active }: Progress): Promise<number[]> {
  const candidates = await moves.getMany(tx, queued.map((id) => [plan.id, id] as [string, number]));
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
  const starting: number[] = [];
  for (const move of candidates) {
    if (move === null) continue;
    const places = await placesOf(move);
    // A plan stops by itself when its target is not healthy; the move waits, and the deadline ends the wait.
    if (!hasRoom(places) || known.get(move.to)?.state !== "accepted") continue;
    take(places);
    starting.push(move.system);
  }
  return starting;
}

/** A1. Takes up what has ended, and ends the plan when nothing is left. */
async function recount(c: Change, { plan: { id } }: Progress): Promise<void> {
  const progress = await progressOf(c.tx, id);
  if (progress === null) return;
  const { plan, ended } = progress;
  const counts: Counts = { ...plan.counts };
  for (const { id: system, end } of ended) {
    if (end === "there") counts.there++;
    else counts.back++;
    c.tx.delete(keys.moveEnded(id, system));
  }
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

/** A node whose last system has left is `drained`; one that kept some stays `draining` and can be drained again. */
async function endDrain(c: Change, fp: string): Promise<void> {
  const node = await nodes.get(c.tx, fp);
  const left = await c.tx.scan(prefixRange(keys.onNodePrefix(fp)), { limit: 1 });
  if (node?.state === "draining" && left.length === 0) {
    enterNodeState(c, node, "emptied", "its last system has left");
  }
}
