/** `salar config explain`: what a host of functions would run with here, and where each value comes from. */
import { FunctionsConfig } from "../../functions/config.ts";
import { configPath, explain, parseConfig } from "../../lib/config.ts";
import { SalarError } from "../../lib/errors.ts";
import type { Command, Group } from "../command.ts";
import { EXIT } from "../exit.ts";
import { printJson } from "../session.ts";
import type { JsonObject } from "../json.ts";
import { absolute } from "../settings.ts";
import type { World } from "../world.ts";

const explaining: Command = {
  name: "explain",
  purpose: "Print the configuration of a host of functions, and where each value comes from",
  inputs: [
    { as: "--config <file>", about: "Its configuration file; SALAR_CONFIG without it" },
    { as: "[flags...]", about: "Its flags, after a `--`" },
  ],
  examples: ["config explain", "config explain --config /etc/salar/functions.json -- --http-port 9000"],
  routes: [],
  async run({ world, given, flags }) {
    const { config: file, flags: rest } = given;
    const args = [
      ...(typeof file === "string" ? ["--config", file] : []),
      ...(Array.isArray(rest) ? rest : []),
    ];
    const { env } = world;
    const path = configPath({ args, env });
    const config = parseConfig(FunctionsConfig, {
      args,
      env,
      file: path === null ? null : { path, text: await readText(world, path) },
    });
    if (flags.json) printJson(world, { value: shown(config.value), origins: config.origins });
    else world.stdout.write(explain(config) + "\n");
    return EXIT.ok;
  },
};

async function readText(world: World, path: string): Promise<string> {
  const bytes = await world.disk.read(absolute(world, path));
  if (bytes !== null) return new TextDecoder().decode(bytes);
  throw new SalarError("bad-config", `Cannot explain: there is no file ${path}`);
}

/** The values are paths, names and numbers: secrets come in files of their own. */
function shown(value: FunctionsConfig): JsonObject {
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, each ?? null]));
}

export const config: Group = {
  name: "config",
  purpose: "The configuration of a host of functions",
  commands: [explaining],
};
