/**
 * The client agent is killed at random moments of a move, again and again: the minion ends with one master, the one
 * that the report names. The moments follow from the seed.
 */
import type { Random } from "../../lib/seams.ts";
import { seededRandom } from "../simulation/random.ts";
import assert from "node:assert/strict";
import { SALT_LINES } from "../parts/salt.ts";
import { assertFollows, saltFiles, type Site, startSite } from "./repoint_support.ts";

const SEED = 20_261_124;
const KILLS_PER_MOVE = 2;
/** A move takes about 5 s here, one that turns back about 15 s. */
const KILL_WITHIN_MS = 6_000;

for (const line of SALT_LINES) {
  Deno.test(`a killed client agent leaves a Salt ${line} minion with exactly one master (seed ${SEED})`, async () => {
    await using site = await startSite(line);
    const { a, b, minion } = site;
    const random = seededRandom(SEED, `kills ${line}`);
    let at: "a" | "b" = "a";
    for (const to of ["b", "a"] as const) {
      if (await moveUnderKills(site, await site.order(site[to]), random) === "there") at = to;
      await assertFollows(site, at);
    }
    const before = await saltFiles(minion);
    const [other, wrongKey] = at === "a" ? [b, await a.masterPublicKey()] : [a, await b.masterPublicKey()];
    assert.equal(await moveUnderKills(site, await site.order(other, wrongKey), random), "back");
    assert.deepEqual(await saltFiles(minion), before);
    await assertFollows(site, at);
  });
}

async function moveUnderKills(site: Site, seq: number, random: Random): Promise<"there" | "back"> {
  for (let kill = 0; kill < KILLS_PER_MOVE; kill++) {
    await new Promise((resolve) => setTimeout(resolve, random.below(KILL_WITHIN_MS)));
    await site.endAgent("SIGKILL");
    site.startAgent();
  }
  return (await site.reportOf(seq)).outcome;
}
