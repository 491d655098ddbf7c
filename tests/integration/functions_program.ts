/** The functions' program as a process of its own, with the rights that deno.json gives it and a throw-away folder. */
import { messageOf } from "../../lib/errors.ts";
import { type PartFolder, partFolder } from "../parts/daemon.ts";
import { waitFor } from "../parts/wait.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const UP_MS = 30_000;
const END_MS = 25_000;

export interface FunctionsProgram extends AsyncDisposable {
  url: string;
  /** What it has written to standard error so far. */
  log(): string;
  /** The first administrator's token. */
  adminToken(): Promise<string>;
  pid: number;
  dataFolder: string;
  /** SIGTERM; its exit code. */
  stop(): Promise<number>;
  /** SIGKILL. */
  kill(): Promise<number>;
}

export interface FunctionsOptions {
  /** After `run`, beside folder and port. */
  args?: string[];
  env?: Record<string, string>;
  /** @default 0, a free one */
  port?: number;
  /** File descriptors that it may have. @default what this process may have */
  filesMax?: number;
}

/** Starts it on 127.0.0.1. @throws when it is not up within UP_MS, with its log. */
export async function startFunctions(options: FunctionsOptions = {}): Promise<FunctionsProgram> {
  const folder = await partFolder("fn");
  const child = spawn(folder, options);
  let log = "";
  const reading = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) log += text;
  })();
  let ended: Promise<number> | null = null;
  const end = (signal: Deno.Signal) => {
    child.kill(signal);
    return ended ??= endOf(child, reading, folder);
  };
  try {
    const url = await waitFor("its address", UP_MS, () => /"host started".*"url":"([^"]+)"/.exec(log)?.[1]);
    return {
      url,
      pid: child.pid,
      dataFolder: `${folder.path}/data`,
      log: () => log,
      adminToken: async () => (await Deno.readTextFile(`${folder.path}/data/admin.token`)).trim(),
      stop: () => ended ?? end("SIGTERM"),
      kill: () => ended ?? end("SIGKILL"),
      async [Symbol.asyncDispose]() {
        await (ended ?? end("SIGKILL"));
      },
    };
  } catch (error) {
    await end("SIGKILL");
    throw new Error(`${messageOf(error)}\n${log}`, { cause: error });
  }
}

/** Runs one that is expected to refuse its start. */
export async function refusedStart(options: FunctionsOptions): Promise<{ code: number; said: string }> {
  const folder = await partFolder("fn");
  const child = spawn(folder, options);
  const timer = setTimeout(() => child.kill("SIGKILL"), UP_MS);
  const { code, stderr } = await child.output();
  clearTimeout(timer);
  await folder.remove();
  return { code, said: new TextDecoder().decode(stderr) };
}

function spawn(folder: PartFolder, options: FunctionsOptions): Deno.ChildProcess {
  const { args = [], env = {}, port = 0, filesMax } = options;
  const limits = filesMax === undefined ? "" : `ulimit -n ${filesMax}; `;
  return new Deno.Command("sh", {
    args: [
      ...["-c", `${limits}exec "$@"`, "sh"],
      ...[Deno.execPath(), "run", "--quiet", "--no-prompt", "-P=functions", `--allow-write=${folder.path}`],
      ...[`${ROOT}functions/main.ts`, "run"],
      ...["--data-folder", `${folder.path}/data`, "--http-port", `${port}`, ...args],
    ],
    env,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
}

async function endOf(child: Deno.ChildProcess, reading: Promise<void>, folder: PartFolder): Promise<number> {
  const timer = setTimeout(() => child.kill("SIGKILL"), END_MS);
  const { code } = await child.status;
  clearTimeout(timer);
  await reading;
  await folder.remove();
  return code;
}
