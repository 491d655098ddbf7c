/**
 * Following a plan to its end (`follow.ts`).
 *
 * W1. The exit code is 0 only when every system of the plan arrived.
 */
import { EXIT, type Exit } from "./exit.ts";
import { follow } from "./follow.ts";
import { type Json, numberAt, textAt } from "./json.ts";
import { PLAN_COLUMNS } from "./plan_view.ts";
import { printJson, say, type Session, tablePrinter } from "./session.ts";

/** After a plan has begun: watches it, or with `wait` false prints its id for scripts. */
export async function watchBegun(session: Session, reply: Json, { wait }: { wait: unknown }): Promise<Exit> {
  const id = textAt(reply, "plan.id");
  if (wait !== false) return await watchPlan(session, id);
  if (session.flags.json) printJson(session.world, reply);
  else session.world.stdout.write(id + "\n");
  return EXIT.ok;
}

/** Prints the plan as it ended, to standard output. */
export async function watchPlan(session: Session, id: string): Promise<Exit> {
  const plan = await follow(session, {
    what: `plan "${id}"`,
    route: "plans.show",
    parts: { path: { plan: id } },
    text: progressText,
    hasEnded,
    howToGoOn: howToGoOn(id),
  });
  if (session.flags.json) printJson(session.world, plan);
  else await tablePrinter(session, PLAN_COLUMNS)([plan]);
  if (hasAllThere(plan)) return EXIT.ok;
  say(session.world, `Not every system arrived; see: salar plans moves ${id} --state back`);
  return EXIT.planIncomplete;
}

function hasEnded(plan: Json): boolean {
  return ["done", "cancelled"].includes(textAt(plan, "state"));
}

/** W1 */
function hasAllThere(plan: Json): boolean {
  return textAt(plan, "state") === "done" &&
    numberAt(plan, "counts.there") === numberAt(plan, "counts.total");
}

const BAR_CHARS = 24;

/** `id  running  [######------------------]  25/100 there, 20 under way, 55 waiting, 1 back`. */
export function progressText(plan: Json): string {
  const count = (name: string) => numberAt(plan, `counts.${name}`);
  const [total, there] = [count("total"), count("there")];
  const filled = total === 0 ? 0 : Math.floor(BAR_CHARS * there / total);
  const bar = "#".repeat(filled) + "-".repeat(BAR_CHARS - filled);
  const parts = [
    `${there}/${total} there`,
    ...([["active", "under way"], ["queued", "waiting"], ["back", "back"], ["stuck", "stuck"]] as const)
      .filter(([name]) => count(name) > 0).map(([name, words]) => `${count(name)} ${words}`),
  ];
  const id = textAt(plan, "id");
  const paused = textAt(plan, "state") === "paused" ? `  (go on with: salar plans resume ${id})` : "";
  return `${id}  ${textAt(plan, "state")}  [${bar}]  ${parts.join(", ")}${paused}`;
}

function howToGoOn(id: string): string {
  return `Plan ${id} goes on without you.
  watch it again   salar plans watch ${id}
  pause it         salar plans pause ${id}
  give it up       salar plans cancel ${id}`;
}
