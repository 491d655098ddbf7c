/**
 * A command as a value: its words for people, its inputs, and what it does with them.
 *
 * Most commands are one call of one route; `listing`, `showing` and `changing` make those of the route's name, where
 * each input goes, and what is shown of the answer. `program.ts` makes the command line of them, `completion.ts` the
 * shell's completion.
 */
import { SalarError } from "../lib/errors.ts";
import type { Api, Page, Parts } from "./api.ts";
import type { Column } from "./columns.ts";
import { EXIT, type Exit } from "./exit.ts";
import { type Json, type JsonObject, put, textAt } from "./json.ts";
import { nodeFp, systemId } from "./names.ts";
import type { RouteName } from "./routes.ts";
import {
  type Flags,
  openSession,
  printDetails,
  printJson,
  say,
  type Session,
  tablePrinter,
} from "./session.ts";
import { durationMs } from "./times.ts";
import type { Sink, World } from "./world.ts";

export interface Input {
  /** `<node>` an argument, `[method]` one that may be left out, `[flags...]` all that are left, `--zone <name>` an option, `--yes` a switch. */
  as: string;
  about: string;
  choices?: readonly string[];
  /** An option that must be given. */
  needed?: true;
  /** Where in the request it goes; without it the command itself looks at it. */
  to?: `${"path" | "query" | "body"}.${string}`;
  /** The value that the text stands for. @default the text itself */
  read?: (text: string, session: Session) => Json | Promise<Json>;
}

/** Inputs by name: `<node>` is `node`, `--dry-run` is `dryRun`; `--no-wait` is `wait`, and false. */
export type Given = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

export interface Invocation {
  world: World;
  given: Given;
  flags: Flags;
}

export interface Command {
  name: string;
  /** One line. */
  purpose: string;
  inputs: readonly Input[];
  /** Whole command lines, after `salar`. */
  examples: readonly string[];
  /** Routes that it calls. */
  routes: readonly RouteName[];
  /** The group's name alone means it. */
  byDefault?: true;
  run(invocation: Invocation): Promise<Exit>;
}

export interface Group {
  name: string;
  alias?: string;
  purpose: string;
  commands: readonly Command[];
}

interface Words {
  route: RouteName;
  /** @default the last word of the route's name */
  name?: string;
  purpose: string;
  inputs?: readonly Input[];
  examples: readonly string[];
}

function basics({ route, name = route.split(".").at(-1) ?? route, purpose, inputs = [], examples }: Words) {
  return { name, purpose, inputs, examples, routes: [route] };
}

/** A list, page after page: all of it, or `limit` items unless another limit is given. */
export function listing(
  words: Words & { columns: readonly Column[]; limit?: number; byDefault?: true },
): Command {
  const { route, columns, limit, byDefault } = words;
  const most = limit === undefined ? "all of them without it" : `${limit} without it`;
  const command = basics(words);
  const inputs = [...command.inputs, { as: "--limit <n>", about: `At most so many; ${most}` }];
  return {
    ...command,
    inputs,
    ...(byDefault === undefined ? {} : { byDefault }),
    async run({ world, given, flags }) {
      const session = await openSession(world, flags);
      const max = given["limit"] === undefined ? limit : count(String(given["limit"]));
      await printPages(
        session,
        session.api.pages(route, await partsOf(session, inputs, given), max),
        columns,
      );
      return EXIT.ok;
    },
  };
}

/** One thing and its fields. */
export function showing(words: Words & { columns: readonly Column[] }): Command {
  const command = basics(words);
  return {
    ...command,
    async run({ world, given, flags }) {
      const session = await openSession(world, flags);
      const reply = await session.api.ask(words.route, await partsOf(session, command.inputs, given));
      if (flags.json) printJson(world, reply);
      else await printDetails(session, words.columns, reply);
      return EXIT.ok;
    },
  };
}

interface Changing extends Words {
  /** What is so now, with fields of the answer in braces: `Zone {name} is there`. */
  said: string;
  /** The field that scripts want, alone on standard output: a token. */
  prints?: string;
  /** At least one of these options must be given. */
  oneOf?: readonly string[];
  /** Part of every request's body. */
  fixed?: JsonObject;
}

