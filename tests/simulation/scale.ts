/**
 * How large a run is, by its seed: most are small, for breadth; some are as large as a site, for scale.
 *
 * | seeds                           | nodes | systems         | of them with an agent |
 * | 25, 50, 75, … (one of 25)       | 5     | 1,000: 200 each | 40                    |
 * | 10, 60, 110, … (one of 50)      | 5     | 200: 40 each    | all                   |
 * | all others                      | 5     | 20 … 60         | 10 … 30, at most all  |
 * Those without an agent are known from the nodes' databases only, as on a site that begins with Salar. Of those with
 * one most are new, and a few are for the annex, a zone that people add and remove while they come.
 */
import type { Random } from "../../lib/seams.ts";
import { between, seededRandom } from "./random.ts";
import { NodeMachine, SystemMachine, type World } from "./world.ts";

const NODES = 5;
const EVERY = 25;
const ZONES = ["berlin", "nuremberg", "prague"];
/** A zone without nodes. */
export const ANNEX = "annex";
const IN_ANNEX = 4;

interface Scale {
  systems: number;
  agents: number;
}

function scaleOf(seed: number, random: Random): Scale {
  if (seed % EVERY === 0) return { systems: NODES * 200, agents: 40 };
  if (seed % (2 * EVERY) === 10) return { systems: NODES * 40, agents: NODES * 40 };
  const systems = between(random, 20, 60);
  return { systems, agents: Math.min(systems, between(random, 10, 30)) };
}

/** Nodes with room for all, but not much more, and the systems as they are before there is a cluster. */
export function populate(world: World, seed: number): void {
  const random = seededRandom(seed, "world");
  const { systems, agents } = scaleOf(seed, random);
  const capacity = Math.ceil(systems / NODES * (1.2 + random.below(10) / 10));
  for (let n = 1; n <= NODES; n++) {
    world.nodes.push(new NodeMachine(`node-${n}`, ZONES[n % ZONES.length] ?? "", capacity));
  }
  for (let n = 1; n <= systems; n++) {
    const hasAgent = n <= agents;
    const zone = n <= IN_ANNEX ? ANNEX : ZONES[random.below(ZONES.length)] ?? "";
    const system = new SystemMachine(`client-${n}`, zone, hasAgent);
    world.add(system);
    const isOnboarded = !hasAgent || (zone !== ANNEX && random.below(10) === 0);
    const node = world.nodes[hasAgent ? random.below(NODES) : n % NODES];
    if (isOnboarded && node !== undefined) world.onboard(system, node);
  }
}
