/**
 * A program of Salar as a process of its own that can be killed at any moment and is started again, as a service manager
 * would do. Its standard error goes to a file that a failing test shows the end of.
 */
import { tail } from "../parts/command.ts";

const RESTART_MS = 300;
const STOP_MS_MAX = 25_000;

export interface ProgramOptions {
  name: string;
  /** After `deno run -A`: file and arguments. */
  args: string[];
  env?: Record<string, string>;
  /** Where its log goes. */
  folder: string;
}

export class Program {
  readonly name: string;
  readonly #options: ProgramOptions;
  #child: Deno.ChildProcess;
  #wanted = true;
  #life: Promise<void>;
  /** How often it was started. */
  starts = 0;

  constructor(options: ProgramOptions) {
    this.name = options.name;
    this.#options = options;
    this.#child = this.#spawn();
    this.#life = this.#keepAlive();
  }

  get logFile(): string {
    return `${this.#options.folder}/${this.name}.log`;
  }

  /** SIGKILL; it is started again. */
  kill(): void {
    signal(this.#child, "SIGKILL");
  }

  /** SIGTERM and wait; SIGKILL when it does not obey. */
  async stop(): Promise<void> {
    this.#wanted = false;
    signal(this.#child, "SIGTERM");
    const timer = setTimeout(() => signal(this.#child, "SIGKILL"), STOP_MS_MAX);
    await this.#life;
    clearTimeout(timer);
  }

  async log(): Promise<string> {
    return tail(await Deno.readTextFile(this.logFile).catch(() => ""), 15);
  }

  #spawn(): Deno.ChildProcess {
    this.starts++;
    const { args, env = {} } = this.#options;
    // A shell only to append to the log; `exec` makes the pid that of the program.
    const script = 'log="$1"; shift; exec "$@" >>"$log" 2>&1';
    return new Deno.Command("sh", {
      args: ["-c", script, "sh", this.logFile, Deno.execPath(), "run", "-A", "--no-prompt", ...args],
      env,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  async #keepAlive(): Promise<void> {
    while (true) { // until `stop`
      await this.#child.status;
      if (!this.#wanted) return;
      await new Promise((resolve) => setTimeout(resolve, RESTART_MS));
      if (!this.#wanted) return;
      this.#child = this.#spawn();
    }
  }
}

function signal(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // it has ended by itself
  }
}
