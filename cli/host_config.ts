/** The configuration of a host of functions, as a command is told it: `--config FILE`, and flags after a `--`. */
import { FunctionsConfig } from "../functions/config.ts";
import { type Config, configPath, parseConfig } from "../lib/config.ts";
import { SalarError } from "../lib/errors.ts";
import type { Given, Input } from "./command.ts";
import { absolute } from "./settings.ts";
import type { World } from "./world.ts";

export const HOST_CONFIG_INPUTS: readonly Input[] = [
  { as: "--config <file>", about: "Configuration file of the host; SALAR_CONFIG without it" },
  { as: "[flags...]", about: "Its flags, after a `--`" },
];

/** @throws {SalarError} `bad-config` */
export async function hostConfig(
  world: World,
  { config: file, flags: rest }: Given,
): Promise<Config<FunctionsConfig>> {
  const { env } = world;
  const args = [
    ...(typeof file === "string" ? ["--config", file] : []),
    ...(Array.isArray(rest) ? rest : []),
  ];
  const path = configPath({ args, env });
  return parseConfig(FunctionsConfig, {
    args,
    env,
    file: path === null ? null : { path, text: await readText(world, path) },
  });
}

async function readText(world: World, path: string): Promise<string> {
  const bytes = await world.disk.read(absolute(world, path));
  if (bytes !== null) return new TextDecoder().decode(bytes);
  throw new SalarError("bad-config", `Cannot read configuration: there is no file ${path}`);
}
