/**
 * `deno task sim SEED [--trace] [--faults A,B] [--sabotage NAME]` replays one seed and prints its story;
 * `deno task sim hunt N [--from S] [--step K] [--json] [--first]` runs N seeds and tells of those that fail, with the
 * fewest faults with which each of them still breaks the same rule.
 *
 * M1. Nothing ambient is reachable while a seed runs: the guard throws.
 * M2. It runs in a plain callback, for only there can microtasks be run on demand.
 */
import { parseArgs } from "node:util";
import { installGuard } from "../../lib/mesh/guard.ts";
import { print } from "../../tasks/print.ts";
import { microtaskDrain } from "./kernel.ts";
import { type Result, type RunOptions, runSeed } from "./run.ts";
import { SABOTAGES } from "./sabotage.ts";
import { shrink } from "./shrink.ts";

const TOLD_EVENTS = 50;

const { values, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    trace: { type: "boolean", default: false },
    faults: { type: "string" },
    sabotage: { type: "string" },
    from: { type: "string", default: "1" },
    step: { type: "string", default: "1" },
    json: { type: "boolean", default: false },
    first: { type: "boolean", default: false },
  },
});

/** Runs a seed under the guard (M1); what it prints is printed afterwards. */
function guarded(options: RunOptions): Result {
  const restore = installGuard();
  const stackTraceLimit = Error.stackTraceLimit;
  if (!options.trace) Error.stackTraceLimit = 0; // thousands of errors are part of a run, and nobody reads their stacks
  try {
    return runSeed(options);
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
    restore();
  }
}

function main(): void {
  const drain = microtaskDrain();
  const sabotage = SABOTAGES.find((name) => name === values.sabotage) ?? null;
  const only = values.faults === undefined ? null : new Set(values.faults.split(",").filter(Boolean));
  const shared = { drain, sabotage, only };
  if (positionals[0] === "hunt") return hunt(Number(positionals[1] ?? "500"), shared);
  const lines: string[] = [];
  const seed = Number(positionals[0] ?? "1");
  const result = guarded({ ...shared, seed, trace: values.trace ? (line) => lines.push(line) : null });
  for (const line of lines) print(line);
  print(summary(result));
  if (result.failure !== null) {
    print(`faults: ${result.faults.join(",")}`);
    Deno.exitCode = 1;
  }
}

function hunt(count: number, shared: Omit<RunOptions, "seed">): void {
  const startMs = performance.now();
  let failures = 0;
  for (let n = 0; n < count; n++) {
    const seed = Number(values.from) + n * Number(values.step);
    const result = guarded({ ...shared, seed });
    if (values.json) {
      const { failure, hash, events, reached, faults } = result;
      print(JSON.stringify({ seed, failure, hash, events, reached, faults: faults.length }));
    } else if (result.failure !== null) tellFailure(result, shared);
    if (result.failure !== null) {
      failures++;
      if (values.first) break;
    }
  }
  const perSeedMs = Math.round((performance.now() - startMs) / count);
  if (!values.json) print(`${count} seeds, ${failures} failed, ${perSeedMs} ms a seed`);
  Deno.exitCode = failures > 0 ? 1 : 0;
}

/** A run is its seed: it is run again for its story, and again and again for the least of its faults. */
function tellFailure(result: Result, shared: Omit<RunOptions, "seed">): void {
  const { seed, faults, failure } = result;
  let lines: string[] = [];
  guarded({ ...shared, seed, trace: (line) => lines = [...lines.slice(1 - TOLD_EVENTS), line] });
  print(summary(result));
  for (const line of lines) print(`  ${line}`);
  const least = shrink(faults, (names) => {
    const again = guarded({ ...shared, seed, only: new Set(names) });
    return again.failure?.invariant === failure?.invariant;
  });
  print(`  replay: ${replayLine(result, least)}`);
}

/** `faults`: only these. */
function replayLine({ seed }: Result, faults: readonly string[]): string {
  const planted = values.sabotage === undefined ? "" : ` --sabotage ${values.sabotage}`;
  return `npx -y deno task sim ${seed} --trace --faults '${faults.join(",")}'${planted}`;
}

function summary({ seed, failure, virtualMs, events, faults, hash }: Result): string {
  const verdict = failure === null ? "holds" : `breaks ${failure.detail}, after ${failure.atMs} ms`;
  return `seed ${seed} ${verdict} (${virtualMs} ms, ${events} events, ${faults.length} faults, hash ${hash})`;
}

setImmediate(main);
