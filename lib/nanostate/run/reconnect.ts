/**
 * Modules during which the connection ends: `reboot` and `wait_for_connection`. On the far side they have no part.
 *
 * In: a module's arguments. Out: what the module would say.
 * R1. A reboot is done when the host answers and its boot id is another one; a connection that merely broke is none.
 * R2. In check mode nothing is done: a reboot would change, a connection is there.
 * Source: behaviour of ansible-core's `plugins/action/reboot.py` and `wait_for_connection.py`.
 */
import type { AgentRun, AgentSession, WireCommandResult } from "../agent/protocol.ts";
import type { JsonObject } from "../json.ts";
import { HostError } from "../transport/transport.ts";
import { type Connection, lastResult } from "./connection.ts";
import { pause } from "./limit.ts";
import { failure } from "./outcome.ts";

export interface Surroundings {
  connection: Connection;
  check: boolean;
  signal: AbortSignal;
  /** A run without steps, to be filled. */
  basics: AgentRun;
}

const BOOT_ID = "cat /proc/sys/kernel/random/boot_id";
const SEARCH_PATHS = "/sbin:/bin:/usr/sbin:/usr/bin:/usr/local/sbin";
const RESTART_MESSAGE = "Reboot initiated by Ansible";
/** Enough for the agent's answer to arrive before the host goes down. */
const SETTLE_MS = 1_000;

/** @param part name of the module, without its collection @throws {HostError} the run has ended */
export async function reconnecting(
  part: string,
  args: JsonObject,
  around: Surroundings,
): Promise<JsonObject> {
  const startMs = performance.now();
  const elapsed = () => Math.round((performance.now() - startMs) / 1000);
  try {
    if (part === "wait_for_connection") return await waitForConnection(args, around, elapsed);
    return await reboot(args, around, elapsed);
  } catch (error) {
    if (!(error instanceof HostError) || around.signal.aborted) throw error;
    return failure(error.message, { elapsed: elapsed() });
  }
}

async function waitForConnection(
  args: JsonObject,
  { connection, check, signal }: Surroundings,
  elapsed: () => number,
): Promise<JsonObject> {
  if (check) {
    await connection.session();
    return { changed: false, elapsed: elapsed() }; // R2
  }
  await connection.close();
  await pause(secondsOf(args, "delay", 0), signal);
  await connection.reopen(answers, {
    withinMs: secondsOf(args, "timeout", 600),
    everyMs: secondsOf(args, "sleep", 1),
    connectMs: secondsOf(args, "connect_timeout", 5),
  });
  return { changed: false, elapsed: elapsed() };
}

async function answers(session: AgentSession): Promise<boolean> {
  await session.info;
  return true;
}

async function reboot(
  args: JsonObject,
  around: Surroundings,
  elapsed: () => number,
): Promise<JsonObject> {
  const { connection, check, signal } = around;
  if (connection.target.transport.address === "local") {
    return failure("Running reboot with local connection would reboot the control node.", {
      rebooted: false,
      elapsed: 0,
    });
  }
  if (check) return { changed: true, elapsed: 0, rebooted: true }; // R2
  const bootIdCommand = textOf(args, "boot_time_command", BOOT_ID);
  const run = (session: AgentSession, command: string) => commandOf(session, command, around.basics);
  const before = await run(await connection.session(), bootIdCommand);
  if (before.rc !== 0) {
    return failure(`Cannot reboot: ${bootIdCommand} failed: ${before.stderr.trim()}`, { rebooted: false });
  }
  const asked = await askToReboot(args, around);
  if (asked !== null) return failure(asked, { rebooted: false, elapsed: elapsed() });
  await pause(secondsOf(args, "post_reboot_delay", 0) + SETTLE_MS, signal);
  const isThere = async (session: AgentSession) => { // R1
    const now = await run(session, bootIdCommand);
    if (now.rc !== 0 || now.stdout.trim() === before.stdout.trim()) return false;
    return (await run(session, textOf(args, "test_command", "whoami"))).rc === 0;
  };
  await connection.reopen(isThere, {
    withinMs: secondsOf(args, "reboot_timeout", 600),
    everyMs: null,
    connectMs: secondsOf(args, "connect_timeout", 10),
  });
  return { changed: true, rebooted: true, elapsed: elapsed() };
}

/** Null when the host goes down, or is gone already. */
async function askToReboot(
  args: JsonObject,
  { connection, basics }: Surroundings,
): Promise<string | null> {
  const delaySeconds = secondsOf(args, "pre_reboot_delay", 0) / 1000;
  const message = textOf(args, "msg", RESTART_MESSAGE);
  const paths = args["search_paths"];
  const path = Array.isArray(paths) && paths.length > 0 ? paths.map(String).join(":") : SEARCH_PATHS;
  // Whole minutes, as `shutdown` takes them.
  const standard = `shutdown -r ${Math.floor(delaySeconds / 60)} ${quoted(message)}`;
  const command = `PATH=${quoted(path)}:$PATH; ${textOf(args, "reboot_command", standard)}`;
  try {
    const { rc, stdout, stderr } = await commandOf(await connection.session(), command, basics);
    return rc === 0 || rc === null ? null : `Reboot command failed. ${(stderr || stdout).trim()}`;
  } catch (error) {
    if (error instanceof HostError && error.code === "lost") return null;
    throw error;
  }
}

/** One command of our own, in a run of its own. */
async function commandOf(
  session: AgentSession,
  run: string,
  basics: AgentRun,
): Promise<WireCommandResult> {
  const step = { kind: "shell", id: "reboot", commands: [{ name: "run", run }] } as const;
  const blobs = () => Promise.reject(new HostError("protocol", "the agent asks for contents without need"));
  const answer = await lastResult(
    session.run({ ...basics, check: false, groups: [{ steps: [step] }] }, blobs),
  );
  const [first] = answer?.kind === "shell" ? answer.commands : [];
  if (first !== undefined) return first;
  throw new HostError("protocol", "the agent did not answer a command");
}

/** Of an argument in seconds, as milliseconds. */
function secondsOf(args: JsonObject, name: string, byDefault: number): number {
  const seconds = Number(args[name] ?? byDefault);
  return 1000 * (Number.isFinite(seconds) && seconds >= 0 ? seconds : byDefault);
}

function textOf(args: JsonObject, name: string, byDefault: string): string {
  const value = args[name];
  return typeof value === "string" && value !== "" ? value : byDefault;
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
