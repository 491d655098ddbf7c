/** Zones: named groups of nodes. A zone can be removed only when no node and no system is in it. */
import { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import { prefixRange, type Read } from "../../lib/store/store.ts";
import { change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { loads, nodes, zoneNamed, zones } from "../../lib/cluster/records.ts";
import { NODE_STATES, Zone, ZoneName } from "../../lib/cluster/types.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route, tagged } from "../../lib/mesh/route.ts";
import { asked, pageOf, PageQuery, requireRevision, Why } from "./shapes.ts";

const ZoneParams = z.object({ zone: ZoneName });
const NewZone = z.object({
  name: ZoneName,
  description: z.string().max(500).default(""),
  fallback: z.boolean().default(true).describe("Placement may use other zones when this one has no room"),
});

const list = route({
  name: "zones.list",
  method: "GET",
  path: "/v1/zones",
  role: "viewer",
  summary: "List zones",
  query: PageQuery,
  reply: pageOf(Zone),
  async run({ store, scope }, { query }) {
    const page = await store.read(scope, (tx) =>
      zones.scan(tx, keys.zones, {
        limit: query.limit,
        after: query.cursor && keys.zone(query.cursor),
      }));
    const items = page.map(({ value }) => value);
    return done({ items, next: items.length < query.limit ? null : items.at(-1)?.name ?? null });
  },
});

const show = route({
  name: "zones.show",
  method: "GET",
  path: "/v1/zones/{zone}",
  role: "viewer",
  summary: "Show one zone",
  params: ZoneParams,
  reply: Zone,
  async run({ store, scope }, { params }) {
    const zone = await store.read(scope, (tx) => zoneNamed(tx, params.zone));
    return done(tagged(zone, String(zone.revision)));
  },
});

const add = route({
  name: "zones.add",
  method: "POST",
  path: "/v1/zones",
  role: "admin",
  summary: "Add a zone",
  body: NewZone,
  reply: Zone,
  status: 201,
  async run(context, input) {
    const zone = await change(context, asked(input), async ({ tx, nowMs, record }) => {
      if (await zones.get(tx, input.body.name) !== null) {
        throw new SalarError("conflict", `Cannot add zone "${input.body.name}": there is one of that name`);
      }
      const zone: Zone = { v: 1, ...input.body, createdAtMs: nowMs, revision: 1 };
      zones.put(tx, zone, zone.name);
      record({ what: "zone.add", target: `zone:${zone.name}`, why: zone.description });
      return zone;
    });
    return done(tagged(zone, String(zone.revision)));
  },
});

const update = route({
  name: "zones.update",
  method: "PATCH",
  path: "/v1/zones/{zone}",
  role: "admin",
  summary: "Change a zone's description or fallback",
  params: ZoneParams,
  body: z.object({
    description: z.string().max(500).optional(),
    fallback: z.boolean().optional(),
  }),
  reply: Zone,
  async run(context, input) {
    const zone = await change(context, asked(input), async ({ tx, record }) => {
      const zone = await zoneNamed(tx, input.params.zone);
      requireRevision(input.ifMatch, zone.revision, `zone "${zone.name}"`);
      const { description = zone.description, fallback = zone.fallback } = input.body;
      const changed: Zone = { ...zone, description, fallback, revision: zone.revision + 1 };
      zones.put(tx, changed, zone.name);
      record({ what: "zone.update", target: `zone:${zone.name}`, why: "", detail: { ...input.body } });
      return changed;
    });
    return done(tagged(zone, String(zone.revision)));
  },
});

const remove = route({
  name: "zones.remove",
  method: "DELETE",
  path: "/v1/zones/{zone}",
  role: "admin",
  summary: "Remove an empty zone",
  params: ZoneParams,
  query: z.object({ why: Why }),
  reply: z.object({ removed: ZoneName }),
  async run(context, input) {
    const name = input.params.zone;
    await change(context, asked(input), async ({ tx, record }) => {
      const zone = await zoneNamed(tx, name);
      requireRevision(input.ifMatch, zone.revision, `zone "${name}"`);
      // Whoever puts a node or a system into a zone locks the zone's key, so neither can slip in meanwhile.
      const stats = await zoneStats(tx, name);
      if (stats.nodes > 0) {
        throw new SalarError(
          "conflict",
          `Cannot remove zone "${name}": it has ${stats.nodes} node(s); remove them first`,
        );
      }
      const systems = await tx.scan(prefixRange(keys.inZonePrefix(name)), { limit: 1 });
      if (systems.length > 0) {
        throw new SalarError("conflict", `Cannot remove zone "${name}": systems were enrolled into it`);
      }
      zones.delete(tx, name);
      record({ what: "zone.remove", target: `zone:${name}`, why: input.query.why });
    });
    return done({ removed: name });
  },
});

const Stats = z.object({
  zone: ZoneName,
  nodes: z.int(),
  nodesByState: z.partialRecord(z.enum(NODE_STATES), z.int()),
  capacity: z.int().describe("Of accepted nodes, in systems"),
  placed: z.int().describe("Systems placed on the zone's nodes"),
});

const stats = route({
  name: "zones.stats",
  method: "GET",
  path: "/v1/zones/{zone}/stats",
  role: "viewer",
  summary: "Count a zone's nodes, capacity and systems",
  params: ZoneParams,
  reply: Stats,
  async run({ store, scope }, { params }) {
    return done(
      await store.read(scope, async (tx) => {
        await zoneNamed(tx, params.zone);
        return await zoneStats(tx, params.zone);
      }),
    );
  },
});

async function zoneStats(tx: Read, zone: string): Promise<z.infer<typeof Stats>> {
  const stats: z.infer<typeof Stats> = { zone, nodes: 0, nodesByState: {}, capacity: 0, placed: 0 };
  for await (const node of nodes.all(tx, keys.nodes)) {
    if (node.zone !== zone || node.state === "removed") continue;
    stats.nodes++;
    stats.nodesByState[node.state] = (stats.nodesByState[node.state] ?? 0) + 1;
    if (node.state === "accepted") stats.capacity += node.capacity;
    stats.placed += (await loads.get(tx, node.fp))?.placed ?? 0;
  }
  return stats;
}

export const zoneRoutes = [list, show, add, update, remove, stats];
