/**
 * Five hundred seeds, shared by the cores; some twice, in other processes, with one hash.
 *
 * T1. Every seed holds; what must be reached over all of them is reached.
 * T2. A rule that is broken on purpose is found, each of them by one of the first seeds.
 * The budget is a number of seeds; how long they take is for people to read.
 */
import assert from "node:assert/strict";
import { type Hunted, huntSeeds, replayLines } from "./hunting.ts";
import { SABOTAGES } from "./sabotage.ts";

const SEEDS = 500;
const PROCESSES = 2;
/** Every so many seeds one runs again: of each size (`scale.ts`) some. */
const TWICE_EVERY = 11;
/** So few seeds find each planted bug. */
const SABOTAGED_SEEDS = 20;

/** What 500 seeds must have reached, or they prove less than they seem to. */
const SOMETIMES = [
  "a directive is withdrawn",
  "a durable message comes again",
  "a token settles a commit",
  "a node is exactly full",
  "client agent: late directive",
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
  "zone.remove",
];

Deno.test("500 seeds hold, some twice with the same hash, and together they reach what they must", async () => {
  const hunted = await huntAll({ count: SEEDS, from: 1, step: 1 });
  const failed = hunted.filter(({ failure }) => failure !== null);
  assert.deepEqual(failed.map(({ seed, failure }) => `${seed}: ${failure?.detail}`), [], replayLines(failed));

  const hashes = new Map(hunted.map(({ seed, hash }) => [seed, hash]));
  const again = await huntAll({
    count: Math.floor(SEEDS / TWICE_EVERY),
    from: TWICE_EVERY,
    step: TWICE_EVERY,
  });
  for (const { seed, hash } of again) assert.equal(hash, hashes.get(seed), `seed ${seed} runs twice alike`);

  const reached = (mark: string) => hunted.some(({ reached }) => (reached[mark] ?? 0) > 0);
  assert.deepEqual(SOMETIMES.filter((mark) => !reached(mark)), [], "marks that no seed reached");
});

for (const sabotage of SABOTAGES) {
  Deno.test(`${sabotage}, planted, is found by one of the first ${SABOTAGED_SEEDS} seeds`, async () => {
    const hunted = await huntSeeds({ count: SABOTAGED_SEEDS, from: 1, step: 1, sabotage });
    assert.ok(hunted.some(({ failure }) => failure !== null));
  });
}

/** `count` seeds, in as many processes as there are to share them. */
async function huntAll(
  { count, from, step }: { count: number; from: number; step: number },
): Promise<Hunted[]> {
  const shares = Array.from({ length: PROCESSES }, (_, at) => ({
    count: Math.ceil((count - at) / PROCESSES),
    from: from + at * step,
    step: step * PROCESSES,
  }));
  const hunted = (await Promise.all(shares.map((share) => huntSeeds(share)))).flat();
  assert.equal(hunted.length, count);
  return hunted;
}
