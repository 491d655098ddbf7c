/**
 * `salar nodes remove`: a node that holds no system; with `--force` a dead one, together with what is left on it.
 *
 * R1. By force nothing is changed before somebody has seen what would be forgotten and typed the node's name, or `--yes`
 *     said so before. Where nobody can be asked, it refuses at once.
 */
import { SalarError } from "../lib/errors.ts";
import { number, text } from "./columns.ts";
import { type Command, type Given, type Input, NODE, partsOf, WHY } from "./command.ts";
import { EXIT, type Exit } from "./exit.ts";
import { at, type Json, listAt, numberAt, textAt } from "./json.ts";
import { mayAsk, openSession, printJson, say, type Session, tablePrinter } from "./session.ts";
import type { Sink, World } from "./world.ts";

const { to: _both, ...REASON } = WHY; // part of the query or of the body
const INPUTS: readonly Input[] = [
  NODE,
  { as: "--force", about: "Remove a dead node, which never comes back, with the systems left on it" },
  { as: "--yes", about: "With --force: do not ask" },
  { as: "--dry-run", about: "With --force: only show what would be forgotten" },
  REASON,
];

export const remove: Command = {
  name: "remove",
  purpose: "Remove a node that holds no system; with --force a dead one, and what is left on it",
  inputs: INPUTS,
  examples: [
    'nodes remove node-2.example --why "out of service"',
    "nodes remove node-3.example --force --dry-run",
    'nodes remove node-3.example --force --why "burnt down"',
  ],
  routes: ["nodes.remove", "nodes.forceRemove"],
  async run({ world, given, flags }) {
    const { force = false, yes = false, dryRun = false } = given;
    if (!force && (yes || dryRun)) {
      throw new SalarError("bad-input", "Cannot remove: --yes and --dry-run go with --force");
    }
    if (force && !yes && !dryRun && !mayAsk(world)) { // R1
      throw new SalarError(
        "bad-input",
        "Cannot ask whether to remove: this is no terminal; give --yes or --dry-run",
      );
    }
    const session = await openSession(world, flags);
    const { path = {} } = await partsOf(session, INPUTS, given);
    const why = typeof given["why"] === "string" ? { why: given["why"] } : {};
    if (force) return await byForce(session, { path, body: why }, given);
    return report(session, await session.api.ask("nodes.remove", { path, query: why }), "");
  },
};

type Parts = { path: Record<string, Json>; body: Record<string, Json> };

async function byForce(session: Session, { path, body }: Parts, { yes, dryRun }: Given): Promise<Exit> {
  const { world, api, flags } = session;
  const ask = (dryRun: boolean) => api.ask("nodes.forceRemove", { path, body: { ...body, dryRun } });
  if (dryRun) {
    const reply = await ask(true);
    if (flags.json) printJson(world, reply);
    else await printPreview(session, reply, world.stdout);
    return EXIT.ok;
  }
  if (!yes) {
    const reply = await ask(true);
    await printPreview(session, reply, world.stderr);
    if (!await isTyped(world, textAt(reply, "node.name"))) {
      say(world, "Nothing is changed.");
      return world.scope.signal.aborted ? EXIT.interrupted : EXIT.failed;
    }
  }
  return report(session, await ask(false), "node.");
}

function report({ world, flags }: Session, reply: Json, at: "" | "node."): Exit {
  if (flags.json) printJson(world, reply);
  say(world, `Node ${textAt(reply, `${at}name`)} is ${textAt(reply, `${at}state`)}.`);
  return EXIT.ok;
}

async function printPreview(session: Session, reply: Json, sink: Sink): Promise<void> {
  const preview = at(reply, "preview");
  const count = (name: string) => numberAt(preview, name);
  sink.write(
    `Of its systems, ${count("forgotten")} would be forgotten (no client agent), ` +
      `${count("placedAnew")} placed anew, ${count("moving")} end their move first.\n`,
  );
  const named = listAt(preview, "named");
  if (named.length === 0) return;
  sink.write(named.length < count("forgotten") ? `Forgotten, the first ${named.length}:\n` : "Forgotten:\n");
  await tablePrinter(session, [number("ID", "system"), text("SYSTEM", "name")], sink)(named);
}

async function isTyped({ stderr, stdin }: World, name: string): Promise<boolean> {
  stderr.write(`There is no way back. Type the node's name, ${name}, to remove it: `);
  return (await stdin.line() ?? "").trim() === name;
}
