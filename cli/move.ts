/** `salar systems move`: one system to another node, watched until it is there. */
import { asNode, type Command, type Input, partsOf, SYSTEM, WHY } from "./command.ts";
import { EXIT } from "./exit.ts";
import { textAt } from "./json.ts";
import { openSession, printJson, say } from "./session.ts";
import { shortFp } from "./columns.ts";
import { watchBegun } from "./watch.ts";

const INPUTS: readonly Input[] = [
  SYSTEM,
  { as: "--to <node>", about: "Target; where placement says without it", to: "body.to", read: asNode },
  { as: "--dry-run", about: "Only say where it would go", to: "body.dryRun" },
  { as: "--no-wait", about: "Do not watch: print the plan's id and end" },
  WHY,
];

export const move: Command = {
  name: "move",
  purpose: "Move one system to another node",
  inputs: INPUTS,
  examples: ["systems move web-3.example --to node-1", "systems move 17 --dry-run"],
  routes: ["systems.move", "plans.show"],
  async run({ world, given, flags }) {
    const session = await openSession(world, flags);
    const reply = await session.api.ask("systems.move", await partsOf(session, INPUTS, given));
    const fp = textAt(reply, "to");
    const to = (await session.names()).get(fp) ?? shortFp(fp);
    if (given["dryRun"] === true) {
      if (flags.json) printJson(world, reply);
      else world.stdout.write(to + "\n");
      return EXIT.ok;
    }
    say(world, `Plan ${textAt(reply, "plan.id")} moves ${String(given["system"])} to ${to}.`);
    return await watchBegun(session, reply, { wait: given["wait"] });
  },
};
