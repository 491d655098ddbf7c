/**
 * Nodes: pool, list, accept, cordon, uncordon, remove. (Draining is a plan: see `drain.ts`.)
 *
 * N1. Only `accepted` takes systems. A node is removed only when no system is placed on it.
 */
import { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import type { Read } from "../../lib/store/store.ts";
import { change } from "../../lib/cluster/change.ts";
import { enrolNode } from "../../lib/cluster/enrolling.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { enterNodeState } from "../../lib/cluster/node_states.ts";
import { reportedUpTo } from "../../lib/cluster/outbox.ts";
import { EnrolAnswer, EnrolNode, EnrolRequest } from "../../lib/cluster/protocol.ts";
import { beats, loads, nodeByFp, nodes, zoneNamed } from "../../lib/cluster/records.ts";
import { enrolAnswer, openEnrolment } from "../../lib/cluster/statements.ts";
import { Beat, Fp, Node, NodeState, ZoneName } from "../../lib/cluster/types.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route, tagged } from "../../lib/mesh/route.ts";
import { asked, FpParams, pageOf, PageQuery, requireRevision, Why } from "./shapes.ts";

export const NodeView = Node.extend({
  placed: z.int().describe("Systems placed on it, those on their way included"),
  beat: Beat.nullable().describe("Its last heartbeat"),
});
export type NodeView = z.infer<typeof NodeView>;

const enrol = route({
  name: "nodes.enrol",
  method: "POST",
  path: "/v1/enrol/node",
  role: "public", // proves itself: join token and signature
  summary: "Pool a node: its agent brings a join token and proves its key",
  body: EnrolRequest,
  reply: EnrolAnswer,
  async run(context, { body, token }) {
    const { fp, body: enrolment } = openEnrolment(context, body.statement, "enrol.node", EnrolNode);
    const answer = await change(context, { who: `node:${fp}`, token }, async (c) => {
      const node = await enrolNode(c, fp, enrolment);
      return { zone: node.zone, lastSeq: await reportedUpTo(c.tx, fp) };
    });
    return done(enrolAnswer(context, { ...answer, fp, id: null }));
  },
});

const list = route({
  name: "nodes.list",
  method: "GET",
  path: "/v1/nodes",
  role: "viewer",
  summary: "List nodes, of one state or zone if asked",
  query: PageQuery.extend({ cursor: Fp.optional(), state: NodeState.optional(), zone: ZoneName.optional() }),
  reply: pageOf(NodeView),
  async run({ store, scope }, { query }) {
    return done(
      await store.read(scope, async (tx) => {
        const page = await nodes.scan(tx, keys.nodes, {
          limit: query.limit,
          after: query.cursor && keys.node(query.cursor),
        });
        const all = page.map(({ value }) => value);
        const chosen = all.filter((node) =>
          (query.state === undefined ? node.state !== "removed" : node.state === query.state) &&
          (query.zone === undefined || node.zone === query.zone)
        );
        const items = await views(tx, chosen);
        return { items, next: all.length < query.limit ? null : all.at(-1)?.fp ?? null };
      }),
    );
  },
});

const show = route({
  name: "nodes.show",
  method: "GET",
  path: "/v1/nodes/{fp}",
  role: "viewer",
  summary: "Show one node",
  params: FpParams,
  reply: NodeView,
  async run({ store, scope }, { params }) {
    const view = await store.read(scope, async (tx) => viewOf(tx, await nodeByFp(tx, params.fp)));
    return done(tagged(view, String(view.revision)));
  },
});

const update = route({
  name: "nodes.update",
  method: "PATCH",
  path: "/v1/nodes/{fp}",
  role: "operator",
  summary: "Change a node's capacity, weight or zone",
  params: FpParams,
  body: z.object({
    capacity: z.int().min(0).max(1_000_000).optional(),
    weight: z.number().min(0.01).max(100).optional(),
    zone: ZoneName.optional(),
    why: Why,
  }),
  reply: NodeView,
  async run(context, input) {
    const view = await change(context, asked(input), async (c) => {
      const node = await nodeByFp(c.tx, input.params.fp);
      requireRevision(input.ifMatch, node.revision, `node "${node.name}"`);
      if (node.state === "removed") {
        throw new SalarError("conflict", `Cannot change node "${node.name}": it is removed`);
      }
      const { capacity = node.capacity, weight = node.weight, zone = node.zone, why } = input.body;
      if (zone !== node.zone) {
        await zoneNamed(c.tx, zone);
        c.tx.lock(keys.zone(zone));
      }
      const changed = { ...node, capacity, weight, zone, revision: node.revision + 1 };
      nodes.put(c.tx, changed, node.fp);
      c.record({ what: "node.update", target: `node:${node.fp}`, why, detail: { capacity, weight, zone } });
      return await viewOf(c.tx, changed);
    });
    return done(tagged(view, String(view.revision)));
  },
});

/** Accept, cordon and uncordon are one route each, alike but for the event. */
function transition(event: "accept" | "cordon" | "uncordon", summary: string) {
  return route({
    name: `nodes.${event}`,
    method: "POST",
    path: `/v1/nodes/{fp}/${event}`,
    role: "operator",
    summary,
    params: FpParams,
    body: z.object({ why: Why }),
    reply: NodeView,
    async run(context, input) {
      const view = await change(context, asked(input), async (c) => {
        const node = await nodeByFp(c.tx, input.params.fp);
        requireRevision(input.ifMatch, node.revision, `node "${node.name}"`);
        return await viewOf(c.tx, enterNodeState(c, node, event, input.body.why));
      });
      return done(tagged(view, String(view.revision)));
    },
  });
}

const remove = route({
  name: "nodes.remove",
  method: "DELETE",
  path: "/v1/nodes/{fp}",
  role: "admin",
  summary: "Remove a node that holds no system",
  params: FpParams,
  query: z.object({ why: Why }),
  reply: NodeView,
  async run(context, input) {
    const view = await change(context, asked(input), async (c) => {
      const node = await nodeByFp(c.tx, input.params.fp);
      requireRevision(input.ifMatch, node.revision, `node "${node.name}"`);
      const placed = (await loads.get(c.tx, node.fp))?.placed ?? 0;
      if (placed > 0) {
        throw new SalarError(
          "conflict",
          `Cannot remove node "${node.name}": ${placed} system(s) are placed on it; drain it first`,
        );
      }
      c.tx.lock(keys.load(node.fp));
      c.tx.delete(keys.nodeByMachine(node.machineId));
      return await viewOf(c.tx, enterNodeState(c, node, "remove", input.query.why));
    });
    return done(view);
  },
});

export async function viewOf(tx: Read, node: Node): Promise<NodeView> {
  const [load, beat] = [await loads.get(tx, node.fp), await beats.get(tx, node.fp)];
  return { ...node, placed: load?.placed ?? 0, beat };
}

async function views(tx: Read, all: readonly Node[]): Promise<NodeView[]> {
  const at = all.map((node) => [node.fp] as const satisfies [string]);
  const placed = await loads.getMany(tx, at);
  const seen = await beats.getMany(tx, at);
  return all.map((node, index) => ({
    ...node,
    placed: placed[index]?.placed ?? 0,
    beat: seen[index] ?? null,
  }));
}

export const nodeRoutes = [
  enrol,
  list,
  show,
  update,
  transition("accept", "Accept a pooled or staged node: it takes systems from now on"),
  transition("cordon", "Let a node keep its systems but take no more"),
  transition("uncordon", "Let a cordoned or drained node take systems again"),
  remove,
];
