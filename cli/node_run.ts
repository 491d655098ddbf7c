/** `salar nodes run`: has a node's agent run a nanostate of its own folder, and follows it to its end. */
import { asDuration, type Command, type Input, NODE, partsOf, WHY } from "./command.ts";
import { EXIT } from "./exit.ts";
import { textAt } from "./json.ts";
import { watchRun } from "./run_watch.ts";
import { openSession, printJson, say } from "./session.ts";
import { paramsOf } from "./state_inputs.ts";

export const FOR: Input = {
  as: "--for <time>",
  about: "How long it may take, such as 30m; 2h without it",
  to: "body.forMs",
  read: asDuration,
};
export const PARAM: Input = {
  as: "--param <name=value...>",
  about: "Parameters of the state; no secrets: they are kept in the cluster's store",
};
export const NO_WAIT: Input = { as: "--no-wait", about: "Do not watch: print the run's id and end" };

const INPUTS: readonly Input[] = [
  NODE,
  { as: "<state>", about: "Id of a state in a folder of that node's agent", to: "body.nanostate" },
  { as: "--check", about: "Only tell what would change", to: "body.check" },
  PARAM,
  FOR,
  NO_WAIT,
  WHY,
];

export const nodeRun: Command = {
  name: "run",
  purpose: "Have a node's agent run a nanostate of its own folder on its node",
  inputs: INPUTS,
  examples: [
    "nodes run node-1 node-verify --check",
    "nodes run node-1 packages-nfs --param source=nas:/packages --for 10m",
  ],
  routes: ["nodes.run", "runs.show"],
  async run({ world, given, flags }) {
    const session = await openSession(world, flags);
    const { path = {}, body = {} } = await partsOf(session, INPUTS, given);
    const run = await session.api.ask("nodes.run", { path, body: { ...body, params: paramsOf(given) } });
    const id = textAt(run, "id");
    if (given["wait"] !== false) {
      say(world, `Run ${id} of ${String(given["state"])} on ${String(given["node"])} has begun.`);
      return await watchRun(session, id);
    }
    if (flags.json) printJson(world, run);
    else world.stdout.write(id + "\n");
    return EXIT.ok;
  },
};
