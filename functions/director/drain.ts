/**
 * Draining a node: a preview that writes nothing, and a plan whose moves a tick finds batch by batch.
 *
 * D1. The preview and the plan decide by the same code; the preview tells what would be planned now.
 * D2. A system that another move takes somewhere already is left to that one, and counted as stuck.
 * D3. A batch plans its moves, takes their places and moves the cursor in one transaction: after a crash the next pass
 *     goes on where the last commit was.
 */
import { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import { MOVES_BATCH_MAX, PREVIEW_MOVES_MAX } from "../../lib/limits.ts";
import { entries, toText } from "../../lib/store/record.ts";
import { prefixRange, type Read } from "../../lib/store/store.ts";
import { change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { next, nodeMachine } from "../../lib/cluster/machines.ts";
import { queueMove } from "../../lib/cluster/moving.ts";
import { enterNodeState } from "../../lib/cluster/node_states.ts";
import { nodeByFp, plans, systems } from "../../lib/cluster/records.ts";
import { Budget, ClusterId, Fp, Plan, type System, TimeMs } from "../../lib/cluster/types.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route } from "../../lib/mesh/route.ts";
import { type ClusterPlacer, readPlacer } from "./placing.ts";
import { enterPlanState, putNewPlan, putPlan } from "./plan_records.ts";
import { asked, FpParams, requireRevision, Why } from "./shapes.ts";

export const DrainPreview = z.object({
  node: Fp,
  total: z.int(),
  /** How many systems each target would take. */
  targets: z.array(z.object({ node: Fp, name: z.string(), zone: z.string(), systems: z.int() })),
  /** Systems that cannot move, and why; the first PREVIEW_MOVES_MAX. */
  stuck: z.array(z.object({ system: ClusterId, name: z.string(), reason: z.string() })),
  stuckTotal: z.int(),
  /** The first PREVIEW_MOVES_MAX moves. */
  moves: z.array(z.object({ system: ClusterId, name: z.string(), to: Fp })),
});

const DrainBody = z.object({
  dryRun: z.boolean().default(false).describe("Tell what would move where, and change nothing"),
  budget: Budget.prefault({}),
  deadlineAtMs: TimeMs.nullable().default(null).describe("No move begins after this"),
  why: Why,
});

const drain = route({
  name: "nodes.drain",
  method: "POST",
  path: "/v1/nodes/{fp}/drain",
  role: "operator",
  summary: "Move every system off a node; of a lost node: recover its systems elsewhere",
  params: FpParams,
  body: DrainBody,
  reply: z.object({ plan: Plan.nullable(), preview: DrainPreview.nullable() }),
  status: 202,
  async run(context, input) {
    const { fp } = input.params;
    const { dryRun, budget, deadlineAtMs, why } = input.body;
    if (dryRun) return done({ plan: null, preview: await preview(context, fp) });
    const plan = await change(context, asked(input), async (c) => {
      const node = await nodeByFp(c.tx, fp);
      requireRevision(input.ifMatch, node.revision, `node "${node.name}"`);
      await refuseSecondDrain(c.tx, fp);
      enterNodeState(c, node, "drain", why);
      return putNewPlan(c, {
        kind: "drain",
        node: fp,
        state: "planning",
        total: 0,
        budget,
        deadlineAtMs,
        reason: why,
      });
    });
    return done({ plan, preview: null });
  },
});

const undrain = route({
  name: "nodes.undrain",
  method: "POST",
  path: "/v1/nodes/{fp}/undrain",
  role: "operator",
  summary: "Stop draining a node: it keeps what it has, cordoned",
  params: FpParams,
  body: z.object({ why: Why }),
  reply: z.object({ state: z.string(), cancelled: z.array(z.string()) }),
  async run(context, input) {
    const reply = await change(context, asked(input), async (c) => {
      const node = await nodeByFp(c.tx, input.params.fp);
      const state = enterNodeState(c, node, "undrain", input.body.why).state;
      const open = (await openPlans(c.tx)).filter((plan) =>
        plan.node === node.fp && plan.state !== "cancelling"
      );
      for (const plan of open) enterPlanState(c, plan, "cancel", input.body.why);
      return { state, cancelled: open.map(({ id }) => id) };
    });
    return done(reply);
  },
});

async function refuseSecondDrain(tx: Read, fp: string): Promise<void> {
  const open = (await openPlans(tx)).find((plan) => plan.node === fp);
  if (open === undefined) return;
  throw new SalarError(
    "conflict",
    `Cannot drain node: plan "${open.id}" is doing so; watch, resume or cancel that one`,
    {
      detail: { plan: open.id },
    },
  );
}

/** Plans that are not at their end, oldest first. */
export async function openPlans(tx: Read): Promise<Plan[]> {
  const index = await Array.fromAsync(entries(tx, keys.plansOpen));
  const open = await plans.getMany(
    tx,
    index.map(({ key }) => [key.slice(keys.plansOpen.length)] as [string]),
  );
  return open.filter((plan) => plan !== null);
}

async function preview({ store, scope }: Context, fp: string): Promise<z.infer<typeof DrainPreview>> {
  return await store.read(scope, async (tx) => {
    const node = await nodeByFp(tx, fp);
    next(nodeMachine, node.state, "drain", `node "${node.name}"`); // what cannot begin has no preview
    const cluster = await readPlacer(tx, { leaving: [fp] });
    const result: z.infer<typeof DrainPreview> = {
      node: fp,
      total: 0,
      targets: [],
      stuck: [],
      stuckTotal: 0,
      moves: [],
    };
    const counts = new Map<string, number>();
    let cursor: number | null = null;
    do { // bounded by the systems of one node
      const batch: Batch = await batchOn(tx, fp, cursor);
      for (const { system, plan } of batch.systems) {
        result.total++;
        const where = target(cluster, system, plan);
        if (typeof where !== "string") {
          result.stuckTotal++;
          if (result.stuck.length < PREVIEW_MOVES_MAX) {
            result.stuck.push({ system: system.id, name: system.name, reason: where.reason });
          }
          continue;
        }
        counts.set(where, (counts.get(where) ?? 0) + 1);
        if (result.moves.length < PREVIEW_MOVES_MAX) {
          result.moves.push({ system: system.id, name: system.name, to: where });
        }
      }
      cursor = batch.next;
    } while (cursor !== null);
    for (const [node, systems] of counts) {
      const { name = node, zone = "" } = cluster.nodes.get(node) ?? {};
      result.targets.push({ node, name, zone, systems });
    }
    result.targets.sort((x, y) => y.systems - x.systems || (x.node < y.node ? -1 : 1));
    return result;
  });
}

/** Plans one batch of a drain's moves; true when there is more to plan. */
export async function planBatch(context: Context, planId: string): Promise<boolean> {
  return await change(context, { who: "function:director" }, async (c) => {
    const plan = await plans.get(c.tx, planId);
    if (plan === null || plan.state !== "planning" || plan.node === null) return false;
    const cluster = await readPlacer(c.tx, { leaving: [plan.node] });
    const batch = await batchOn(c.tx, plan.node, plan.cursor);
    const counts = { ...plan.counts };
    for (const { system, plan: other } of batch.systems) {
      const where = target(cluster, system, other);
      counts.total++;
      if (typeof where !== "string") counts.stuck++;
      else if (await queueMove(c, plan.id, system, where)) counts.queued++;
    }
    if (batch.next !== null) {
      putPlan(c, { ...plan, counts, cursor: batch.next });
      return true;
    }
    enterPlanState(c, { ...plan, counts, cursor: null }, "planned", plan.reason);
    return false;
  });
}

/** Where a system of a leaving node goes, or why it cannot; `plan` moves it already (D2). */
function target(cluster: ClusterPlacer, system: System, plan: string | null): string | { reason: string } {
  if (plan !== null) return { reason: `plan ${plan} is moving it already` };
  if (system.fp === null) return { reason: "no client agent: install one, or move it by hand" };
  const placement = cluster.place(system);
  return placement.ok ? placement.node : { reason: placement.message };
}

export interface Batch {
  /** Each with the plan of its open move. */
  systems: { system: System; plan: string | null }[];
  /** The cursor for the next batch; null at the end. */
  next: number | null;
}

export async function batchOn(tx: Read, fp: string, cursor: number | null): Promise<Batch> {
  const page = await tx.scan(prefixRange(keys.onNodePrefix(fp)), {
    limit: MOVES_BATCH_MAX,
    after: cursor === null ? undefined : keys.onNode(fp, cursor),
  });
  const ids = page.map(({ key }) => Number(key.slice(keys.onNodePrefix(fp).length)));
  const found = await systems.getMany(tx, ids.map((id) => [id] as [number]));
  const open = await tx.getMany(ids.map((id) => keys.moveOf(id)));
  return {
    systems: found.flatMap((system, index) => {
      const plan = open[index] ?? null;
      return system === null ? [] : [{ system, plan: plan === null ? null : toText(plan) }];
    }),
    next: page.length < MOVES_BATCH_MAX ? null : ids.at(-1) ?? null,
  };
}

export const drainRoutes = [drain, undrain];
