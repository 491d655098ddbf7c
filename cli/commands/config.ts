/** `salar config explain`: what a host of functions would run with here, and where each value comes from. */
import type { FunctionsConfig } from "../../functions/config.ts";
import { explain } from "../../lib/config.ts";
import type { Command, Group } from "../command.ts";
import { EXIT } from "../exit.ts";
import { HOST_CONFIG_INPUTS, hostConfig } from "../host_config.ts";
import type { JsonObject } from "../json.ts";
import { printJson } from "../session.ts";

const explaining: Command = {
  name: "explain",
  purpose: "Print the configuration of a host of functions, and where each value comes from",
  inputs: HOST_CONFIG_INPUTS,
  examples: ["config explain", "config explain --config /etc/salar/functions.json -- --http-port 9000"],
  routes: [],
  async run({ world, given, flags }) {
    const config = await hostConfig(world, given);
    if (flags.json) printJson(world, { value: shown(config.value), origins: config.origins });
    else world.stdout.write(explain(config) + "\n");
    return EXIT.ok;
  },
};

/** The values are paths, names and numbers: secrets come in files of their own. */
function shown(value: FunctionsConfig): JsonObject {
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, each ?? null]));
}

export const config: Group = {
  name: "config",
  purpose: "The configuration of a host of functions",
  commands: [explaining],
};
