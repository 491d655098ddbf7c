/**
 * Removing a dead node by force, with all that is left on it: an administrator's word that it never comes back.
 *
 * R1. Only a node that is silent: one that was heard of within the grace time is drained and removed instead.
 * R2. The node is removed at once, so that it can neither return nor take anybody; its systems leave it by the sweep
 *     (`watching.ts`), each with its audit entry. Who is moving ends the move first.
 * R3. A system without a client agent was known from the node's database only, so it is forgotten: `deleted`. One with
 *     an agent is `new` again, and placed where there is room; its agent is told as soon as it asks.
 */
import { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import { PREVIEW_MOVES_MAX } from "../../lib/limits.ts";
import { EMPTY } from "../../lib/store/record.ts";
import type { Read } from "../../lib/store/store.ts";
import { type Change, change } from "../../lib/cluster/change.ts";
import { takeAway } from "../../lib/cluster/enrolling.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { next, nodeMachine, systemMachine } from "../../lib/cluster/machines.ts";
import { addLoad, isSilent } from "../../lib/cluster/moving.ts";
import { enterNodeState } from "../../lib/cluster/node_states.ts";
import { beats, loads, nodeByFp, systems } from "../../lib/cluster/records.ts";
import { ClusterId, type Node, type System } from "../../lib/cluster/types.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route } from "../../lib/mesh/route.ts";
import { batchOn } from "./drain.ts";
import { NodeView, viewOf } from "./nodes.ts";
import { asked, FpParams, requireRevision, Why } from "./shapes.ts";

export const ForcePreview = z.object({
  forgotten: z.int().describe("Systems without a client agent: the cluster forgets them"),
  named: z.array(z.object({ system: ClusterId, name: z.string() })).describe("The first of those forgotten"),
  placedAnew: z.int().describe("Systems with a client agent: they are placed on other nodes"),
  moving: z.int().describe("Systems on their way from it or to it: their moves end first"),
});

export const forceRemove = route({
  name: "nodes.forceRemove",
  method: "POST",
  path: "/v1/nodes/{fp}/force-remove",
  role: "admin",
  summary:
    "Remove a dead node with what is left on it: systems without an agent are forgotten, others placed anew",
  params: FpParams,
  body: z.object({
    dryRun: z.boolean().default(false).describe("Tell what would be forgotten, and change nothing"),
    why: Why,
  }),
  reply: z.object({ node: NodeView, preview: ForcePreview.nullable() }),
  async run(context, input) {
    const { fp } = input.params;
    const { dryRun, why } = input.body;
    if (dryRun) {
      const { store, scope } = context;
      return done(
        await store.read(scope, async (tx) => {
          const node = await deadNode(tx, fp, scope.nowMs());
          return { node: await viewOf(tx, node), preview: await preview(tx, fp) };
        }),
      );
    }
    const node = await change(context, asked(input), async (c) => {
      const node = await deadNode(c.tx, fp, c.nowMs);
      c.tx.lock(keys.beat(fp)); // R1: a heartbeat that comes in meanwhile must win
      requireRevision(input.ifMatch, node.revision, `node "${node.name}"`);
      c.tx.delete(keys.nodeByMachine(node.machineId));
      c.tx.put(keys.sweep(fp), EMPTY);
      return await viewOf(c.tx, enterNodeState(c, node, "force-remove", why));
    });
    return done({ node, preview: null });
  },
});

/** R1. @throws {SalarError} `not-found`, `conflict` */
async function deadNode(tx: Read, fp: string, nowMs: number): Promise<Node> {
  const [node, beat] = [await nodeByFp(tx, fp), await beats.get(tx, fp)];
  if (beat !== null && !isSilent(node, beat, nowMs)) {
    const agoS = Math.max(0, Math.round((nowMs - beat.atMs) / 1_000));
    throw new SalarError(
      "conflict",
      `Cannot force-remove node "${node.name}": it was heard of ${agoS} s ago; drain it, then remove it`,
    );
  }
  next(nodeMachine, node.state, "force-remove", `node "${node.name}"`);
  return node;
}

async function preview(tx: Read, fp: string): Promise<z.infer<typeof ForcePreview>> {
  const found: z.infer<typeof ForcePreview> = { forgotten: 0, named: [], placedAnew: 0, moving: 0 };
  let cursor: number | null = null;
  let owned = 0;
  do { // bounded by the systems of one node
    const batch = await batchOn(tx, fp, cursor);
    for (const { system, plan } of batch.systems) {
      owned++;
      if (plan !== null) found.moving++;
      else if (system.fp !== null) found.placedAnew++;
      else if (found.forgotten++ < PREVIEW_MOVES_MAX) {
        found.named.push({ system: system.id, name: system.name });
      }
    }
    cursor = batch.next;
  } while (cursor !== null);
  found.moving += ((await loads.get(tx, fp))?.placed ?? 0) - owned; // those that come
  return found;
}

/** Takes a system off a node that was removed (R3); one that is moving is left to its move. */
export async function leave(c: Change, node: Node, system: System): Promise<void> {
  const { tx, record } = c;
  tx.lock(keys.moveOf(system.id)); // a move that is planned meanwhile
  if (await tx.get(keys.moveOf(system.id)) !== null) return;
  const why = `its node "${node.name}" was removed${node.reason === "" ? "" : `: ${node.reason}`}`;
  const event = system.fp === null ? "delete" : "release";
  if (event === "delete") await takeAway(c, system);
  else {
    tx.delete(keys.onNode(node.fp, system.id));
    await addLoad(tx, node.fp, -1);
    tx.put(keys.unplaced(system.id), EMPTY);
  }
  systems.put(
    tx,
    {
      ...system,
      state: next(systemMachine, system.state, event, `system ${system.id}`),
      node: null,
      pin: system.pin === node.fp ? null : system.pin,
      generation: system.generation + 1,
      revision: system.revision + 1,
      reason: why,
    },
    system.id,
  );
  record({ what: `system.${event}`, target: `system:${system.id}`, why, detail: { node: node.fp } });
}
