/**
 * Five hundred seeds, in as many processes as there are to share them; some twice, in two processes, with one hash.
 *
 * T1. Every seed holds; what must be reached over all of them is reached.
 * T2. A rule that is broken on purpose is found, each of them.
 * The budget is a number of seeds; how long they take is for people to read.
 */
import assert from "node:assert/strict";
import { type Hunted, huntSeeds, replayLines } from "./hunting.ts";
import { SABOTAGES } from "./sabotage.ts";

const SEEDS = 500;
const PROCESSES = 2;
/** Every so many seeds one runs again, in another process. */
const TWICE_EVERY = 10;

/** What 500 seeds must have reached, or they prove less than they seem to. */
const SOMETIMES = [
  "a directive is withdrawn",
  "a durable message comes again",
  "a token settles a commit",
  "client agent: move ended back",
  "client agent: move ended there",
  "client agent: move taken up again",
  "conflict",
  "node.cordon",
  "node.directive.key.accept.done",
  "node.directive.key.forget.done",
  "node.drain",
  "node.emptied",
  "node.lose",
  "node.return",
  "node.undrain",
  "plan.cancel",
  "plan.finish",
  "plan.pause",
  "plan.resume",
  "system.adopt",
  "system.bind",
  "system.move",
  "system.orphan",
  "system.register",
  "system.return",
  "system.settle",
];

Deno.test("500 seeds hold, some twice with the same hash, and together they reach what they must", async () => {
  const lots = await Promise.all(
    Array.from(
      { length: PROCESSES },
      (_, at) => huntSeeds({ count: SEEDS / PROCESSES, from: 1 + at, step: PROCESSES }),
    ),
  );
  const hunted = lots.flat();
  assert.equal(hunted.length, SEEDS);
  const failed = hunted.filter(({ failure }) => failure !== null);
  assert.deepEqual(failed.map(({ seed, failure }) => `${seed}: ${failure?.detail}`), [], replayLines(failed));

  const again = await huntSeeds({ count: SEEDS / TWICE_EVERY, from: TWICE_EVERY / 2, step: TWICE_EVERY });
  const hashes = new Map(hunted.map(({ seed, hash }) => [seed, hash]));
  for (const { seed, hash } of again) assert.equal(hash, hashes.get(seed), `seed ${seed} runs twice alike`);

  const reached = (mark: string) => hunted.some((each: Hunted) => (each.reached[mark] ?? 0) > 0);
  assert.deepEqual(SOMETIMES.filter((mark) => !reached(mark)), [], "marks that no seed reached");
});

for (const sabotage of SABOTAGES) {
  Deno.test(`${sabotage}, planted, is found`, async () => {
    const hunted = await huntSeeds({ count: SEEDS, from: 1, step: 1, sabotage });
    assert.ok(hunted.some(({ failure }) => failure !== null), `${SEEDS} seeds do not find it`);
  });
}
