/** Events: the audit of all replicas by time, newest first, or onward from a cursor to follow. */
import { z } from "zod";
import { prefixRange } from "../../lib/store/store.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { audits } from "../../lib/cluster/records.ts";
import { AuditEntry } from "../../lib/cluster/types.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route } from "../../lib/mesh/route.ts";
import { pageOf, PageQuery } from "./shapes.ts";

const list = route({
  name: "events.list",
  method: "GET",
  path: "/v1/events",
  role: "viewer",
  summary: "List what happened: newest first, or oldest first from a cursor on",
  query: PageQuery.extend({
    order: z.enum(["newest", "oldest"]).default("newest"),
    target: z.string().max(200).optional().describe("Only of this target, such as node:<fp>"),
  }),
  reply: pageOf(AuditEntry),
  async run({ store, scope }, { query }) {
    return done(
      await store.read(scope, async (tx) => {
        const page = await tx.scan(prefixRange(keys.events), {
          limit: query.limit,
          reverse: query.order === "newest",
          after: query.cursor && keys.events + query.cursor,
        });
        const at = page.map(({ key }) => {
          const [, , lane = "", n = ""] = key.split("/");
          return [lane, Number(n)] as [string, number];
        });
        const entries = (await audits.getMany(tx, at)).filter((entry) => entry !== null);
        const items = query.target === undefined
          ? entries
          : entries.filter(({ target }) => target === query.target);
        const last = page.at(-1)?.key.slice(keys.events.length) ?? null;
        // Whoever follows goes on from the last entry, so an oldest-first page always tells where it ended.
        const next = query.order === "newest" && page.length < query.limit
          ? null
          : last ?? query.cursor ?? null;
        return { items, next };
      }),
    );
  },
});

export const eventRoutes = [list];
