/** Plans as records: how one begins, and how its record changes. */
import { type Change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { next, type PlanEvent, planMachine } from "../../lib/cluster/machines.ts";
import { plans } from "../../lib/cluster/records.ts";
import type { Budget, Plan } from "../../lib/cluster/types.ts";
import { EMPTY } from "../../lib/store/record.ts";

export interface NewPlan {
  kind: Plan["kind"];
  /** The node that is drained. */
  node: string | null;
  /** `planning` when its moves are still to be found, `running` when the caller queues them all now. */
  state: "planning" | "running";
  /** Moves that the caller queues. */
  total: number;
  budget: Budget;
  deadlineAtMs: number | null;
  reason: string;
}

/** Writes a new plan and its place in the work index. Ids begin with the time, so plans list in the order they began. */
export function putNewPlan({ tx, nowMs, who, newId, record }: Change, options: NewPlan): Plan {
  const { kind, node, state, total, budget, deadlineAtMs, reason } = options;
  const plan: Plan = {
    v: 1,
    id: `${nowMs.toString(36).padStart(9, "0")}-${newId().slice(0, 8)}`,
    kind,
    state,
    node,
    budget,
    counts: { total, queued: total, active: 0, there: 0, back: 0, stuck: 0 },
    cursor: null,
    createdAtMs: nowMs,
    endedAtMs: null,
    deadlineAtMs,
    who,
    reason,
    revision: 1,
  };
  plans.put(tx, plan, plan.id);
  tx.put(keys.planOpen(plan.id), EMPTY);
  record({ what: "plan.begin", target: `plan:${plan.id}`, why: reason, detail: { kind, node, total } });
  return plan;
}

export function putPlan({ tx }: Change, plan: Plan): Plan {
  const changed = { ...plan, revision: plan.revision + 1 };
  plans.put(tx, changed, plan.id);
  return changed;
}

/** Writes the plan in the state after `event` and records it. @throws {SalarError} `conflict` */
export function enterPlanState(change: Change, plan: Plan, event: PlanEvent, why: string): Plan {
  const state = next(planMachine, plan.state, event, `plan "${plan.id}"`);
  const ended = state === "done" || state === "cancelled";
  if (ended) change.tx.delete(keys.planOpen(plan.id));
  change.record({
    what: `plan.${event}`,
    target: `plan:${plan.id}`,
    why,
    detail: { from: plan.state, to: state, ...plan.counts },
  });
  return putPlan(change, { ...plan, state, endedAtMs: ended ? change.nowMs : null });
}
