/**
 * The life of a move: each function is one transition with all its effects, in the caller's transaction.
 *
 *   queued ─start→ preparing ─prepared→ switching ─arrived→ settling ─settled→ there
 *      └──────────────┴─────── giveUp ─────┘ → back ─arrived (late)→ there
 *
 * In: a `Change` and names (plan, system), not events; every function does nothing when the move is not in the state
 * that it leaves, so lost, repeated and reordered reports do no harm.
 * V1. At every instant one node owns a system: ownership goes over in `settle`, with its indexes and loads.
 * V2. A place on the target is taken when the move is planned and given back when it ends `back`.
 * V3. A system has at most one open move (`move-of/<id>`).
 * V4. The directive carries a new epoch; whoever holds an older one is refused.
 * V5. A system that no node owns and no move takes anywhere is in the work index from which it is placed.
 * Source: design.md section 7.
 */
import { assert } from "../errors.ts";
import { DIRECTIVE_MS, MOVE_MS_MAX, NODE_GRACE_MS, PLACE_AGAIN_MS, RETIRE_AFTER_MS } from "../limits.ts";
import type { Write } from "../store/store.ts";
import { EMPTY } from "../store/record.ts";
import type { Change } from "./change.ts";
import { localIdOf } from "./ids.ts";
import { keys } from "./keys.ts";
import { moveMachine, next, systemMachine } from "./machines.ts";
import { post, withdraw } from "./outbox.ts";
import {
  beats,
  getText,
  loads,
  moves,
  nodeByFp,
  nodes,
  planById,
  plans,
  putNumber,
  putText,
  retires,
  systemById,
  systems,
} from "./records.ts";
import type { Beat, Counts, Move, Node, System } from "./types.ts";

/** Plans a move: takes the place on `to` and queues it. Null when the system already has an open move (V3). */
export async function queueMove(
  { tx }: Change,
  plan: string,
  system: System,
  to: string,
): Promise<Move | null> {
  if (await getText(tx, keys.moveOf(system.id)) !== null) return null;
  const move: Move = {
    v: 1,
    plan,
    system: system.id,
    from: system.node,
    to,
    state: "queued",
    epoch: null,
    seq: null,
    seen: false,
    deadlineAtMs: null,
    reason: "",
  };
  await addLoad(tx, to, 1);
  moves.put(tx, move, plan, system.id);
  tx.put(keys.moveQueued(plan, system.id), EMPTY);
  putText(tx, keys.moveOf(system.id), plan);
  return move;
}

/** Begins a queued move: the target is told to accept the minion's key ahead of its arrival. */
export async function startMove(change: Change, plan: string, id: number): Promise<void> {
  const move = await openMove(change, plan, id, "queued");
  if (move === null) return;
  const system = await systemById(change.tx, id);
  assert(system.minionKey !== null, `a system with a queued move has a client agent (system ${id})`);
  // A system that no node owns yet stays `new` until it settles.
  if (system.state !== "new") {
    enter(
      change,
      { ...system, state: next(systemMachine, system.state, "move", `system ${id}`) },
      "move",
      move,
    );
  }
  await post(change, move.to, {
    kind: "directive.key.accept",
    body: { plan, system: id, minionId: system.minionId, minionKey: system.minionKey },
  });
  change.tx.delete(keys.moveQueued(plan, id));
  change.tx.put(keys.moveActive(plan, id), EMPTY);
  advance(change, { ...move, state: next(moveMachine, move.state, "start", `move of system ${id}`) });
}

/** The target has accepted the key: the client agent is told to switch, with a new epoch (V4). */
export async function prepared(change: Change, plan: string, id: number): Promise<void> {
  const move = await openMove(change, plan, id, "preparing");
  if (move === null) return;
  const system = await systemById(change.tx, id);
  const node = await nodeByFp(change.tx, move.to);
  assert(system.fp !== null, `a system under way has a client agent (system ${id})`);
  const epoch = system.epoch + 1;
  const seq = await post(change, system.fp, {
    kind: "directive.move",
    body: { plan, system: id, node: move.to, master: node.master, masterKey: node.masterKey },
  }, epoch);
  systems.put(change.tx, { ...system, epoch, revision: system.revision + 1 }, id);
  advance(change, {
    ...move,
    epoch,
    seq,
    state: next(moveMachine, move.state, "prepared", `move of system ${id}`),
  });
}

