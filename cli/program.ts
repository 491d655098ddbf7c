/**
 * The command line: parsed by commander, made of the command tree, ended by an exit code.
 *
 * P1. Standard output holds data only; what is said to people, errors too, goes to standard error.
 * P2. Every error says what was not done and why, each wrong field, and what to do next where that is known.
 */
import { Argument, Command as Parser, CommanderError, Option } from "commander";
import { isSalarError, messageOf } from "../lib/errors.ts";
import { VERSION } from "../lib/version.ts";
import type { Command, Given, Group, Input } from "./command.ts";
import { EXIT, type Exit, EXIT_MEANINGS, exitOf } from "./exit.ts";
import { type Flags, say } from "./session.ts";
import { GLOBAL_INPUTS, TREE } from "./tree.ts";
import type { World } from "./world.ts";

const HELP_COLUMNS = 100;

/** Runs one command line; never rejects. */
export async function runSalar(args: readonly string[], world: World): Promise<Exit> {
  let exit: Exit = EXIT.ok;
  const program = parserOf(world, async (command, given, flags) => {
    exit = await command.run({ world, given, flags });
  });
  try {
    await program.parseAsync([...args], { from: "user" });
    return exit;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    explainError(world, error);
    return exitOf(error);
  }
}

type Run = (command: Command, given: Given, flags: Flags) => Promise<void>;

export function parserOf({ stdout, stderr }: Pick<World, "stdout" | "stderr">, run: Run): Parser {
  const program = new Parser("salar")
    .description("Administer a Salar cluster: several Uyuni servers as one.")
    .version(`salar ${VERSION}`, "--version", "Print the version")
    .helpOption("-h, --help", "Explain the command")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      getOutHelpWidth: () => HELP_COLUMNS,
      getErrHelpWidth: () => HELP_COLUMNS,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .configureHelp({ showGlobalOptions: true })
    .showHelpAfterError("Add --help to see how it is used.")
    .addHelpText("after", rootHelp());
  for (const input of GLOBAL_INPUTS) program.addOption(new Option(input.as, input.about));
  for (const group of TREE.groups) addGroup(program, group, run);
  for (const command of TREE.commands) addCommand(program, command, run);
  return program;
}

function rootHelp(): string {
  return `
Examples:
  salar nodes list
  salar node drain node-2.example --dry-run
  salar systems search web --zone berlin
  salar events --follow

Exit codes:
${EXIT_MEANINGS.map(([code, meaning]) => `  ${String(code).padStart(3)}  ${meaning}`).join("\n")}
`;
}

function addGroup(program: Parser, { name, alias, purpose, commands }: Group, run: Run): void {
  const parser = program.command(name).description(purpose).helpCommand(false);
  if (alias !== undefined) parser.alias(alias);
  for (const command of commands) addCommand(parser, command, run);
}

function addCommand(parent: Parser, command: Command, run: Run): void {
  const { name, purpose, inputs, examples, byDefault = false } = command;
  const parser = parent.command(name, { isDefault: byDefault }).description(purpose);
  for (const input of inputs) {
    if (input.as.startsWith("--")) parser.addOption(optionOf(input));
    else parser.addArgument(argumentOf(input));
  }
  parser.addHelpText("after", `\nExamples:\n${examples.map((line) => `  salar ${line}`).join("\n")}\n`);
  const names = inputs.filter(({ as }) => !as.startsWith("--")).map(({ as }) => as.replace(/[<>[\].]/g, ""));
  parser.action(async () => {
    const given: Record<string, string | boolean | string[] | undefined> = { ...parser.opts() };
    names.forEach((name, index) => given[name] = parser.processedArgs[index]);
    await run(command, given, rootOf(parser).opts<Flags>());
  });
}

function rootOf(parser: Parser): Parser {
  return parser.parent === null ? parser : rootOf(parser.parent);
}

function optionOf({ as, about, choices, needed }: Input): Option {
  const option = new Option(as, about);
  if (needed === true) option.makeOptionMandatory();
  return choices === undefined ? option : option.choices([...choices]);
}

function argumentOf({ as, about, choices }: Input): Argument {
  const argument = new Argument(as, about);
  return choices === undefined ? argument : argument.choices([...choices]);
}

const HINTS: Readonly<Record<string, string>> = {
  unauthenticated:
    "Give a token: --token-file FILE or SALAR_TOKEN_FILE, or once: salar login --server URL --token-file FILE",
  forbidden: "Ask an administrator for a token of that role: salar tokens add NAME --role ROLE",
  "not-found": "Check the name; the list commands show what is there.",
  conflict: "Look at it again and decide again; the show commands tell how it is now.",
  stale: "It has changed meanwhile: look at it again and decide again.",
  "no-placement":
    "Add or uncordon a node, raise its capacity, or allow the zone fallback: salar zones update --help",
  unavailable: "Is it running? Its /readyz says what is missing; --server names another one.",
  deadline: "It may or may not have been done: look before you repeat it.",
  "outcome-unknown": "It may or may not have been done: look before you repeat it.",
};

/** P2 */
function explainError(world: World, error: unknown): void {
  if (!isSalarError(error)) return say(world, `salar: ${messageOf(error)}`);
  if (error.code === "cancelled") return say(world, "Ended by you.");
  const { problems, hint = HINTS[error.code] } = error.detail;
  say(world, `salar: ${error.message}`);
  if (Array.isArray(problems)) {
    // The message tells the first one already, or all of them.
    for (const { field, reason } of problems.filter(({ reason }) => !error.message.includes(reason))) {
      say(world, `  ${field}: ${reason}`);
    }
  }
  if (typeof hint === "string") say(world, hint);
}
