/**
 * A fixed handful of seeds with every commit: the real functions and agents on a virtual clock, under faults drawn from
 * the seed. More of them: `deno task sim hunt 500`.
 */
import assert from "node:assert/strict";
import { microtaskDrain } from "./kernel.ts";
import { failureLine, type Result, runSeed } from "./run.ts";

const SEEDS = [1, 2, 3, 4, 5, 6, 7, 8];
/** Marks that these seeds together must reach, or they prove less than they seem to. */
const REACHED = ["client agent: move ended there"];

Deno.test("seeds hold, one twice with the same hash, and moves are carried out", () => {
  const drain = microtaskDrain();
  const results: Result[] = SEEDS.map((seed) => runSeed({ seed, drain }));
  for (const result of results) assert.equal(result.failure, null, failureLine(result));
  const [first = 0] = SEEDS;
  assert.equal(runSeed({ seed: first, drain }).hash, results[0]?.hash);
  for (const mark of REACHED) {
    assert.ok(results.some(({ reached }) => (reached[mark] ?? 0) > 0), `no seed reached "${mark}"`);
  }
});

Deno.test("a planted lost update is found", () => {
  const drain = microtaskDrain();
  const found = SEEDS.some((seed) => runSeed({ seed, drain, sabotage: "lost-update" }).failure !== null);
  assert.ok(found, "the checker misses a rule that was broken on purpose");
});
