/**
 * Runs a program to its end, with a limit, and says why when it fails.
 *
 * In: program, arguments, limit. Out: its standard output. Secrets go by `env` or a file, never by `args`,
 * since every user of the machine can read those.
 * C1. No program outlives its limit: its whole process session is killed with it.
 */
import { SalarError } from "../../lib/errors.ts";

const TAIL_LINES = 15;

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  limitMs?: number;
  /** Exit codes that count as an answer; others throw. */
  okCodes?: readonly number[];
  uid?: number;
  gid?: number;
}

export interface RunResult {
  code: number;
  stdout: string;
}

/**
 * Runs `program` and resolves with its exit code and standard output.
 * Throws `SalarError` "unavailable" when it is absent or fails, "deadline" when it exceeds `limitMs` (60 s).
 */
export async function run(program: string, args: string[], options: RunOptions = {}): Promise<RunResult> {
  const { limitMs = 60_000, okCodes = [0], ...spawn } = options;
  const child = spawnCaptured(program, args, spawn);

  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    signalGroup(child.pid, "SIGKILL");
  }, limitMs);
  try {
    const output = await child.output();
    if (expired) throw new SalarError("deadline", `Cannot run ${program}: not done within ${limitMs} ms`);
    const stdout = new TextDecoder().decode(output.stdout);
    if (okCodes.includes(output.code)) return { code: output.code, stdout };
    const said = tail(new TextDecoder().decode(output.stderr) || stdout);
    throw new SalarError("unavailable", `Cannot run ${program}: it ended with code ${output.code}\n${said}`);
  } finally {
    clearTimeout(timer);
  }
}

/** The first of `programs` that is on the PATH or an absolute path that exists, or null. */
export async function which(...programs: string[]): Promise<string | null> {
  for (const program of programs) {
    const { code, stdout } = await run("/bin/sh", ["-c", 'command -v -- "$0"', program], {
      okCodes: [0, 1, 127],
    });
    if (code === 0) return stdout.trim();
  }
  return null;
}

/** Sends a signal to every process of a group; false when none is left. */
export function signalGroup(group: number, signal: Deno.Signal): boolean {
  try {
    Deno.kill(-group, signal);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** The last lines of a program's output, for a message. */
export function tail(text: string, lines = TAIL_LINES): string {
  return text.trimEnd().split("\n").slice(-lines).join("\n");
}

function spawnCaptured(program: string, args: string[], spawn: Deno.CommandOptions): Deno.ChildProcess {
  try {
    const options: Deno.CommandOptions = { stdin: "null", stdout: "piped", stderr: "piped", detached: true };
    return new Deno.Command(program, { args, ...options, ...spawn }).spawn();
  } catch (error) {
    throw new SalarError("unavailable", `Cannot run ${program}: it cannot be started`, { cause: error });
  }
}
