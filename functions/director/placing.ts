/**
 * Placement against the store: reads nodes, loads and zones once, then answers from memory (`lib/cluster/placement.ts`).
 *
 * The tick gives every system that no node owns a place, as one plan per batch; a system for which there is none stays in
 * the index, with the reason in its record, and is tried again. Those that wait hold up nobody behind them.
 */
import { MOVES_BATCH_MAX } from "../../lib/limits.ts";
import { prefixRange, type Read } from "../../lib/store/store.ts";
import { type Change, change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { queueMove } from "../../lib/cluster/moving.ts";
import { type Placement, placer } from "../../lib/cluster/placement.ts";
import { toText } from "../../lib/store/record.ts";
import { loads, nodes, systems, zones } from "../../lib/cluster/records.ts";
import { Budget, type Node, type System, type Zone } from "../../lib/cluster/types.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { done, type Tick } from "../../lib/mesh/handler.ts";
import { putNewPlan } from "./plan_records.ts";

export interface ClusterPlacer {
  nodes: Map<string, Node>;
  place(system: System): Placement;
}

/** A placer over the cluster as the transaction sees it. Systems of `leaving` nodes are placed elsewhere. */
export async function readPlacer(
  tx: Read,
  { leaving = [] }: { leaving?: readonly string[] } = {},
): Promise<ClusterPlacer> {
  const all: Node[] = [];
  for await (const node of nodes.all(tx, keys.nodes)) if (node.state !== "removed") all.push(node);
  const placed = await loads.getMany(tx, all.map(({ fp }) => [fp] as [string]));
  const known: Zone[] = [];
  for await (const zone of zones.all(tx, keys.zones)) known.push(zone);
  const confined = known.filter(({ fallback }) => !fallback).map(({ name }) => name);

  const inner = placer(
    all.map(({ fp, zone, weight, capacity, state }, index) => ({
      fp,
      zone,
      weight,
      capacity,
      load: placed[index]?.placed ?? 0,
      accepting: state === "accepted",
    })),
    { leaving, confined, zones: known.map(({ name }) => name) },
  );
  return {
    nodes: new Map(all.map((node) => [node.fp, node])),
    place: (system) => inner.place(system),
  };
}

export const placeTick: Tick = {
  name: "place",
  everyMs: 1_000,
  async run(context) {
    // Nothing to place is the common case, and a read costs no lock.
    const waiting = await context.store.read(context.scope, (tx) => unplaced(tx, null));
    if (waiting.length === 0) return done();
    let after: number | null = null;
    do after = await placeBatch(context, after); while (after !== null); // bounded by the index
    return done();
  },
};

/** Places the systems of one page; gives the id to go on after, null at the end. */
async function placeBatch(context: Context, after: number | null): Promise<number | null> {
  const { queued, refused, last } = await change(context, { who: "function:director" }, async (c) => {
    const page = await unplaced(c.tx, after);
    const last = page.length < MOVES_BATCH_MAX ? null : page.at(-1)?.id ?? null;
    const due = page.filter(({ notBeforeMs }) => notBeforeMs <= c.nowMs);
    const waiting = await systems.getMany(c.tx, due.map(({ id }) => [id] as [number]));
    const cluster = await readPlacer(c.tx);
    const moves: { system: System; to: string }[] = [];
    let refused = 0;
    for (const system of waiting) {
      if (system === null || system.state !== "new") continue;
      const placement = cluster.place(system);
      if (placement.ok) moves.push({ system, to: placement.node });
      else refused += noteRefusal(c, system, placement.message);
    }
    if (moves.length === 0) return { queued: 0, refused, last };
    const plan = putNewPlan(c, {
      kind: "move",
      node: null,
      state: "running",
      total: moves.length,
      budget: Budget.parse({}),
      deadlineAtMs: null,
      reason: "placing new systems",
    });
    for (const { system, to } of moves) {
      await queueMove(c, plan.id, system, to);
      c.tx.delete(keys.unplaced(system.id));
    }
    return { queued: moves.length, refused, last };
  });
  if (queued + refused > 0) context.log.info("new systems placed", { queued, refused });
  return last;
}

/** Counts and writes only what is news, or every pass would rewrite every waiting system. */
function noteRefusal({ tx }: Change, system: System, message: string): 0 | 1 {
  if (system.reason === message) return 0;
  systems.put(tx, { ...system, reason: message, revision: system.revision + 1 }, system.id);
  return 1;
}

async function unplaced(tx: Read, after: number | null): Promise<{ id: number; notBeforeMs: number }[]> {
  const page = await tx.scan(prefixRange(keys.unplacedAll), {
    limit: MOVES_BATCH_MAX,
    after: after === null ? undefined : keys.unplaced(after),
  });
  return page.map(({ key, value }) => ({
    id: Number(key.slice(keys.unplacedAll.length)),
    notBeforeMs: Number(toText(value)),
  }));
}
