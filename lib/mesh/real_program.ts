/**
 * What every program has around its work: subcommands, configuration from flags, environment and file, exit codes.
 *
 * Exit codes: 0 done or ended by a signal, 1 a failure that is named on standard error, 2 wrong use.
 */
import type { z } from "zod";
import { type Config, configPath, parseConfig } from "../config.ts";
import { messageOf, SalarError } from "../errors.ts";
import type { LogLevel } from "../log.ts";

export type Commands = ReadonlyMap<string, (args: string[]) => Promise<void>>;

/** Runs the subcommand that `args` begins with; returns the exit code. */
export async function runProgram(
  { commands, help }: { commands: Commands; help: string },
  [name = "--help", ...args]: string[],
): Promise<number> {
  if (["--help", "-h", "help"].includes(name) || args.includes("--help")) {
    print(help);
    return 0;
  }
  const command = commands.get(name);
  if (command === undefined) {
    printError(`Cannot run "${name}": it is not one of ${[...commands.keys()].join(", ")}; see --help`);
    return 2;
  }
  try {
    await command(args);
    return 0;
  } catch (error) {
    printError(messageOf(error));
    return 1;
  }
}

/** @throws {SalarError} `bad-config` with every problem. */
export async function readConfig<S extends z.ZodRawShape>(
  schema: z.ZodObject<S>,
  args: string[],
): Promise<Config<z.infer<z.ZodObject<S>>>> {
  const env = Deno.env.toObject();
  const path = configPath({ args, env });
  return parseConfig(schema, {
    args,
    env,
    file: path === null ? null : { path, text: await fileText(path) },
  });
}

async function fileText(path: string): Promise<string> {
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    throw new SalarError("bad-config", `Cannot read configuration ${path}: ${messageOf(cause)}`, { cause });
  }
}

/** The folder that a program keeps its files in, made for its owner alone where it is missing. @throws `bad-config` */
export async function ensureFolder(folder: string): Promise<void> {
  try {
    await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new SalarError("bad-config", `Cannot make folder ${folder}: ${messageOf(cause)}`, { cause });
  }
}

/** One program per folder: a lock that the kernel drops with its holder. @throws {SalarError} `conflict` */
export async function lockFolder(folder: string): Promise<Disposable> {
  await ensureFolder(folder);
  const file = await Deno.open(`${folder}/lock`, { create: true, write: true, mode: 0o600 });
  if (await file.tryLock(true)) return file;
  file.close();
  throw new SalarError("conflict", `Cannot start: another agent works in ${folder}`);
}

/**
 * Where a program's log lines go: to standard error; with OTEL_DENO_CONSOLE=replace to the collector too. Deno sends there
 * what is said to the console, with the trace of the request that said it, and prints none of it.
 */
export function logWriter(): (line: string, level: LogLevel) => void {
  const exported = Deno.env.get("OTEL_DENO") === "true" && Deno.env.get("OTEL_DENO_CONSOLE") === "replace";
  return (line, level) => {
    printError(line);
    // deno-lint-ignore no-console -- the console is the way that Deno gives
    if (exported) console[level](line);
  };
}

/** A line on standard output, where a program's results go. */
export function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}

/** A line on standard error, where logs and messages go. */
export function printError(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
}
