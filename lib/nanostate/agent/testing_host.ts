/** A host for tests: this machine by the local transport, with a home of its own and the programs that a test wants. */
import { createHash } from "node:crypto";
import { localTransport } from "../transport/local.ts";
import type { HostError, Transport } from "../transport/transport.ts";
import type { AgentRun, AgentSession, Hash, WireCommand, WireEvent, WireResult } from "./protocol.ts";
import { type AgentOptions, startAgent } from "./session.ts";

/** What `sh` agents need, and no Python. */
const TOOLS = "sh ls cat cp mv rm dd wc tail grep mkdir chmod id uname date sleep sha256sum setsid printf"
  .split(" ");

export interface TestHost extends AsyncDisposable {
  home: string;
  /** The cache of modules there. */
  cache: string;
  transport(login?: TestLogin): Transport;
  start(options?: Partial<AgentOptions> & TestLogin): Promise<AgentSession>;
}

export interface TestLogin {
  /** Commands that the login shell does first: noise, variables. */
  first?: string;
  /** A line that runs this one: `unshare … sh -c LINE`. */
  around?: (quoted: string) => string;
}

/** @param options `tools` instead of all programs of this machine: by default those that the agent for `sh` needs */
export async function testHost(
  options: { hasPython?: boolean; tools?: readonly string[] } = {},
): Promise<TestHost> {
  const home = await Deno.makeTempDir({ prefix: "nanostate-host-" });
  const path = options.hasPython === false
    ? await toolFolder(`${home}/bin`, options.tools ?? TOOLS)
    : "/usr/bin:/bin";
  const transport = ({ first = "", around }: TestLogin = {}): Transport => ({
    address: "test",
    start(command, channel) {
      const setting = `HOME=${home}; TMPDIR=${home}; PATH=${path}; export HOME TMPDIR PATH; ${first}`;
      const inside = around === undefined ? command : around(`'${command.replaceAll("'", `'\\''`)}'`);
      return localTransport().start(`${setting}\n${inside}`, channel);
    },
  });
  return {
    home,
    cache: `${home}/.cache/salar-nanostate`,
    transport,
    start: ({ first, around, ...options } = {}) => {
      const login = {
        ...(first === undefined ? {} : { first }),
        ...(around === undefined ? {} : { around }),
      };
      return startAgent(transport(login), { become: null, signal: new AbortController().signal, ...options });
    },
    [Symbol.asyncDispose]: () => Deno.remove(home, { recursive: true }),
  };
}

async function toolFolder(folder: string, tools: readonly string[]): Promise<string> {
  await Deno.mkdir(folder);
  for (const tool of tools) {
    const place = ["/usr/bin", "/bin"].map((each) => `${each}/${tool}`).find(exists);
    if (place !== undefined) await Deno.symlink(place, `${folder}/${tool}`);
  }
  return folder;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch {
    return false;
  }
}

export function runOf(change: Partial<AgentRun>): AgentRun {
  return {
    groups: [],
    check: false,
    diff: false,
    onFailure: "end-group",
    stepMs: 20_000,
    environment: {},
    modules: {},
    ansible: null,
    ...change,
  };
}

/** One group of one step for each list of commands. */
export function shellGroup(
  id: string,
  ...steps: (Partial<WireCommand> & { run: string })[][]
): AgentRun["groups"][0] {
  return {
    steps: steps.map((commands, step) => ({
      kind: "shell",
      id: `${id}/${step}`,
      commands: commands.map((command, n) => ({ name: `c${n}`, ...command })),
    })),
  };
}

export function hashOf(bytes: Uint8Array): Hash {
  return createHash("sha256").update(bytes).digest("hex");
}

export async function all(events: AsyncIterable<WireEvent>): Promise<WireEvent[]> {
  return await Array.fromAsync(events);
}

export async function results(
  session: AgentSession,
  run: AgentRun,
  blobs: Record<Hash, Uint8Array> = {},
): Promise<WireResult[]> {
  const give = (hash: Hash) => {
    const blob = blobs[hash];
    return blob === undefined ? Promise.reject(new Error(`there is no ${hash}`)) : Promise.resolve(blob);
  };
  return (await all(session.run(run, give))).flatMap((event) =>
    event.type === "result" ? [event.result] : []
  );
}

/** `ok`, `failed` … of each command; `not-run` for a whole step; of a module whether it failed. */
export function outcomes(results: readonly WireResult[]): Record<string, string[]> {
  return Object.fromEntries(results.map((result) => {
    if (result.kind === "shell") return [result.step, result.commands.map(({ outcome }) => outcome)];
    if (result.kind === "not-run") return [result.step, [result.cannot ? "cannot" : "not-run"]];
    return [result.step, [result.result["failed"] === true ? "failed" : "ok"]];
  }));
}

/** All places where files can be are without room, for this login alone. */
export function onFullDisk(command: string): string {
  const fill = `for place in "$HOME" /tmp /var/tmp; do
    mount -t tmpfs -o size=4k,mode=1777 tmpfs "$place" && printf %4096s full >"$place/full" || exit 1
  done`;
  return `exec unshare -m /bin/sh -c '${fill}; exec /bin/sh -c "$1"' sh ${command}`;
}

/** For `assert.rejects`. */
export function hostError(
  code: HostError["code"],
  text: RegExp,
): { name: string; code: string; message: RegExp } {
  return { name: "HostError", code, message: text };
}

/** Processes of this machine whose command line has that text. */
export async function processesWith(text: string): Promise<number[]> {
  const found: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const line = await Deno.readTextFile(`/proc/${name}/cmdline`).catch(() => "");
    if (line.replaceAll("\0", " ").includes(text)) found.push(Number(name));
  }
  return found;
}

/** @throws when it does not come true within `limitMs` */
export async function until(condition: () => Promise<boolean>, limitMs = 5_000): Promise<void> {
  const end = performance.now() + limitMs;
  while (!await condition()) {
    if (performance.now() > end) throw new Error(`it did not come true within ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
