/**
 * A run of a state from this machine, as the command line says it: the state, its hosts, secrets and modules.
 *
 * K1. All of it is read, and each secret asked for, before the first host is connected to.
 */
import { SalarError } from "../lib/errors.ts";
import type { JsonObject } from "../lib/nanostate/json.ts";
import type { RunOptions } from "../lib/nanostate/run/run.ts";
import { askingOn } from "./asking.ts";
import type { Given, Input } from "./command.ts";
import { say } from "./session.ts";
import { readState, rootsOf } from "./state_files.ts";
import { secretFrom, secretsOf } from "./state_inputs.ts";
import { type RunProgress, runProgress } from "./state_progress.ts";
import { targetsOf } from "./state_targets.ts";
import type { Asking, World } from "./world.ts";

/** Of every command that runs a state from here. */
export const WORK_INPUTS: readonly Input[] = [
  { as: "--secret <name=source...>", about: "Secrets: name=env:VARIABLE, name=file:PATH or name=prompt" },
  { as: "--become", about: "Run as another user by sudo" },
  { as: "--become-user <user>", about: "Whom to become; root without it" },
  { as: "--become-password <source>", about: "For sudo, if it asks: env:VARIABLE, file:PATH or prompt" },
  {
    as: "--ansible <path>",
    about: "Where modules are taken from: a virtual environment, or the package's folder",
  },
  { as: "--root <folder...>", about: "Where else states, function files and modules are; the first wins" },
  { as: "--trust-on-first-use", about: "Trust the key of a host of which none is known, and remember it" },
];

export interface WorkWanted {
  /** A .st file, or an id. */
  state: string;
  hosts: readonly string[];
  /** Path of the file. */
  inventory: string | null;
  params: JsonObject;
}

export interface Work {
  options: Pick<RunOptions, "index" | "id" | "targets" | "params" | "secrets" | "modules" | "files">;
  /** Those of the options; a command may add its own. */
  secrets: Map<string, () => Promise<string>>;
  shown: RunProgress;
}

/** K1 @throws {SalarError} `bad-input`, `not-found` */
export async function prepareWork(world: World, given: Given, wanted: WorkWanted): Promise<Work> {
  const { nanostates } = world;
  const roots = [...rootsOf(given), nanostates.shipped];
  const { index, id, roots: folders } = await readState(world, wanted.state, roots);
  const shown = runProgress(world);
  const asking = askingOn(world, (work) => shown.whileQuiet(work));
  const secrets = secretsOf(world, given, asking);
  const password = passwordOf(world, given, asking);
  for (const read of [...secrets.values(), password]) await read();
  const ways = nanostates.ways({
    asking,
    trustOnFirstUse: given["trustOnFirstUse"] === true,
    onTrusted: (text) => say(world, text),
  });
  const targets = await targetsOf(world, { ...wanted, become: becomeOf(given) }, { ways, password });
  const modules = nanostates.modules({ roots: folders, ansible: optionOf(given, "ansible") });
  const { params } = wanted;
  return {
    options: { index, id, targets, params, secrets, modules, files: nanostates.files },
    secrets,
    shown,
  };
}

/** An option's text; null without it. */
export function optionOf(given: Given, name: string): string | null {
  const value = given[name];
  return typeof value === "string" ? value : null;
}

function becomeOf(given: Given): string | null {
  const user = optionOf(given, "becomeUser");
  if (given["become"] === true) return user ?? "root";
  if (user === null) return null;
  throw new SalarError("bad-input", "Cannot run the state: --become-user needs --become");
}

function passwordOf(world: World, given: Given, asking: Asking): () => Promise<string | null> {
  const source = optionOf(given, "becomePassword");
  if (source === null) return () => Promise.resolve(null);
  return secretFrom(world, source, { what: "--become-password", question: "Password for sudo: ", asking });
}
