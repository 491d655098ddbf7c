/** Following a run to its end (`follow.ts`), and what is said of it then. */
import { RUNS_OVER } from "../lib/cluster/running.ts";
import type { RunState } from "../lib/cluster/types.ts";
import { EXIT, type Exit } from "./exit.ts";
import { follow } from "./follow.ts";
import { type Json, textAt } from "./json.ts";
import { RUN_COLUMNS, runText } from "./run_view.ts";
import { printJson, say, type Session, tablePrinter } from "./session.ts";

/** Prints the run as it ended, to standard output. The exit code is 0 only when it ended well. */
export async function watchRun(session: Session, id: string): Promise<Exit> {
  const run = await follow(session, {
    what: `run "${id}"`,
    route: "runs.show",
    parts: { path: { run: id } },
    text: runText,
    hasEnded: (run) => RUNS_OVER.includes(textAt(run, "state") as RunState), // the API's own words
    howToGoOn: `Run ${id} goes on without you.
  watch it again   salar runs watch ${id}
  stop it          salar runs cancel ${id}`,
  });
  if (session.flags.json) printJson(session.world, run);
  else await tablePrinter(session, RUN_COLUMNS)([run]);
  return reportRun(session, run);
}

function reportRun({ world }: Session, run: Json): Exit {
  const [id, state, host] = [textAt(run, "id"), textAt(run, "state"), textAt(run, "host")];
  const isStaging = textAt(run, "staging.zone") !== "";
  if (state === "done") {
    const node = textAt(run, "staging.node");
    if (isStaging && node !== "") {
      say(world, `${host} is staged; it takes systems after: salar nodes accept ${node}`);
    }
    return EXIT.ok;
  }
  say(world, `Run ${id} is ${state}: ${textAt(run, "reason")}`);
  say(world, `What each step came to: salar runs result ${id}`);
  if (isStaging) {
    say(world, "To go on, stage it again: what is done already stays done.");
    say(world, `To bring the host back to what it was: salar state apply node-restore --host ${host}`);
  }
  return EXIT.failed;
}
