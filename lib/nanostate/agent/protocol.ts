/**
 * What a run is for the agent on a host, and what it answers. The agent is `agent.py` with `actions.py` where the host has
 * a Python, and a `sh` script where it has none: that one does `shell`, `raw` and binary modules.
 *
 * A1. A whole run goes over in one write. What follows from a result (guards, the rule after a failure, the parts of a
 *     module that its "action" does) is decided on the host, without asking back.
 * A2. Contents go by their hash: the agent asks for those that it has neither in its cache nor any need for.
 * A3. Each step is a process of its own with a process group of its own. While it runs, the group ends with `stepMs` and
 *     with the channel; what a finished step left in the background (a daemon) stays. A step is never run again by itself.
 * A4. Nothing of a run's arguments is written to a disk there but what a module itself has to read from a file, for the
 *     user's eyes only, removed with the step.
 */
import type { Json, JsonObject } from "../json.ts";

/** The oldest Python that the agent understands; a version of Ansible may ask for a newer one. */
export const PYTHON_MIN = [3, 6] as const;

/** SHA-256 of a content, hex. */
export type Hash = string;

export interface AgentRun {
  groups: readonly { steps: readonly WireStep[] }[];
  check: boolean;
  /** In check mode: something before this run would change, so a look would see what is there no more by then. */
  open?: boolean;
  diff: boolean;
  /** After a failed step: the rest of its group, or of the run, is not run; or all goes on. Check mode always goes on. */
  onFailure: "end-group" | "end-run" | "go-on";
  stepMs: number;
  /** For every step, besides the login's own. */
  environment: Readonly<Record<string, string>>;
  /** Modules by their whole name: those of the steps, and those that their actions call. */
  modules: Readonly<Record<string, WireModuleFile>>;
  ansible: WireAnsible | null;
}

/** Python modules: all that a run may need in one zip. */
export interface WireAnsible {
  /** Of the zip. */
  payload: Hash;
  /** Of ansible-core: `2.14.18`. */
  version: string;
  /** To 2.18 by `basic._ANSIBLE_ARGS` and runpy; from 2.19 by `ansible.module_utils._internal._ansiballz._loader`. */
  entry: "basic" | "loader";
  /** Internal arguments (`_ansible_…`) that this version's `basic` knows, without the prefix. */
  internal: readonly string[];
  /** The oldest Python that this version's modules run on. */
  pythonMin: readonly [number, number];
}

/** How a module is run; see the table of kinds in docs/nanostate.md. */
export type WireModuleFile =
  /** In the zip, by its dotted name: `ansible.modules.apt`. */
  | { kind: "python"; entry: string }
  /** A file of its own. `interpreter` is of its `#!` line, null for a binary. */
  | { kind: "json-args" | "want-json" | "old" | "binary"; blob: Hash; interpreter: string | null };

export type WireStep = WireShell | WireModule;

interface WireStepBase {
  id: string;
  /** Steps above, of other groups: when one of them failed or did not run, this one does not run and its group ends. */
  needs?: readonly string[];
}
export interface WireShell extends WireStepBase {
  kind: "shell";
  commands: readonly WireCommand[];
}
/**
 * Lines for `/bin/sh -c`. Guards in this order: creates, removes, unless, onlyif, once. In check mode one that never changes
 * anything is run as long as nothing above it would change.
 */
export interface WireCommand {
  name: string;
  run: string;
  creates?: string;
  removes?: string;
  unless?: string;
  onlyif?: string;
  changed?: string;
  ok?: readonly number[];
  once?: string;
}
export interface WireModule extends WireStepBase {
  kind: "module";
  /** Whole name: `ansible.builtin.copy`. */
  module: string;
  args: JsonObject;
  /** The function of `actions.py` that does this module; null for one that is only run. */
  action: string | null;
  /** Local files that its action may ask for. */
  files?: readonly WireFile[];
}

/** A file, folder or link of the controller. `path` is below the step's `src`; "" for `src` itself. */
export interface WireFile {
  path: string;
  type: "file" | "folder" | "link";
  /** Permission bits. */
  mode: number;
  /** Of a file. */
  blob?: Hash;
  sha1?: string;
  size?: number;
  /** Of a link. */
  target?: string;
}

/** What the agent says of itself when it has started. */
export interface AgentInfo {
  kind: "python" | "sh";
  /** Of Python: `3.11.2`. */
  python: string | null;
  user: string;
  /** `uname -s`, `uname -m`: `Linux`, `x86_64`. */
  system: string;
  machine: string;
}

/** In the order of the steps; each step once. */
export type WireResult =
  | { step: string; kind: "shell"; ms: number; commands: readonly WireCommandResult[] }
  | { step: string; kind: "module"; ms: number; result: JsonObject; stderr: string; timedOut: boolean }
  /** By the rule after a failure, or because the agent cannot run it: `why` is for people. */
  | { step: string; kind: "not-run"; why: string; cannot: boolean };

export interface WireCommandResult {
  name: string;
  /** `skipped`: by a guard, named in `why`. `unknown`: check mode cannot tell. `not-run`: an earlier command failed. */
  outcome: "ok" | "changed" | "failed" | "skipped" | "unknown" | "not-run";
  /** Null when it did not run, or was killed. */
  rc: number | null;
  stdout: string;
  stderr: string;
  why: string;
  timedOut: boolean;
}

/** A file that `fetch` reads, in pieces, before the result of its step. */
export interface WireFetched {
  step: string;
  bytes: Uint8Array;
}

export type WireEvent =
  | { type: "begin"; step: string }
  | { type: "fetched"; fetched: WireFetched }
  | { type: "result"; result: WireResult };

/** An agent that is starting. One run at a time; a first run may be given before the agent has said a word. */
export interface AgentSession {
  /** Comes with the agent's first words: awaiting it before the first run costs a round trip. @throws {HostError} */
  readonly info: Promise<AgentInfo>;
  /**
   * Does a run; ends after the last step's result.
   * @param blobs gives a content that the agent asks for. @throws {HostError} also in the middle
   */
  run(run: AgentRun, blobs: (hash: Hash) => Promise<Uint8Array>): AsyncIterable<WireEvent>;
  /** Ends the agent and all that it started. Safe to call again. */
  close(): Promise<void>;
}

export interface Become {
  user: string;
  /** Over the pipe, never in argv; asked for only when sudo asks. */
  password?: () => Promise<string | null>;
}

/** Of standard output and of standard error of one command or module; of more, head and tail are kept. */
export const OUTPUT_BYTES_MAX = 10 * 1024 * 1024;

export function isFailed(result: { [key: string]: Json }): boolean {
  const { failed, rc } = result;
  if (failed !== undefined) return failed === true;
  return typeof rc === "number" && rc !== 0;
}
