/** `salar events`: what happened, who did it and why. */
import { ADMIN_SILENT_MS_MAX, ADMIN_WATCH_MS, PAGE_LIMIT_MAX } from "../../lib/limits.ts";
import { type Command, count, type Group, type Invocation, listing, partsOf } from "../command.ts";
import { subject, text, time } from "../columns.ts";
import { EXIT, exitOf } from "../exit.ts";
import { at, type Json, type JsonObject, listAt } from "../json.ts";
import { nodeFp } from "../names.ts";
import { openSession, type Session, tablePrinter } from "../session.ts";

const COLUMNS = [
  time("WHEN", "atMs"),
  text("WHAT", "what"),
  subject("OF", "target"),
  subject("BY", "who"),
  text("WHY", "why"),
];
const SHOWN = 50;
const SHOWN_FOLLOWING = 10;

const list = listing({
  route: "events.list",
  purpose: "List what happened, newest first; or follow it",
  inputs: [
    { as: "--follow", about: "Go on with what happens from now, oldest first, until Ctrl-C" },
    {
      as: "--target <target>",
      about: "Only of this: node:NAME, system:ID, plan:ID, zone:NAME, token:ID",
      to: "query.target",
      read: async (target, { api }) =>
        target.startsWith("node:") ? `node:${await nodeFp(api, target.slice("node:".length))}` : target,
    },
  ],
  columns: COLUMNS,
  limit: SHOWN,
  byDefault: true,
  examples: ["events", "events --follow", "events --target node:node-1.example --limit 200"],
});

const command: Command = {
  ...list,
  run: (invocation) => invocation.given["follow"] === true ? follow(invocation) : list.run(invocation),
};

export const events: Group = {
  name: "events",
  alias: "event",
  purpose: "The audit: what happened, who did it and why",
  commands: [command],
};

/**
 * The last entries, then whatever comes, until Ctrl-C ends it by `cancelled`.
 *
 * F1. Each entry once: one page, newest first, tells where to begin; from there it is read oldest first, by cursor.
 * F2. A server that goes away for a while (ADMIN_SILENT_MS_MAX) does not end it.
 */
async function follow({ world, given, flags }: Invocation): Promise<never> {
  const session = await openSession(world, flags);
  const { query = {} } = await partsOf(session, list.inputs, given);
  const print = flags.json ? jsonLines(session) : tablePrinter(session, COLUMNS);
  const { scope } = world;
  let cursor = await beginning(
    session,
    query,
    given["limit"] === undefined ? SHOWN_FOLLOWING : count(String(given["limit"])),
  );
  for (let heardMs = scope.monoMs();;) {
    try {
      const page = await session.api.ask("events.list", {
        query: { ...query, order: "oldest", limit: PAGE_LIMIT_MAX, ...(cursor === null ? {} : { cursor }) },
      });
      heardMs = scope.monoMs();
      const items = listAt(page, "items");
      if (items.length > 0) await print(items);
      const next = at(page, "next");
      const isMore = next !== cursor;
      cursor = next;
      if (isMore) continue; // there may be another page of them
    } catch (error) {
      if (exitOf(error) !== EXIT.unreachable || scope.monoMs() - heardMs > ADMIN_SILENT_MS_MAX) throw error;
    }
    await scope.sleep(ADMIN_WATCH_MS);
  }
}

/** F1. The cursor just before the last `shown` entries; null where there are no more than that. */
async function beginning({ api }: Session, query: JsonObject, shown: number): Promise<Json> {
  const limit = Math.min(shown + 1, PAGE_LIMIT_MAX);
  return at(await api.ask("events.list", { query: { ...query, order: "newest", limit } }), "next");
}

function jsonLines({ world: { stdout } }: Session): (items: Json[]) => Promise<void> {
  return (items) => {
    for (const item of items) stdout.write(JSON.stringify(item) + "\n");
    return Promise.resolve();
  };
}
