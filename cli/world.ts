/** What the tool touches, as values: `main.ts` gives the real ones, tests their own. */
import type { Disk, Net, Scope } from "../lib/seams.ts";

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
}

export interface World {
  /** Ends with Ctrl-C. */
  scope: Scope;
  /** The network, trusting `caPem` besides the system's own authorities. */
  net(options: { caPem?: string }): Net;
  disk: Disk;
  env: Readonly<Record<string, string>>;
  /** The current folder, absolute. */
  folder: string;
  stdin: Source;
  stdout: Sink;
  stderr: Sink;
}
