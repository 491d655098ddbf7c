/** A run as a script for `shell_agent.sh`: what it calls is defined there. */
import { createHash } from "node:crypto";
import type { AgentRun, WireCommand, WireModule, WireStep } from "./protocol.ts";

/** What `sh` can do of a step: its commands (those of a shell step, or `raw`), a binary, or nothing. */
export type ShellWork =
  | { kind: "commands"; commands: readonly WireCommand[] }
  | { kind: "binary"; blob: string; args: string }
  | { kind: "skipped" }
  | { kind: "cannot"; why: string };

export function shellWork(run: AgentRun, step: WireStep): ShellWork {
  if (step.kind === "shell") {
    const problem = step.commands.map(badPattern).find((each) => each !== null);
    return problem === undefined
      ? { kind: "commands", commands: step.commands }
      : { kind: "cannot", why: problem };
  }
  if (step.action === "raw") {
    return run.check ? { kind: "skipped" } : { kind: "commands", commands: [rawCommand(step)] };
  }
  const module = run.modules[step.module];
  if (step.action === null && module?.kind === "binary") {
    const internal = { _ansible_check_mode: run.check, _ansible_diff: run.diff, _ansible_verbosity: 0 };
    return { kind: "binary", blob: module.blob, args: JSON.stringify({ ...step.args, ...internal }) };
  }
  return { kind: "cannot", why: `there is no Python on this host, which ${step.module} needs` };
}

/** Told before anything runs. */
function badPattern({ name, changed = "" }: WireCommand): string | null {
  try {
    new RegExp(changed, "m");
    return null;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return `changed of ${name} is no regular expression: ${why}`;
  }
}

function rawCommand({ args }: WireModule): WireCommand {
  const line = String(args["_raw_params"] ?? "");
  const { executable } = args;
  return {
    name: "raw",
    run: typeof executable === "string" ? `exec ${executable} -c ${quoted(line)}` : line,
  };
}

export function shellScript(run: AgentRun): string {
  const rule = run.check ? "go-on" : run.onFailure;
  const lines = [`check=${run.check ? 1 : ""} open=${run.open ? 1 : ""} rule=${rule}`];
  for (const [name, value] of Object.entries(run.environment)) lines.push(exported(name, value));
  const seconds = Math.ceil(run.stepMs / 1000);
  const numbers = new Map(run.groups.flatMap(({ steps }) => steps).map(({ id }, n) => [id, n]));
  for (const group of run.groups) {
    if (run.onFailure === "end-group") lines.push("stopped=");
    for (const { needs = [], ...step } of group.steps) {
      if (needs.length > 0 && run.onFailure === "end-group" && !run.check) {
        lines.push(`needs ${needs.map((id) => numbers.get(id) ?? "-").join(" ")}`);
      }
      lines.push(`if begin ${numbers.get(step.id)} ${seconds}; then`, ...workLines(run, step), "done_; fi");
    }
  }
  return lines.join("\n");
}

function workLines(run: AgentRun, step: WireStep): string[] {
  const work = shellWork(run, step);
  switch (work.kind) {
    case "commands":
      return work.commands.map((command) => `${variables(command)}\ncommand_`);
    case "binary":
      return [`module ${work.blob} ${quoted(work.args)}`];
    case "skipped":
      return ["open=1"];
    case "cannot":
      return ["cannot"];
  }
}

function variables({ run, creates, removes, unless, onlyif, once, ok, changed }: WireCommand): string {
  const texts = { run, creates, removes, unless, onlyif, key: once };
  const words = Object.entries(texts).map(([name, text]) => `${name}=${quoted(text ?? "")}`);
  const looks = changed === "never" ? "1" : "";
  return [
    ...words,
    `once=${once ? onceName(once) : ""}`,
    `ok=${quoted((ok ?? [0]).join(" "))}`,
    `looks=${looks}`,
  ].join(" ");
}

/** As `once_path` of commands.py, so that a host that gets a Python still remembers. */
function onceName(key: string): string {
  return createHash("sha256").update(key).digest("hex");
}

function exported(name: string, value: string): string {
  if (!/^[A-Za-z_]\w*$/.test(name)) throw new RangeError(`"${name}" cannot be the name of a variable for sh`);
  return `export ${name}=${quoted(value)}`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
