/** Systems: list, search, show, pin to a node, move to a node. */
import { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import { SEARCH_SCAN_MAX } from "../../lib/limits.ts";
import { prefixRange, type Read } from "../../lib/store/store.ts";
import { change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { queueMove } from "../../lib/cluster/moving.ts";
import { getText, moves, nodes, systemBeats, systemById, systems } from "../../lib/cluster/records.ts";
import {
  Budget,
  ClusterId,
  Fp,
  Move,
  Plan,
  System,
  SystemBeatRecord,
  SystemState,
  ZoneName,
} from "../../lib/cluster/types.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route, tagged } from "../../lib/mesh/route.ts";
import { readPlacer } from "./placing.ts";
import { putNewPlan } from "./plan_records.ts";
import { asked, IdCursor, pageOf, PageQuery, requireRevision, Why } from "./shapes.ts";

const SystemParams = z.object({ id: z.coerce.number().pipe(ClusterId) });

const list = route({
  name: "systems.list",
  method: "GET",
  path: "/v1/systems",
  role: "viewer",
  summary: "List systems, or search them by name, minion id, machine-id or id",
  query: PageQuery.extend({
    cursor: IdCursor,
    q: z.string().min(1).max(253).optional().describe("Part of name, minion id, machine-id or id"),
    node: Fp.optional(),
    zone: ZoneName.optional(),
    state: SystemState.optional(),
  }),
  reply: pageOf(System),
  async run({ store, scope }, { query }) {
    const needle = query.q?.toLowerCase();
    const wanted = (system: System) =>
      (query.zone === undefined || system.zone === query.zone) &&
      (query.state === undefined || system.state === query.state) &&
      (needle === undefined ||
        [system.name, system.minionId, system.machineId, String(system.id)].some((text) =>
          text.toLowerCase().includes(needle)
        ));
    return done(
      await store.read(scope, async (tx) => {
        const items: System[] = [];
        let cursor = query.cursor ?? null;
        // A rare match must not scan the whole cluster for one page: after SEARCH_SCAN_MAX the caller asks on.
        for (let scanned = 0; scanned < SEARCH_SCAN_MAX;) {
          const page = await pageAfter(tx, query.node, cursor, query.limit);
          scanned += page.length;
          for (const system of page) {
            cursor = system.id;
            if (wanted(system) && items.push(system) === query.limit) break;
          }
          if (items.length === query.limit) return { items, next: String(cursor) };
          if (page.length < query.limit) return { items, next: null };
        }
        return { items, next: String(cursor) };
      }),
    );
  },
});

/** The systems after `cursor`, of one node (by its index) or of all. */
async function pageAfter(
  tx: Read,
  node: string | undefined,
  cursor: number | null,
  limit: number,
): Promise<System[]> {
  if (node === undefined) {
    const after = cursor === null ? undefined : keys.system(cursor);
    return (await systems.scan(tx, keys.systems, { limit, after })).map(({ value }) => value);
  }
  const prefix = keys.onNodePrefix(node);
  const after = cursor === null ? undefined : keys.onNode(node, cursor);
  const page = await tx.scan(prefixRange(prefix), { limit, after });
  const found = await systems.getMany(
    tx,
    page.map(({ key }) => [Number(key.slice(prefix.length))] as [number]),
  );
  return found.filter((system) => system !== null);
}

export const SystemView = System.extend({
  beat: SystemBeatRecord.nullable().describe("Last sign of life of its client agent"),
  move: Move.nullable().describe("The move under way"),
});

const show = route({
  name: "systems.show",
  method: "GET",
  path: "/v1/systems/{id}",
  role: "viewer",
  summary: "Show one system",
  params: SystemParams,
  reply: SystemView,
  async run({ store, scope }, { params }) {
    const view = await store.read(scope, async (tx) => {
      const system = await systemById(tx, params.id);
      const plan = await getText(tx, keys.moveOf(system.id));
      return {
        ...system,
        beat: await systemBeats.get(tx, system.id),
        move: plan === null ? null : await moves.get(tx, plan, system.id),
      };
    });
    return done(tagged(view, String(view.revision)));
  },
});

const pin = route({
  name: "systems.pin",
  method: "PUT",
  path: "/v1/systems/{id}/pin",
  role: "operator",
  summary: "Pin a system to a node (null: unpin); placement then uses no other. It does not move by this",
  params: SystemParams,
  body: z.object({ node: Fp.nullable(), why: Why }),
  reply: System,
  async run(context, input) {
    const { node, why } = input.body;
    const system = await change(context, asked(input), async ({ tx, record }) => {
      const system = await systemById(tx, input.params.id);
      requireRevision(input.ifMatch, system.revision, `system ${system.id}`);
      if (node !== null) {
        await requireThere(tx, node, "body.node");
        tx.lock(keys.node(node)); // against its removal meanwhile
      }
      const changed = { ...system, pin: node, revision: system.revision + 1 };
      systems.put(tx, changed, system.id);
      record({ what: "system.pin", target: `system:${system.id}`, why, detail: { node } });
      return changed;
    });
    return done(tagged(system, String(system.revision)));
  },
});

const move = route({
  name: "systems.move",
  method: "POST",
  path: "/v1/systems/{id}/move",
  role: "operator",
  summary: "Move one system to a node, or to where placement says when none is named",
  params: SystemParams,
  body: z.object({
    to: Fp.nullable().default(null),
    dryRun: z.boolean().default(false).describe("Tell where it would go, and change nothing"),
    why: Why,
  }),
  reply: z.object({ plan: Plan.nullable(), to: Fp }),
  status: 202,
  async run(context, input) {
    const { id } = input.params;
    const { dryRun, why } = input.body;
    if (dryRun) {
      const to = await context.store.read(context.scope, (tx) => targetOf(tx, id, input.body.to));
      return done({ plan: null, to });
    }
    const reply = await change(context, asked(input), async (c) => {
      const system = await systemById(c.tx, id);
      requireRevision(input.ifMatch, system.revision, `system ${id}`);
      const to = await targetOf(c.tx, id, input.body.to);
      const plan = putNewPlan(c, {
        kind: "move",
        node: null,
        state: "running",
        total: 1,
        budget: Budget.parse({}),
        deadlineAtMs: null,
        reason: why,
      });
      if (await queueMove(c, plan.id, system, to) === null) {
        throw new SalarError("conflict", `Cannot move system ${id}: it is being moved already`, {
          detail: { plan: await getText(c.tx, keys.moveOf(id)) },
        });
      }
      c.tx.delete(keys.unplaced(id));
      return { plan, to };
    });
    return done(reply);
  },
});

/** @throws {SalarError} `conflict` or `no-placement`, saying why not */
async function targetOf(tx: Read, id: number, wanted: string | null): Promise<string> {
  const system = await systemById(tx, id);
  if (system.fp === null) {
    throw new SalarError("conflict", `Cannot move system ${id}: it has no client agent; install one first`);
  }
  if (system.state === "deleted") throw new SalarError("conflict", `Cannot move system ${id}: it is deleted`);
  if (wanted !== null) await requireThere(tx, wanted, "body.to");
  const cluster = await readPlacer(tx, { leaving: system.node === null ? [] : [system.node] });
  const placement = cluster.place({ ...system, pin: wanted ?? system.pin });
  if (!placement.ok) throw new SalarError("no-placement", `Cannot move system ${id}: ${placement.message}`);
  return placement.node;
}

/** @throws {SalarError} `not-found`, or `no-placement` for a node that is gone or lost; both name the field */
async function requireThere(tx: Read, fp: string, field: string): Promise<void> {
  const node = await nodes.get(tx, fp);
  if (node !== null && node.state !== "removed" && node.state !== "lost") return;
  const reason = node === null ? `there is no node "${fp}"` : `node "${node.name}" is ${node.state}`;
  const code = node === null ? "not-found" : "no-placement";
  throw new SalarError(code, `Cannot use node: ${reason}`, { detail: { problems: [{ field, reason }] } });
}

export const systemRoutes = [list, show, pin, move];
