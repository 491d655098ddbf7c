/**
 * Following a plan to its end: one line that is written over on a terminal, plain lines otherwise.
 *
 * W1. Ctrl-C ends the watching and nothing else; it says how to go on with the plan.
 * W2. A server that goes away for a while (ADMIN_SILENT_MS_MAX) does not end the watching.
 * W3. The exit code is 0 only when every system of the plan arrived.
 */
import { isSalarError, SalarError } from "../lib/errors.ts";
import { ADMIN_LINE_MS, ADMIN_SILENT_MS_MAX, ADMIN_WATCH_MS, ADMIN_WATCH_MS_MAX } from "../lib/limits.ts";
import { EXIT, type Exit, exitOf } from "./exit.ts";
import { type Json, numberAt, textAt } from "./json.ts";
import { PLAN_COLUMNS } from "./plan_view.ts";
import { printJson, say, type Session, tablePrinter } from "./session.ts";
import { printable } from "./table.ts";
import type { Sink } from "./world.ts";

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
  const progress = progressOn(session);
  let plan: Json;
  try {
    plan = await planEnded(session, id, progress);
  } catch (error) {
    progress.end();
    if (isSalarError(error, "cancelled") || exitOf(error) === EXIT.unreachable) {
      say(session.world, howToGoOn(id));
    }
    throw error;
  }
  progress.end();
  if (session.flags.json) printJson(session.world, plan);
  else await tablePrinter(session, PLAN_COLUMNS)([plan]);
  if (hasAllThere(plan)) return EXIT.ok;
  say(session.world, `Not every system arrived; see: salar plans moves ${id} --state back`);
  return EXIT.planIncomplete;
}

async function planEnded({ api, world: { scope } }: Session, id: string, progress: Progress): Promise<Json> {
  const startMs = scope.monoMs();
  let heardMs = startMs;
  while (scope.monoMs() - startMs < ADMIN_WATCH_MS_MAX) {
    try {
      const plan = await api.ask("plans.show", { path: { plan: id } });
      heardMs = scope.monoMs();
      progress.show(progressText(plan));
      if (hasEnded(plan)) return plan;
    } catch (error) {
      const isGone = exitOf(error) === EXIT.unreachable; // W2
      if (!isGone || scope.monoMs() - heardMs > ADMIN_SILENT_MS_MAX) throw error;
      progress.show(`${id}  the server does not answer; trying again`);
    }
    await scope.sleep(ADMIN_WATCH_MS);
  }
  throw new SalarError("deadline", `Cannot watch plan "${id}" any longer: it has not ended within a day`);
}

function hasEnded(plan: Json): boolean {
  return ["done", "cancelled"].includes(textAt(plan, "state"));
}

/** W3 */
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

interface Progress {
  show(text: string): void;
  end(): void;
}

function progressOn({ world: { scope, stderr } }: Session): Progress {
  return stderr.isTerminal ? overwriting(stderr) : lineByLine(stderr, scope.monoMs);
}

function overwriting(sink: Sink): Progress {
  let isOpen = false;
  return {
    show(text) {
      // A line that wraps could not be written over.
      sink.write(`\r\x1b[2K${printable(text).slice(0, sink.columns() - 1)}`);
      isOpen = true;
    },
    end() {
      if (isOpen) sink.write("\n");
      isOpen = false;
    },
  };
}

/** A line for each change, ADMIN_LINE_MS apart; the last state is always written. */
function lineByLine(sink: Sink, monoMs: () => number): Progress {
  let shown = "";
  let shownMs = -Infinity;
  let waiting = "";
  const write = (text: string) => {
    if (text === shown) return;
    sink.write(printable(text) + "\n");
    [shown, shownMs] = [text, monoMs()];
  };
  return {
    show(text) {
      waiting = text;
      if (monoMs() - shownMs >= ADMIN_LINE_MS) write(text);
    },
    end: () => write(waiting),
  };
}