/**
 * The client agent says that the new master answers. Settled at once when the target's database knows it, too, or when
 * the move was given up meanwhile: the system is there, and nobody has told it to go elsewhere since (V4).
 */
export async function arrived(change: Change, plan: string, id: number, epoch: number): Promise<void> {
  const move = await moves.get(change.tx, plan, id);
  if (move === null || move.epoch !== epoch) return;
  if (move.state === "back") return await arrivedLate(change, move);
  if (move.state !== "switching") return;
  const settling = { ...move, state: next(moveMachine, move.state, "arrived", `move of system ${id}`) };
  // A node that had the system not long ago still shows its old profile, and will tell of no new one.
  const isShown = move.seen || await localIdOf(change.tx, "system", move.to, id) !== null;
  if (isShown) await settle(change, settling);
  else advance(change, settling);
}

/** Its place on the target was given back, and is taken again; its plan counts it as `there`. */
async function arrivedLate(change: Change, move: Move): Promise<void> {
  const system = await systemById(change.tx, move.system);
  if (system.epoch !== move.epoch || system.state === "deleted") return;
  await addLoad(change.tx, move.to, 1);
  await own(change, { ...system, reason: "told late that it had arrived" }, move);
  const state = next(moveMachine, move.state, "arrived", `move of system ${system.id}`);
  moves.put(change.tx, { ...move, state, reason: "told late" }, move.plan, move.system);
  await countLate(change, move);
}

async function countLate({ tx }: Change, { plan: id, system }: Move): Promise<void> {
  const plan = await planById(tx, id);
  tx.lock(keys.planOpen(id)); // this and the plan's end meet: after it nobody takes up notes
  if (plan.endedAtMs === null) {
    const note = keys.moveEnded(id, system);
    putText(tx, note, await tx.get(note) === null ? "late" : "there");
  } else {
    plans.put(tx, { ...plan, counts: withEnd(plan.counts, "late"), revision: plan.revision + 1 }, id);
  }
}

/** The counts with one note of `work/ended/`; `late` is a system counted as back that is there after all. */
export function withEnd<C extends Pick<Counts, "there" | "back">>(counts: C, end: string): C {
  if (end === "back") return { ...counts, back: counts.back + 1 };
  return { ...counts, there: counts.there + 1, back: counts.back - (end === "late" ? 1 : 0) };
}

/** The database of `node` shows the system: the last proof that an open move to it waits for. */
export async function seenOn(change: Change, id: number, node: string): Promise<void> {
  const plan = await getText(change.tx, keys.moveOf(id));
  const move = plan === null ? null : await moves.get(change.tx, plan, id);
  if (move === null || move.to !== node || move.seen) return;
  if (move.state === "settling") await settle(change, { ...move, seen: true });
  else moves.put(change.tx, { ...move, seen: true }, move.plan, id);
}

/** The end of a move whose system is there. */
export async function settle(change: Change, move: Move): Promise<void> {
  await own(change, await systemById(change.tx, move.system), move);
  end(change, { ...move, state: next(moveMachine, move.state, "settled", `move of system ${move.system}`) });
}

/** Ownership goes over (V1); the old profile is kept for RETIRE_AFTER_MS, since it is the way back. */
async function own(change: Change, system: System, move: Move): Promise<void> {
  const { tx, nowMs } = change;
  const event = system.state === "new" ? "bind" : "settle";
  if (system.node !== null) {
    tx.delete(keys.onNode(system.node, system.id));
    await addLoad(tx, system.node, -1);
    retires.put(
      tx,
      {
        v: 1,
        node: system.node,
        system: system.id,
        minionId: system.minionId,
        afterMs: nowMs + RETIRE_AFTER_MS,
      },
      system.node,
      system.id,
    );
  }
  // A system that comes back before its old profile was retired keeps that profile.
  retires.delete(tx, move.to, system.id);
  tx.put(keys.onNode(move.to, system.id), EMPTY);
  tx.delete(keys.unplaced(system.id));
  // Bound first: a node that was lost meanwhile makes it an orphan as it does all its systems.
  if (await isAway(change, move.to)) tx.put(keys.sweep(move.to), EMPTY);
  enter(
    change,
    {
      ...system,
      node: move.to,
      state: next(systemMachine, system.state, event, `system ${system.id}`),
    },
    event,
    move,
  );
}

/**
 * Ends a move where it began. False when that cannot be done: the client agent has the directive already, and only
 * its own report tells where it is (`told` says that this is that report).
 */
