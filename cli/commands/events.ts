/** `salar events`: what happened, who did it and why. */
import {
  ADMIN_LOOK_BACK_MS,
  ADMIN_SILENT_MS_MAX,
  ADMIN_WATCH_MS,
  EVENTS_LATE_MS_MAX,
  PAGE_LIMIT_MAX,
} from "../../lib/limits.ts";
import { type Command, count, type Group, type Invocation, listing, partsOf } from "../command.ts";
import { subject, text, time } from "../columns.ts";
import { EXIT, exitOf } from "../exit.ts";
import { at, type Json, type JsonObject, listAt, numberAt, textAt } from "../json.ts";
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
 * F1. Each entry once, and none is missed: it is read onward by cursor, and every ADMIN_LOOK_BACK_MS from so far back as
 *     one may have been filed late, by a replica whose clock is behind (EVENTS_LATE_MS_MAX).
 * F2. A server that goes away for a while (ADMIN_SILENT_MS_MAX) does not end it.
 */
async function follow({ world, given, flags }: Invocation): Promise<never> {
  const session = await openSession(world, flags);
  const { query = {} } = await partsOf(session, list.inputs, given);
  const print = flags.json ? jsonLines(session) : tablePrinter(session, COLUMNS);
  const { scope } = world;
  const shown = given["limit"] === undefined ? SHOWN_FOLLOWING : count(String(given["limit"]));
  const seen = new Seen();
  let cursor = await begin(session, query, { shown, seen, print });
  let lookedBackMs = scope.monoMs();
  for (let heardMs = scope.monoMs();;) {
    const isLookingBack = scope.monoMs() - lookedBackMs >= ADMIN_LOOK_BACK_MS;
    try {
      const lookBackMs = isLookingBack ? EVENTS_LATE_MS_MAX : 0;
      for await (const page of onward(session, query, { cursor, lookBackMs })) {
        heardMs = scope.monoMs();
        const items = listAt(page, "items").filter((item) => seen.isNew(item));
        if (items.length > 0) await print(items);
        if (!isLookingBack) cursor = at(page, "next");
      }
      if (isLookingBack) {
        lookedBackMs = scope.monoMs();
        seen.forgetOld();
      }
    } catch (error) {
      if (exitOf(error) !== EXIT.unreachable || scope.monoMs() - heardMs > ADMIN_SILENT_MS_MAX) throw error;
    }
    await scope.sleep(ADMIN_WATCH_MS);
  }
}

/** Prints the last `shown` entries; returns the cursor after them. All that may be met by looking back is seen then. */
async function begin(
  { api }: Session,
  query: JsonObject,
  { shown, seen, print }: { shown: number; seen: Seen; print: (items: Json[]) => Promise<void> },
): Promise<Json> {
  const newest = { ...query, order: "newest" };
  const cursor = at(await api.ask("events.list", { query: { ...newest, limit: 1 } }), "next");
  const last: Json[] = [];
  for await (const { items } of api.pages("events.list", { query: newest })) {
    for (const item of items) if (seen.isNew(item) && last.length < shown) last.unshift(item);
    if (last.length === shown && items.some((item) => seen.isOld(item))) break;
  }
  if (last.length > 0) await print(last);
  return cursor;
}

/** Pages from the cursor to the last entry that there is. */
async function* onward(
  { api }: Session,
  query: JsonObject,
  { cursor, lookBackMs }: { cursor: Json; lookBackMs: number },
): AsyncGenerator<Json> {
  const oldest = { ...query, order: "oldest", limit: PAGE_LIMIT_MAX };
  let from: JsonObject = cursor === null ? {} : { cursor, lookBackMs };
  for (let before = cursor;;) {
    const page = await api.ask("events.list", { query: { ...oldest, ...from } });
    yield page;
    const next = at(page, "next");
    if (next === null || next === before) return;
    from = { cursor: next };
    before = next;
  }
}

/** Which entries were seen, as far back as one may still come late. */
class Seen {
  readonly #atMs = new Map<string, number>();
  #newestMs = 0;

  /** True the first time. */
  isNew(item: Json): boolean {
    const [id, atMs] = [`${textAt(item, "lane")}/${textAt(item, "n")}`, numberAt(item, "atMs")];
    if (this.#atMs.has(id)) return false;
    this.#atMs.set(id, atMs);
    this.#newestMs = Math.max(this.#newestMs, atMs);
    return true;
  }

  isOld(item: Json): boolean {
    return numberAt(item, "atMs") < this.#newestMs - EVENTS_LATE_MS_MAX;
  }

  /** Twice as far as one looks back: that begins at the cursor, which may be older than the newest. */
  forgetOld(): void {
    for (const [id, atMs] of this.#atMs) {
      if (atMs < this.#newestMs - 2 * EVENTS_LATE_MS_MAX) this.#atMs.delete(id);
    }
  }
}

function jsonLines({ world: { stdout } }: Session): (items: Json[]) => Promise<void> {
  return (items) => {
    for (const item of items) stdout.write(JSON.stringify(item) + "\n");
    return Promise.resolve();
  };
}
