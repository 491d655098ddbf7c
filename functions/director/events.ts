/**
 * Events: the audit of all replicas by time, newest first, or onward from a cursor to follow.
 *
 * V1. The time is that of the replica when its transaction began, so an event may be filed behind newer ones, by
 *     EVENTS_LATE_MS_MAX at most. Who follows and must miss none looks back so far now and then, and knows by lane and
 *     number what it has seen already. (One order for all would be one key for all.)
 */
import { z } from "zod";
import { prefixRange } from "../../lib/store/store.ts";
import { EVENTS_LATE_MS_MAX } from "../../lib/limits.ts";
import { eventTimeText, keys } from "../../lib/cluster/keys.ts";
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
    lookBackMs: z.coerce.number().int().min(0).max(EVENTS_LATE_MS_MAX).default(0)
      .describe(
        "Oldest first: begin so much before the cursor, for events that were filed late; `lane` and `n` tell which are new",
      ),
    target: z.string().max(200).optional().describe("Only of this target, such as node:<fp>"),
  }),
  reply: pageOf(AuditEntry),
  async run({ store, scope }, { query }) {
    return done(
      await store.read(scope, async (tx) => {
        const page = await tx.scan(prefixRange(keys.events), {
          limit: query.limit,
          reverse: query.order === "newest",
          after: query.cursor && keys.events + lookedBack(query.cursor, query),
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

/** V1. A cursor is the place of an event, which begins with its time (`keys.event`). */
function lookedBack(cursor: string, { order, lookBackMs }: { order: string; lookBackMs: number }): string {
  const atMs = Number(cursor.split("/", 1)[0]);
  if (order === "newest" || lookBackMs === 0 || !Number.isSafeInteger(atMs)) return cursor;
  return eventTimeText(Math.max(0, atMs - lookBackMs));
}

export const eventRoutes = [list];
