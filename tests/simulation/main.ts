/**
 * `deno task sim SEED [--trace] [--faults LIST]` replays one seed and prints its story;
 * `deno task sim hunt N [--from S]` runs N seeds and tells of those that fail.
 */
import { parseArgs } from "node:util";
import { microtaskDrain } from "./kernel.ts";
import { failureLine, runSeed, type SabotageName, SABOTAGES } from "./run.ts";
import { print } from "../../tasks/print.ts";

const { values, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    trace: { type: "boolean", default: false },
    faults: { type: "string" },
    from: { type: "string", default: "1" },
    sabotage: { type: "string" },
  },
});

/** A plain callback, for microtasks can be run on demand from there only. */
function main(): void {
  const drain = microtaskDrain();
  const only = values.faults === undefined ? null : new Set(values.faults.split(",").filter(Boolean));
  const sabotage = SABOTAGES.find((name) => name === values.sabotage) ?? null satisfies SabotageName | null;
  const [first = "1", count = "1"] = positionals;
  if (first === "hunt") {
    const startMs = performance.now();
    let failures = 0;
    for (let seed = Number(values.from); seed < Number(values.from) + Number(count); seed++) {
      const result = runSeed({ seed, drain, sabotage });
      if (result.failure !== null) {
        failures++;
        print(failureLine(result));
      }
    }
    print(
      `${count} seeds, ${failures} fail, ${
        ((performance.now() - startMs) / Number(count)).toFixed(0)
      } ms a seed`,
    );
    return;
  }
  const result = runSeed({ seed: Number(first), drain, only, sabotage, trace: values.trace ? print : null });
  print(failureLine(result));
  print(
    `${result.virtualMs} ms, ${result.events} events, ${result.faults.length} faults, hash ${result.hash}`,
  );
}

setImmediate(main);
