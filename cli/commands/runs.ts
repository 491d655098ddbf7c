/** `salar runs`: nanostates that nodes run, and stagings. */
import { RUN_STATES } from "../../lib/cluster/types.ts";
import {
  asNode,
  changing,
  type Command,
  type Group,
  type Input,
  listing,
  partsOf,
  showing,
  WHY,
} from "../command.ts";
import { EXIT } from "../exit.ts";
import { at } from "../json.ts";
import { RESULT_COLUMNS, resultRows, RUN_COLUMNS, RUN_DETAILS } from "../run_view.ts";
import { watchRun } from "../run_watch.ts";
import { openSession, printJson, say, tablePrinter } from "../session.ts";

const RUN: Input = { as: "<run>", about: "Id of the run, see `salar runs list`", to: "path.run" };
const AN_ID = "0mb2x1k9f-3qhq5tza";

const watch: Command = {
  name: "watch",
  purpose: "Follow a run until it ends",
  inputs: [RUN],
  examples: [`runs watch ${AN_ID}`],
  routes: ["runs.show"],
  async run({ world, given, flags }) {
    return await watchRun(await openSession(world, flags), String(given["run"]));
  },
};

const result: Command = {
  name: "result",
  purpose: "Show what each step of a run came to; with --json all that it printed",
  inputs: [RUN],
  examples: [`runs result ${AN_ID}`, `runs result ${AN_ID} --json`],
  routes: ["runs.result"],
  async run({ world, given, flags }) {
    const session = await openSession(world, flags);
    const found = at(await session.api.ask("runs.result", await partsOf(session, [RUN], given)), "result");
    if (flags.json) printJson(world, found);
    else if (found === null) say(world, "No result is known: the run goes on, or was never heard of again.");
    else await tablePrinter(session, RESULT_COLUMNS)(resultRows(found));
    return EXIT.ok;
  },
};

export const runs: Group = {
  name: "runs",
  alias: "run",
  purpose: "Nanostates that nodes run, and stagings of new nodes",
  commands: [
    listing({
      route: "runs.list",
      purpose: "List runs, newest first",
      inputs: [
        { as: "--state <state>", about: "Only those", choices: RUN_STATES, to: "query.state" },
        { as: "--kind <kind>", about: "Only those", choices: ["run", "staging"], to: "query.kind" },
        {
          as: "--node <node>",
          about: "Only those by this node, and stagings of it",
          to: "query.node",
          read: asNode,
        },
      ],
      columns: RUN_COLUMNS,
      limit: 20,
      byDefault: true,
      examples: ["runs list", "runs list --kind staging --state failed", "runs list --node node-1"],
    }),
    showing({
      route: "runs.show",
      purpose: "Show one run and how far it is",
      inputs: [RUN],
      columns: RUN_DETAILS,
      examples: [`runs show ${AN_ID}`],
    }),
    watch,
    result,
    changing({
      route: "runs.cancel",
      purpose: "Stop a run; what it has changed so far stays",
      inputs: [RUN, WHY],
      said: "Run {id} is {state}.",
      examples: [`runs cancel ${AN_ID} --why "wrong parameters"`],
    }),
  ],
};
