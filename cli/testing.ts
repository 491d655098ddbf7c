/** A world for tests: what was printed, a network that is a host in this process, files in memory, time that flies. */
import { basename, dirname } from "node:path";
import { SalarError } from "../lib/errors.ts";
import { realCrypt } from "../lib/mesh/real_crypt.ts";
import { realScope } from "../lib/mesh/real_scope.ts";
import { fakeLibrary, NO_FILES } from "../lib/nanostate/run/testing.ts";
import type { Disk, Net, Scope } from "../lib/seams.ts";
import type { PortableStore } from "../lib/store/portable.ts";
import { openSqliteStore } from "../lib/store/sqlite.ts";
import type { Exit } from "./exit.ts";
import { runSalar } from "./program.ts";
import type { Nanostates, TextFiles, World } from "./world.ts";

export const TOKEN_FILE = "/here/.salar/admin.token";

export interface TestOptions {
  /** Answers requests. @default nobody is there */
  fetch?: (request: Request) => Promise<Response>;
  files?: Record<string, string>;
  env?: Record<string, string>;
  stdin?: string;
  /** Standard input and both outputs are terminals. @default false */
  terminal?: boolean;
  /** @default 1_000_000 */
  nowMs?: number;
  /** Instead of each sleep; may drive what the tool waits for. */
  sleep?: (ms: number) => Promise<void>;
  signal?: AbortSignal;
  /** Of the host of functions. @default an empty one */
  store?: PortableStore;
  /** @default no state ships, and no host can be reached */
  nanostates?: Partial<Nanostates>;
}

export interface Ran {
  exit: Exit;
  stdout: string;
  stderr: string;
  files: Map<string, string>;
  /** Modes of files that were written. */
  modes: Map<string, number>;
}

/** Runs one command line. */
export async function run(args: readonly string[], options: TestOptions = {}): Promise<Ran> {
  const { terminal: isTerminal = false, env = {}, stdin = "" } = options;
  const printed = { stdout: "", stderr: "" };
  const sink = (name: "stdout" | "stderr") => ({
    isTerminal,
    columns: () => 120,
    write: (text: string) => void (printed[name] += text),
  });
  const { disk, files, modes } = memoryDisk(options.files ?? {});
  const world: World = {
    scope: flyingScope(options),
    lastScope: realScope({ name: "salar" }),
    net: () => netOf(options.fetch),
    disk,
    files: memoryFiles(files),
    crypt: realCrypt(),
    store: () => Promise.resolve(options.store ?? openSqliteStore({ path: ":memory:" })),
    nanostates: { ...NO_NANOSTATES, ...options.nanostates },
    env: { HOME: "/home/u", ...env },
    folder: "/here",
    stdin: {
      isTerminal,
      text: () => Promise.resolve(stdin),
      line: () => Promise.resolve(stdin.split("\n")[0] ?? null),
      hiddenLine: () => Promise.resolve(stdin.split("\n")[0] ?? null),
    },
    stdout: sink("stdout"),
    stderr: sink("stderr"),
  };
  const exit = await runSalar(args, world);
  return { exit, ...printed, files, modes };
}

const NO_NANOSTATES: Nanostates = {
  shipped: "/nowhere",
  modules: () => fakeLibrary(),
  ways: () => () => Promise.reject(new SalarError("bad-input", "Cannot reach the host: nobody is there")),
  files: NO_FILES,
  run: () => Promise.reject(new Error("no state runs here")),
};

function netOf(fetch: TestOptions["fetch"]): Net {
  const nobody = () =>
    Promise.reject(new SalarError("unavailable", "Cannot reach the server: nobody is there"));
  return { request: (_scope, request) => fetch === undefined ? nobody() : fetch(request), connectMs: nobody };
}

function memoryDisk(given: Record<string, string>) {
  const files = new Map(Object.entries(given));
  const modes = new Map<string, number>();
  const disk: Disk = {
    read: (path) => {
      const text = files.get(path);
      return Promise.resolve(text === undefined ? null : new TextEncoder().encode(text));
    },
    replace: (path, bytes, { mode = 0o600 } = {}) => {
      files.set(path, new TextDecoder().decode(bytes));
      modes.set(path, mode);
      return Promise.resolve();
    },
    remove: (path) => Promise.resolve(void files.delete(path)),
    list: (folder) =>
      Promise.resolve(
        [...files.keys()].filter((path) => dirname(path) === folder).map((path) => basename(path)).sort(),
      ),
  };
  return { disk, files, modes };
}

function memoryFiles(files: Map<string, string>): TextFiles {
  return {
    async *lines(path) {
      const text = files.get(path);
      if (text === undefined) throw new SalarError("not-found", `Cannot read ${path}: there is no such file`);
      yield* text.split("\n").slice(0, -1);
    },
    async create(path, fill) {
      let text = "";
      const result = await fill((line) => Promise.resolve(void (text += `${line}\n`)));
      files.set(path, text);
      return result;
    },
  };
}

/** A scope whose sleeps take no time: its clocks go on by what was slept. */
function flyingScope({ nowMs = 1_000_000, sleep, signal }: TestOptions): Scope {
  const base = realScope({ name: "salar", ...(signal === undefined ? {} : { signal }) });
  let sleptMs = 0;
  return {
    ...base,
    nowMs: () => nowMs + sleptMs,
    monoMs: () => sleptMs,
    async sleep(ms) {
      sleptMs += ms;
      await sleep?.(ms);
      if (signal?.aborted) throw new SalarError("cancelled", "Cannot wait any longer: ended");
    },
  };
}

/** The answer of a server that refuses. */
export function problem(
  code: string,
  status: number,
  detail: string,
  more: Record<string, unknown> = {},
): Response {
  const body = { type: `urn:salar:error:${code}`, title: code, status, detail, code, ...more };
  return Response.json(body, { status, headers: { "content-type": "application/problem+json" } });
}
