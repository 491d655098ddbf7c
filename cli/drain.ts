/**
 * `salar nodes drain`: what would move, whether it shall, and the plan that does it, watched to its end.
 *
 * D1. Nothing is changed before somebody has seen the preview and said yes, or `--yes` said so before.
 * D2. Where nobody can be asked, it refuses at once.
 */
import { isSalarError, SalarError } from "../lib/errors.ts";
import { asTimeAhead, budgetInputs, type Command, type Input, NODE, partsOf, WHY } from "./command.ts";
import { number, text } from "./columns.ts";
import { EXIT } from "./exit.ts";
import { at, type Json, listAt, numberAt, textAt } from "./json.ts";
import { mayAsk, openSession, printJson, say, type Session, tablePrinter } from "./session.ts";
import { watchBegun } from "./watch.ts";
import type { Sink, World } from "./world.ts";

const INPUTS: readonly Input[] = [
  NODE,
  { as: "--yes", about: "Do not ask" },
  { as: "--dry-run", about: "Only show what would move where" },
  { as: "--no-wait", about: "Do not watch: print the plan's id and end" },
  ...budgetInputs("body.budget"),
  {
    as: "--deadline <time>",
    about: "Begin no move after this, such as 2h",
    to: "body.deadlineAtMs",
    read: asTimeAhead,
  },
  WHY,
];

export const drain: Command = {
  name: "drain",
  purpose: "Move every system off a node; of a lost node: recover its systems elsewhere",
  inputs: INPUTS,
  examples: [
    "nodes drain node-2.example --dry-run",
    'nodes drain node-2.example --per-node 50 --why "new disks"',
    "nodes drain node-2.example --yes --no-wait",
  ],
  routes: ["nodes.drain", "plans.show"],
  async run({ world, given, flags }) {
    const { node, dryRun = false, yes = false, wait = true } = given;
    if (!yes && !dryRun && !mayAsk(world)) { // D2
      const state = "this is no terminal; give --yes or --dry-run";
      throw new SalarError("bad-input", `Cannot ask whether to drain: ${state}`);
    }
    const session = await openSession(world, flags);
    const { path = {}, body = {} } = await partsOf(session, INPUTS, given);
    const preview = () => session.api.ask("nodes.drain", { path, body: { ...body, dryRun: true } });
    if (dryRun) {
      if (flags.json) printJson(world, await preview());
      else await printPreview(session, await preview(), world.stdout);
      return EXIT.ok;
    }
    if (!yes) {
      await printPreview(session, await preview(), world.stderr);
      if (!await saysYes(world, `Drain ${String(node)} now?`)) {
        say(world, "Nothing is changed.");
        return world.scope.signal.aborted ? EXIT.interrupted : EXIT.failed;
      }
    }
    const reply = await begin(session, { path, body });
    say(world, `Plan ${textAt(reply, "plan.id")} drains ${String(node)}.`);
    return await watchBegun(session, reply, { wait });
  },
};

async function begin(
  { api }: Session,
  parts: { path: Record<string, Json>; body: Record<string, Json> },
): Promise<Json> {
  try {
    return await api.ask("nodes.drain", parts);
  } catch (error) {
    // Most often it is the same drain, begun before and left: say how to come back to it.
    const plan = isSalarError(error, "conflict") ? error.detail["plan"] : undefined;
    if (typeof plan !== "string" || !isSalarError(error)) throw error;
    throw new SalarError(error.code, error.message, {
      detail: { hint: `Watch it: salar plans watch ${plan}` },
    });
  }
}

/** How many systems go where, and which cannot go and why. */
async function printPreview(session: Session, reply: Json, sink: Sink): Promise<void> {
  const preview = at(reply, "preview");
  const [total, stuck] = [numberAt(preview, "total"), numberAt(preview, "stuckTotal")];
  sink.write(`${total - stuck} of ${total} systems would move${stuck > 0 ? `, ${stuck} cannot` : ""}.\n`);
  const targets = listAt(preview, "targets");
  if (targets.length > 0) {
    await tablePrinter(
      session,
      [text("TO", "name"), text("ZONE", "zone"), number("SYSTEMS", "systems")],
      sink,
    )(targets);
  }
  const named = listAt(preview, "stuck");
  if (named.length === 0) return;
  sink.write(named.length < stuck ? `Stuck, the first ${named.length}:\n` : "Stuck:\n");
  await tablePrinter(session, [number("ID", "system"), text("SYSTEM", "name"), text("WHY", "reason")], sink)(
    named,
  );
}

async function saysYes({ stderr, stdin }: World, question: string): Promise<boolean> {
  stderr.write(`${question} [y/N] `);
  return /^y(es)?$/i.test((await stdin.line() ?? "").trim());
}
