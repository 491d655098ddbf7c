/** A program that a task runs: output streamed and kept, a limit, and no survivor when the task is interrupted. */

const PIPE_MS_MAX = 2_000;

export interface ChildResult {
  code: number;
  /** Standard output, and standard error apart; both were shown as they came. */
  output: string;
  errors: string;
  timedOut: boolean;
}

export interface ChildOptions {
  limitMs: number;
  /** Kills the program and all it started when aborted. */
  signal: AbortSignal;
}

/** Runs deno itself, the same one as now, with these arguments. */
export async function runDeno(args: string[], { limitMs, signal }: ChildOptions): Promise<ChildResult> {
  const child = new Deno.Command(Deno.execPath(), {
    args,
    env: { DENO_NO_UPDATE_CHECK: "1" },
    detached: true, // a group of its own, so that one kill reaches the test's children too
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const timeout = AbortSignal.timeout(limitMs);
  const stop = AbortSignal.any([timeout, signal]);
  const kill = () => {
    try {
      Deno.kill(-child.pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error; // it ended just now
    }
  };
  if (stop.aborted) kill();
  stop.addEventListener("abort", kill);
  const kept = { output: "", errors: "" };
  const copy = async (from: ReadableStream<Uint8Array>, to: typeof Deno.stdout, name: keyof typeof kept) => {
    const decoder = new TextDecoder();
    for await (const chunk of from) {
      await writeAll(to, chunk);
      kept[name] += decoder.decode(chunk, { stream: true });
    }
  };
  const copying = Promise.all([
    copy(child.stdout, Deno.stdout, "output"),
    copy(child.stderr, Deno.stderr, "errors"),
  ]);
  try {
    const { code } = await child.status;
    // A stray process of a test may hold the pipe open for ever: what was not read by now is its, not the child's.
    await Promise.race([copying, new Promise((resolve) => setTimeout(resolve, PIPE_MS_MAX))]);
    return { code, ...kept, timedOut: timeout.aborted };
  } finally {
    stop.removeEventListener("abort", kill);
  }
}

async function writeAll(to: typeof Deno.stdout, bytes: Uint8Array): Promise<void> {
  for (let written = 0; written < bytes.length;) written += await to.write(bytes.subarray(written));
}