export async function giveUp(
  change: Change,
  plan: string,
  id: number,
  { reason, told = false }: { reason: string; told?: boolean },
): Promise<boolean> {
  const move = await moves.get(change.tx, plan, id);
  if (move === null || move.state === "there" || move.state === "back") return true;
  if (move.state === "settling") return false;
  const system = await systemById(change.tx, id);
  if (move.state === "switching" && !told) {
    assert(move.seq !== null && system.fp !== null, `a switching move has its directive (system ${id})`);
    if (!await withdraw(change.tx, system.fp, move.seq)) return false;
  }
  if (move.state !== "queued") {
    await post(change, move.to, {
      kind: "directive.key.forget",
      body: { plan, system: id, minionId: system.minionId },
    });
  }
  if (system.state === "moving") await returnSystem(change, system, move, reason);
  if (system.state === "new") { // V5. What was tried and failed is not tried again at once.
    putNumber(change.tx, keys.unplaced(id), move.state === "queued" ? 0 : change.nowMs + PLACE_AGAIN_MS);
  }
  await addLoad(change.tx, move.to, -1);
  end(change, { ...move, reason, state: next(moveMachine, move.state, "give-up", `move of system ${id}`) });
  return true;
}

async function returnSystem(change: Change, system: System, move: Move, reason: string): Promise<void> {
  const event = system.node === null || await isAway(change, system.node) ? "orphan" : "return";
  const state = next(systemMachine, system.state, event, `system ${system.id}`);
  enter(change, { ...system, state, reason }, event, move);
}

/**
 * Lost, gone, or no heartbeat for the grace time (so a lost node that is being drained, too): it serves nobody, and its
 * systems are orphans. Whoever decides by this meets whatever changes it: losing the node, and its next heartbeat, which
 * finds the mark; clocks differ, so no other replica could tell by them that somebody took the node to be away.
 */
export async function isAway({ tx, nowMs }: Pick<Change, "tx" | "nowMs">, fp: string): Promise<boolean> {
  const [node, beat] = [await nodes.get(tx, fp), await beats.get(tx, fp)];
  tx.lock(keys.node(fp));
  if (node !== null && node.state !== "removed" && !isSilent(node, beat, nowMs)) return false;
  tx.lock(keys.beat(fp)); // only now: heartbeats of a living node come all the time
  tx.put(keys.away(fp), EMPTY);
  return true;
}

/** True for a node that is lost, or was not heard of for the grace time. */
export function isSilent({ state }: Node, beat: Beat | null, nowMs: number): boolean {
  return state === "lost" || beat === null || beat.atMs + NODE_GRACE_MS <= nowMs;
}

/** The system's move in state `state`; null when it has gone on, or is none. */
async function openMove(
  { tx }: Change,
  plan: string,
  id: number,
  state: Move["state"],
): Promise<Move | null> {
  const move = await moves.get(tx, plan, id);
  return move?.state === state ? move : null;
}

function enter({ tx, record }: Change, system: System, event: string, move: Move): void {
  systems.put(tx, {
    ...system,
    generation: system.generation + 1,
    revision: system.revision + 1,
  }, system.id);
  record({
    what: `system.${event}`,
    target: `system:${system.id}`,
    why: system.reason || `plan ${move.plan}`,
    detail: { plan: move.plan, from: move.from, to: move.to, epoch: system.epoch },
  });
}

/** Writes the move in its new state. An agent may begin as long as the directive is valid, and then needs its time. */
function advance({ tx, nowMs }: Change, move: Move): void {
  const waitMs = move.state === "switching" ? DIRECTIVE_MS + MOVE_MS_MAX : MOVE_MS_MAX;
  moves.put(tx, { ...move, deadlineAtMs: nowMs + waitMs }, move.plan, move.system);
}

function end({ tx }: Change, move: Move): void {
  moves.put(tx, { ...move, deadlineAtMs: null }, move.plan, move.system);
  tx.delete(keys.moveQueued(move.plan, move.system));
  tx.delete(keys.moveActive(move.plan, move.system));
  tx.delete(keys.moveOf(move.system));
  putText(tx, keys.moveEnded(move.plan, move.system), move.state);
}

/** Changes how many systems are placed on a node; see `keys.load`. */
export async function addLoad(tx: Write, fp: string, by: number): Promise<void> {
  const placed = (await loads.get(tx, fp))?.placed ?? 0;
  assert(placed + by >= 0, `a node's load is never negative (node ${fp})`);
  loads.put(tx, { v: 1, placed: placed + by }, fp);
}
