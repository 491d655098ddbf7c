/**
 * Hosts for tests of the runner: an agent in this process that does what a test says, under the rules of the real one
 * (protocol.ts: order, `begin` before each step, the rule after a failure, `needs`, one run at a time).
 */
import type { AgentRun, AgentSession, WireEvent, WireResult, WireStep } from "../agent/protocol.ts";
import type { JsonObject } from "../json.ts";
import { partOf } from "../modules/actions.ts";
import { ModuleError, type ModuleLibrary } from "../modules/library.ts";
import { indexStates } from "../state_index.ts";
import { HostError, type Transport } from "../transport/transport.ts";
import type { StartAgent } from "./connection.ts";
import { isFailed } from "../agent/protocol.ts";
import type { RunEvent, RunResult } from "./result.ts";
import type { ControllerFiles, RunOptions, Target } from "./run.ts";

export type Answer =
  | { result: JsonObject; timedOut?: boolean }
  | { rc: number; stdout?: string; stderr?: string }
  /** In check mode: what the guards say. */
  | { outcome: "ok" | "changed" | "skipped" | "unknown"; why?: string }
  | HostError;

export interface FakeHost {
  /** What a step, or each command of it, comes to. @default fine, nothing changed */
  answer?: (step: WireStep, run: AgentRun, name: string) => Answer | Promise<Answer>;
  /** Instead of an agent. */
  refuses?: HostError;
  /** Facts that `setup` gives. */
  facts?: JsonObject;
}

/** Everything that happened to fake hosts, in order. */
export interface Farm {
  start: StartAgent;
  runs: { host: string; run: AgentRun }[];
  /** How often each host was connected to. */
  connected: Map<string, number>;
  /** Sessions that are open now, and the most there were at once. */
  open: { now: number; most: number; connecting: number; mostConnecting: number };
}

export function farm(hostOf: (name: string) => FakeHost): Farm {
  const found: Farm = {
    runs: [],
    connected: new Map(),
    open: { now: 0, most: 0, connecting: 0, mostConnecting: 0 },
    async start(transport, { signal }) {
      const { address } = transport;
      const { open, connected, runs } = found;
      open.connecting++;
      open.mostConnecting = Math.max(open.mostConnecting, open.connecting);
      await new Promise((resolve) => setTimeout(resolve, 1)); // others get their turn
      open.connecting--;
      if (signal.aborted) throw new HostError("cancelled", "ended");
      const host = hostOf(address);
      if (host.refuses !== undefined) throw host.refuses;
      connected.set(address, (connected.get(address) ?? 0) + 1);
      open.now++;
      open.most = Math.max(open.most, open.now);
      return fakeSession(host, {
        signal,
        onRun: (run) => runs.push({ host: address, run }),
        onClose: () => open.now--,
      });
    },
  };
  return found;
}

interface Hooks {
  signal: AbortSignal;
  onRun(run: AgentRun): void;
  onClose(): void;
}

function fakeSession(host: FakeHost, { signal, onRun, onClose }: Hooks): AgentSession {
  let isOpen = true;
  return {
    info: Promise.resolve({
      kind: "python",
      python: "3.11.2",
      user: "u",
      system: "Linux",
      machine: "x86_64",
    }),
    async *run(run) {
      if (!isOpen) throw new HostError("lost", "the session was closed");
      onRun(run);
      const fine = new Set<string>();
      const rule = run.check ? "go-on" : run.onFailure;
      let ended = false;
      for (const { steps } of run.groups) {
        if (rule === "end-group") ended = false;
        for (const step of steps) {
          ended ||= rule === "end-group" && (step.needs ?? []).some((need) => !fine.has(need));
          if (ended) {
            const why = "an earlier step failed";
            yield { type: "result", result: { step: step.id, kind: "not-run", why, cannot: false } };
            continue;
          }
          yield { type: "begin", step: step.id } satisfies WireEvent;
          const result = await resultOf(host, step, run, signal);
          if (!hasFailed(result)) fine.add(step.id);
          else if (rule !== "go-on") ended = true;
          yield { type: "result", result };
        }
      }
    },
    close() {
      if (isOpen) onClose();
      isOpen = false;
      return Promise.resolve();
    },
  };
}

