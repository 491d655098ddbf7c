/**
 * The lives as tables: state × event → next state. What is not in a table is refused with `conflict`.
 *
 * M1. Nothing else changes a `state` field: callers go through `next()` and record the transition in the audit.
 * M2. Effects (outbox entries, indexes, counters) belong to the transition and stand in `moving.ts`, in the same
 *     transaction.
 * Source: design.md section 6.
 */
import { SalarError } from "../errors.ts";
import type { MoveState, NodeState, PlanState, RunState, SystemState } from "./types.ts";

type Machine<S extends string, E extends string> = Record<S, Partial<Record<E, S>>>;

export type NodeEvent =
  | "stage"
  | "staged"
  | "fail"
  | "accept"
  | "cordon"
  | "uncordon"
  | "drain"
  | "undrain"
  | "emptied"
  | "lose"
  | "remove"
  | "force-remove";

/** A lost node that is heard of returns to the state it had (`stateBeforeLost`), which no table can tell. */
export const nodeMachine: Machine<NodeState, NodeEvent> = {
  // A pooled node that an administrator prepared by hand may be accepted without staging.
  pooled: { stage: "staging", accept: "accepted", remove: "removed" },
  staging: { staged: "staged", fail: "failed" },
  staged: { accept: "accepted", stage: "staging", remove: "removed" },
  // `staged`: whoever staged it was given up for silent, and tells late that all is well.
  failed: { stage: "staging", staged: "staged", remove: "removed" },
  accepted: { cordon: "cordoned", drain: "draining", lose: "lost" },
  cordoned: { uncordon: "accepted", drain: "draining", lose: "lost" },
  // Draining again plans for those that came back or were stuck the first time.
  draining: {
    drain: "draining",
    undrain: "cordoned",
    emptied: "drained",
    lose: "lost",
    "force-remove": "removed",
  },
  drained: { uncordon: "accepted", remove: "removed", lose: "lost" },
  // Draining a lost node is how its systems are recovered: they are re-pointed without it.
  lost: { drain: "draining", remove: "removed", "force-remove": "removed" },
  removed: {},
};

export type SystemEvent = "bind" | "move" | "settle" | "return" | "orphan" | "release" | "delete";

export const systemMachine: Machine<SystemState, SystemEvent> = {
  new: { bind: "bound", delete: "deleted" },
  // `settle` without `moving`: its agent, given up for out of reach, tells late that it is with the new master.
  bound: { move: "moving", settle: "bound", orphan: "orphan", release: "new", delete: "deleted" },
  // A move that ends back on a node that was lost meanwhile leaves an orphan.
  moving: { settle: "bound", return: "bound", orphan: "orphan" },
  // `release`: its node was removed by force, and it is placed as if it had just enrolled.
  orphan: { bind: "bound", move: "moving", settle: "bound", release: "new", delete: "deleted" },
  deleted: {},
};

export type MoveEvent = "start" | "prepared" | "arrived" | "settled" | "give-up";

export const moveMachine: Machine<MoveState, MoveEvent> = {
  queued: { start: "preparing", "give-up": "back" },
  preparing: { prepared: "switching", "give-up": "back" },
  // `arrived`: the agent says that the new master answers; `settled`: the target's database shows it, too.
  switching: { arrived: "settling", "give-up": "back" },
  settling: { settled: "there" },
  there: {},
  // An agent that was out of reach says late where it is; that is the truth, whatever was given up meanwhile.
  back: { arrived: "there" },
};

export type PlanEvent = "planned" | "pause" | "resume" | "cancel" | "finish";

export const planMachine: Machine<PlanState, PlanEvent> = {
  planning: { planned: "running", cancel: "cancelling" },
  running: { pause: "paused", cancel: "cancelling", finish: "done" },
  // The moves under way end during a pause, too.
  paused: { resume: "running", cancel: "cancelling", finish: "done" },
  cancelling: { finish: "cancelled" },
  done: {},
  cancelled: {},
};

export type RunEvent = "begin" | "cancel" | "join" | "finish" | "fail" | "stop" | "interrupt";

export const runMachine: Machine<RunState, RunEvent> = {
  // Its directive has not been begun: taken back, refused, or never fetched.
  waiting: { begin: "running", cancel: "cancelling", fail: "failed", stop: "cancelled" },
  running: {
    cancel: "cancelling",
    join: "joining",
    finish: "done",
    fail: "failed",
    stop: "cancelled",
    interrupt: "interrupted",
  },
  // Asked to stop; what it says last is the truth.
  cancelling: {
    join: "joining",
    finish: "done",
    fail: "failed",
    stop: "cancelled",
    interrupt: "interrupted",
  },
  // A staging whose state is applied, and whose agent has not enrolled yet.
  joining: { finish: "done", fail: "failed" },
  // Its outcome is unknown. Whoever did it may tell late.
  interrupted: { finish: "done", fail: "failed", stop: "cancelled" },
  done: {},
  failed: {},
  cancelled: {},
};

/**
 * The state after `event`.
 * @throws {SalarError} `conflict` where the table has no such transition; the message lists what is possible.
 */
export function next<S extends string, E extends string>(
  machine: Machine<S, E>,
  state: S,
  event: E,
  what: string,
): S {
  const to = machine[state][event];
  if (to === undefined) {
    const possible = Object.keys(machine[state]).join(", ") || "nothing";
    throw new SalarError("conflict", `Cannot ${event} ${what}: it is ${state}, which allows ${possible}`, {
      detail: { state, event },
    });
  }
  return to;
}

/** Node states in which heartbeats are expected and systems are served. */
export const SERVING: readonly NodeState[] = ["accepted", "cordoned", "draining", "drained"];