/** A change, and one line that says what is so now. */
export function changing(words: Changing): Command {
  const command = basics(words);
  const { route, said, prints, oneOf, fixed } = words;
  return {
    ...command,
    async run({ world, given, flags }) {
      if (oneOf?.every((option) => given[keyOf(option)] === undefined)) {
        throw new SalarError("bad-input", `Cannot change anything: give ${oneOf.join(" or ")}`);
      }
      const session = await openSession(world, flags);
      const parts = await partsOf(session, command.inputs, given);
      const body = { ...parts.body, ...fixed };
      const reply = await session.api.ask(route, Object.keys(body).length === 0 ? parts : { ...parts, body });
      if (flags.json) printJson(world, reply);
      else if (prints !== undefined) world.stdout.write(textAt(reply, prints) + "\n");
      say(world, said.replace(/\{([\w.]+)\}/g, (_all, field: string) => textAt(reply, field)));
      return EXIT.ok;
    },
  };
}

/** The parts of a request that the inputs make. @throws {SalarError} `bad-input`, `not-found` */
export async function partsOf(session: Session, inputs: readonly Input[], given: Given): Promise<Parts> {
  const parts: JsonObject = {};
  for (const { as, to, read } of inputs) {
    const value = given[keyOf(as)];
    if (to === undefined || value === undefined || typeof value === "object") continue;
    put(parts, to, typeof value === "string" && read !== undefined ? await read(value, session) : value);
  }
  return parts as Parts; // `to` begins with the name of a part and a dot
}

/** `<node>` → `node`, `--dry-run` → `dryRun`, `--no-wait` → `wait`. */
export function keyOf(as: string): string {
  const name = as.split(" ")[0]?.replace(/^--(no-)?|[<>[\].]/g, "") ?? as;
  return name.replace(/-([a-z])/g, (_all, letter: string) => letter.toUpperCase());
}

/** A table that grows page by page, or one JSON object with all items: a line each, as the API gave them. */
export async function printPages(
  session: Session,
  pages: ReturnType<Api["pages"]>,
  columns: readonly Column[],
): Promise<void> {
  if (session.flags.json) return await printJsonPages(session.world.stdout, pages);
  const printRows = tablePrinter(session, columns);
  for await (const { items } of pages) await printRows(items);
}

async function printJsonPages({ write }: Sink, pages: ReturnType<Api["pages"]>): Promise<void> {
  let head = '{"items": ['; // with the first page: a list that is refused prints nothing
  let printed = 0;
  let end: Page["next"] = null;
  for await (const { items, next } of pages) {
    write(head + items.map((item) => (printed++ === 0 ? "\n" : ",\n") + JSON.stringify(item)).join(""));
    head = "";
    end = next;
  }
  write(`\n], "next": ${JSON.stringify(end)}}\n`);
}

// --- Inputs that several commands share

export const asNode = (text: string, { api }: Session) => nodeFp(api, text);
export const asSystem = (text: string, { api }: Session) => systemId(api, text);
export const asDuration = (text: string) => durationMs(text);
export const asTimeAhead = (text: string, { world }: Session) => world.scope.nowMs() + durationMs(text);

/** @throws {SalarError} `bad-input` */
export function asNumber(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  throw new SalarError("bad-input", `Cannot read "${text}": it is no number`);
}

/** @throws {SalarError} `bad-input` */
export function count(text: string): number {
  const value = asNumber(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new SalarError("bad-input", `Cannot take "${text}" as a limit: say 1 or more`);
}

export const NODE: Input = {
  as: "<node>",
  about: "Name, first part of the name, or 8 or more digits of the fingerprint",
  to: "path.fp",
  read: asNode,
};
export const SYSTEM: Input = {
  as: "<system>",
  about: "Id, minion id or name",
  to: "path.id",
  read: asSystem,
};
export const PLAN: Input = { as: "<plan>", about: "Id of the plan, see `salar plans list`", to: "path.plan" };
export const WHY: Input = { as: "--why <text>", about: "Reason, kept in the audit", to: "body.why" };
/** For removals, which have no body. */
export const WHY_QUERY: Input = { ...WHY, to: "query.why" };
/** How many moves run at once; `at` is where the request has the budget. */
export function budgetInputs(at: "body" | "body.budget"): readonly Input[] {
  const about = "Moves under way at once, to or from any one";
  return [
    { as: "--per-node <n>", about: `${about} node`, to: `${at}.perNode`, read: asNumber },
    { as: "--per-zone <n>", about: `${about} zone`, to: `${at}.perZone`, read: asNumber },
  ];
}