async function resultOf(
  host: FakeHost,
  step: WireStep,
  run: AgentRun,
  signal: AbortSignal,
): Promise<WireResult> {
  const ended = new Promise<HostError>((resolve) => {
    const end = () => resolve(new HostError("cancelled", "ended from here"));
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
  const ask = async (name: string): Promise<Exclude<Answer, HostError>> => {
    const isSetup = step.kind === "module" && step.module === "ansible.builtin.setup";
    if (isSetup && host.facts !== undefined) return { result: { ansible_facts: host.facts } };
    const byDefault: Answer = step.kind === "shell" ? { rc: 0 } : { result: { changed: false } };
    const answer = await Promise.race([ended, host.answer?.(step, run, name) ?? byDefault]);
    if (answer instanceof HostError) throw answer;
    return answer;
  };
  if (step.kind === "module") {
    const answer = await ask(step.module);
    const { result, timedOut = false } = "result" in answer
      ? answer
      : { result: { changed: "outcome" in answer && answer.outcome === "changed" } };
    return { step: step.id, kind: "module", ms: 1, result, stderr: "", timedOut };
  }
  const commands = [];
  for (const { name } of step.commands) {
    const answer = await ask(name);
    const basics = { name, stdout: "", stderr: "", why: "", timedOut: false };
    if ("outcome" in answer) commands.push({ ...basics, rc: null, ...answer });
    else if ("rc" in answer) {
      const outcome = answer.rc === 0 ? "changed" as const : "failed" as const;
      commands.push({ ...basics, outcome, ...answer });
    } else throw new RangeError("a command has an exit code or an outcome");
  }
  return { step: step.id, kind: "shell", ms: 1, commands };
}

function hasFailed(result: WireResult): boolean {
  if (result.kind === "module") return result.timedOut || isFailed(result.result);
  return result.kind === "shell" && result.commands.some(({ outcome }) => outcome === "failed");
}

/** Every builtin module, without anything to send; those in `missing` are nowhere. */
export function fakeLibrary({ missing = [] }: { missing?: readonly string[] } = {}): ModuleLibrary {
  return {
    action: (module) => partOf(module),
    byPlatform: () => false,
    bundle: (modules) => {
      const gone = modules.find((module) => missing.includes(module));
      if (gone !== undefined) return Promise.reject(new ModuleError(gone, `Cannot find the module ${gone}`));
      const kind = { kind: "python", entry: "" } as const;
      return Promise.resolve({
        modules: Object.fromEntries(modules.map((module) => [module, kind])),
        ansible: null,
        blobs: new Map(),
      });
    },
  };
}

export const NO_FILES: ControllerFiles = {
  walk: () => Promise.resolve(null),
  receive: () => Promise.reject(new Error("nothing can be stored here")),
};

export function target(name: string, more: Partial<Target> = {}): Target {
  const transport: Transport = { address: name, start: () => Promise.reject(new Error("no way there")) };
  return { name, transport, become: null, params: {}, environment: {}, ...more };
}

/** A run's options for files by path; the state `s` on the host `h` unless others are given. */
export function options(files: Record<string, string>, more: Partial<RunOptions> = {}): RunOptions {
  const sources = Object.entries(files).map(([path, text]) => ({
    path,
    bytes: new TextEncoder().encode(text),
  }));
  return {
    index: indexStates(sources),
    id: "s",
    targets: [target("h")],
    mode: "apply",
    params: {},
    secrets: new Map(),
    modules: fakeLibrary(),
    files: NO_FILES,
    onFailure: "end-group",
    signal: new AbortController().signal,
    ...more,
  };
}

/** `h serve/0 changed ok` for each response: host, step, outcomes of its commands. */
export function outcomes({ hosts }: RunResult): string[] {
  return hosts.flatMap(({ host, groups }) =>
    groups.flatMap(({ steps }) =>
      steps.map(({ id, responses }) => [host, id, ...responses.map(({ outcome }) => outcome)].join(" "))
    )
  );
}

/** `begin h serve/0`, `step h serve/0`, `host h`. */
export function eventText(event: RunEvent): string {
  const step = event.type === "begin" ? ` ${event.step}` : event.type === "step" ? ` ${event.result.id}` : "";
  return `${event.type} ${event.host}${step}`;
}
