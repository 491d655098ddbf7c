/** What the tool touches, as values: `main.ts` gives the real ones, tests their own. */
import type { FunctionsConfig } from "../functions/config.ts";
import type { ModuleLibrary } from "../lib/nanostate/modules/library.ts";
import type { ControllerFiles, RunState } from "../lib/nanostate/run/run.ts";
import type { Transport } from "../lib/nanostate/transport/transport.ts";
import type { Crypt, Disk, Net, Scope } from "../lib/seams.ts";
import type { PortableStore } from "../lib/store/portable.ts";

export interface Sink {
  isTerminal: boolean;
  /** Of a terminal's line. */
  columns(): number;
  write(text: string): void;
}

export interface Source {
  isTerminal: boolean;
  /** All of it. */
  text(): Promise<string>;
  /** The next line without its end; null at the end. */
  line(): Promise<string | null>;
  /** As `line`, and a terminal does not show what is typed. */
  hiddenLine(): Promise<string | null>;
}

/** Large files of text, a line at a time. */
export interface TextFiles {
  /** Without their ends. @throws {SalarError} `not-found` */
  lines(path: string): AsyncIterable<string>;
  /**
   * A new file of the lines that `fill` writes, for the owner's eyes only; there is none when that fails.
   * @throws {SalarError} `conflict` when there is one already
   */
  create<T>(path: string, fill: (write: (line: string) => Promise<void>) => Promise<T>): Promise<T>;
}

/** What nanostates are run with. */
export interface Nanostates {
  /** Folder of the states that ship. */
  shipped: string;
  /** @param ansible a folder to take modules from; null for those of this machine @throws {SalarError} `bad-input` */
  modules(options: { roots: readonly string[]; ansible: string | null }): ModuleLibrary;
  ways(options: WaysOptions): HostWays;
  files: ControllerFiles;
  run: RunState;
}

/** The way to a host; `local` is this machine. @throws {SalarError} `bad-input` for a name or configuration that leads nowhere */
export type HostWays = (
  host: { address: string; port: number | null; user: string | null },
) => Promise<Transport>;

/** Questions to people (`asking.ts`). */
export interface Asking {
  /** Null where nobody can answer. The same question again has the same answer. */
  hidden(question: string): Promise<string | null>;
}

export interface WaysOptions {
  asking: Asking;
  trustOnFirstUse: boolean;
  /** Told of each key that was trusted, for people. */
  onTrusted(text: string): void;
}

export interface World {
  /** Ends with Ctrl-C. */
  scope: Scope;
  /** Outlives a Ctrl-C, for what others must still be told; a second one ends all. */
  lastScope: Scope;
  /** The network, trusting `caPem` besides the system's own authorities. */
  net(options: { caPem?: string }): Net;
  disk: Disk;
  files: TextFiles;
  crypt: Crypt;
  /** The store of a host of functions. @throws {SalarError} `not-found` for a file that is not there, unless `create` */
  store(config: FunctionsConfig, options: { create: boolean }): Promise<PortableStore>;
  nanostates: Nanostates;
  env: Readonly<Record<string, string>>;
  /** The current folder, absolute. */
  folder: string;
  stdin: Source;
  stdout: Sink;
  stderr: Sink;
}
