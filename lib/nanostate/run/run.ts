/**
 * Runs a state on hosts, many at once: connect, gather facts where the state asks for them, compile, send, collect.
 *
 * R1. Hosts are independent: what one does or fails to do is in its own result only.
 * R2. Every wait has a limit; cancelled or timed out, no process of ours stays behind on any host.
 * R3. A step is never run twice by us: a connection lost in the middle of one gives it an unknown outcome.
 * R4. Values of secrets go to the hosts and nowhere else.
 */
import type { Become } from "../agent/protocol.ts";
import type { JsonObject } from "../json.ts";
import type { ModuleLibrary } from "../modules/library.ts";
import type { StateIndex } from "../state_index.ts";
import type { Transport } from "../transport/transport.ts";
import type { RunEvent, RunResult } from "./result.ts";
import type { StoredPlan } from "./stored_plan.ts";

/** One host of a run. */
export interface Target {
  /** Unique in the run; people and results call it so. */
  name: string;
  transport: Transport;
  become: Become | null;
  /** Parameters of this host, before those of the run. */
  params: JsonObject;
  environment: Readonly<Record<string, string>>;
}

/** Files of the controller: what `copy` sends, where `fetch` puts. Paths are the runner's own: see `localPath`. */
export interface ControllerFiles {
  /**
   * A file or folder with all below it, parents before their children; null when there is none. Contents are read when
   * asked for. `follow`: links in a folder are what they point to; the path itself always is.
   */
  walk(path: string, options: { follow: boolean }): Promise<LocalFile[] | null>;
  /** Takes a content into a file beside `near`, which is where it will go or the folder above; that is made. */
  receive(near: string, pieces: AsyncIterable<Uint8Array>): Promise<Received>;
}
export interface LocalFile {
  /** Below the path asked for; "" for itself. */
  path: string;
  type: "file" | "folder" | "link";
  mode: number;
  size: number;
  target?: string;
  /** In pieces, from the beginning; safe to ask for again. */
  read(): AsyncIterable<Uint8Array>;
}
export interface Received {
  sha1: string;
  /** Puts it there, unless just that is there already. Folders on the way are made. @returns whether that changed anything */
  keep(path: string): Promise<boolean>;
  /** Forgets it. */
  drop(): Promise<void>;
}

export interface RunOptions {
  index: StateIndex;
  /** Of the root state. */
  id: string;
  targets: readonly Target[];
  mode: "apply" | "check";
  /** Whether modules tell what they change; in check mode they always do. */
  diff?: boolean;
  params: JsonObject;
  /** Names there are, and their values, which are asked for when a step is sent. */
  secrets: ReadonlyMap<string, () => Promise<string>>;
  modules: ModuleLibrary;
  files: ControllerFiles;
  /** Of an earlier check: only a host that would still do just that is changed. */
  stored?: StoredPlan;
  onFailure: "end-group" | "end-run" | "go-on";
  /** Hosts at once. @default 50 */
  jobs?: number;
  /** Hosts at once that are being connected to. @default 10 */
  connects?: number;
  /** @default the transports' own to connect, 30 min a step, 2 h a host */
  limits?: Partial<{ connectMs: number; stepMs: number; runMs: number }>;
  signal: AbortSignal;
  onEvent?: (event: RunEvent) => void;
}

/** @throws {RangeError} bounds or targets that make no run; what goes wrong on a host is in its result only */
export type RunState = (options: RunOptions) => Promise<RunResult>;
