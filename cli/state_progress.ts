/**
 * How a run goes, for people: on a terminal a line for each host that is under way, written over; else a line for each
 * host that has ended.
 *
 * G1. Never more lines than SHOWN_MAX are written over, however many hosts there are.
 * G2. What hosts say cannot steer the terminal (`printable`).
 */
import { ADMIN_PROGRESS_MS } from "../lib/limits.ts";
import type { Counts, HostResult, RunEvent } from "../lib/nanostate/run/result.ts";
import { printable } from "./table.ts";
import type { World } from "./world.ts";

export interface RunProgress {
  onEvent(event: RunEvent): void;
  /** Takes away what is written over while something else uses the terminal. */
  whileQuiet<T>(work: () => Promise<T>): Promise<T>;
  end(): void;
}

const SHOWN_MAX = 12;

export function runProgress({ scope, stderr }: Pick<World, "scope" | "stderr">): RunProgress {
  if (stderr.isTerminal) return new Overwriting(stderr, scope.monoMs);
  return {
    onEvent(event) {
      if (event.type === "host") stderr.write(printable(hostLine(event.result)) + "\n");
    },
    whileQuiet: (work) => work(),
    end() {},
  };
}

/** `web-1  failed 1, changed 2, ok 30`, or why it could not be used. */
export function hostLine({ host, counts, message }: HostResult): string {
  return `${host}  ${[message, countsText(counts)].filter(Boolean).join("; ")}`;
}

export function countsText(counts: Counts): string {
  const names = { failed: "failed", changed: "changed", unknown: "unknown", notRun: "not run" } as const;
  const keys = ["failed", "changed", "unknown", "notRun"] as const;
  const parts = keys.filter((key) => counts[key] > 0).map((key) => `${names[key]} ${counts[key]}`);
  const rest = (["ok", "skipped"] as const).filter((key) => counts[key] > 0).map((key) =>
    `${key} ${counts[key]}`
  );
  return [...parts, ...rest].join(", ");
}

interface Running {
  done: number;
  steps: number | null;
  now: string;
}

class Overwriting implements RunProgress {
  readonly #running = new Map<string, Running>();
  #drawn = 0;
  #drawnMs = -Infinity;
  #isQuiet = false;

  constructor(readonly sink: World["stderr"], readonly monoMs: () => number) {}

  onEvent(event: RunEvent): void {
    const { host } = event;
    const known = this.#running.get(host) ?? { done: 0, steps: null, now: "connecting" };
    if (event.type === "host") {
      this.#running.delete(host);
      this.#erase();
      this.#line(hostLine(event.result));
      return this.#draw();
    }
    if (event.type === "connected") {
      this.#running.set(host, { ...known, steps: event.steps, now: "connected" });
    } else if (event.type === "begin") this.#running.set(host, { ...known, now: event.step });
    else if (event.type === "step") this.#running.set(host, { ...known, done: known.done + 1 });
    else this.#running.set(host, known);
    if (this.monoMs() - this.#drawnMs >= ADMIN_PROGRESS_MS) this.#draw();
  }

  async whileQuiet<T>(work: () => Promise<T>): Promise<T> {
    this.#erase();
    this.#isQuiet = true;
    try {
      return await work();
    } finally {
      this.#isQuiet = false;
      this.#draw();
    }
  }

  end(): void {
    this.#erase();
    this.#running.clear();
  }

  #draw(): void {
    if (this.#isQuiet) return;
    this.#erase();
    const shown = [...this.#running].slice(0, SHOWN_MAX); // G1
    for (const [host, { done, steps, now }] of shown) {
      this.#line(`  ${host}  ${done}/${steps ?? "?"}  ${now}`);
    }
    const more = this.#running.size - shown.length;
    if (more > 0) this.#line(`  and ${more} more`);
    this.#drawn = shown.length + (more > 0 ? 1 : 0);
    this.#drawnMs = this.monoMs();
  }

  #erase(): void {
    if (this.#drawn > 0) this.sink.write(`\x1b[${this.#drawn}A\x1b[J`);
    this.#drawn = 0;
  }

  /** A line that wraps could not be written over. */
  #line(text: string): void {
    this.sink.write(printable(text).slice(0, this.sink.columns() - 1) + "\n");
  }
}
