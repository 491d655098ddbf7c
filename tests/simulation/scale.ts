/**
 * How large a run is, by its seed: most are small, for breadth; some are as large as a site, for scale.
 *
 * | seeds                                | nodes | systems          | of them with an agent |
 * | 25, 50, 75, … (one of 25)            | 5     | 1,000: 200 each  | 40                    |
 * | 10, 35, 60, … (one of 25)            | 5     | 200: 40 each     | all                   |
 * | all others                           | 5     | 20 … 60          | 10 … 30, at most all  |
 * Those without an agent are known from the nodes' databases only, as on a site that begins with Salar.
 */
import type { Random } from "../../lib/seams.ts";
import { between } from "./random.ts";

export const NODES = 5;
const EVERY = 25;

export interface Scale {
  systems: number;
  agents: number;
}

export function scaleOf(seed: number, random: Random): Scale {
  if (seed % EVERY === 0) return { systems: NODES * 200, agents: 40 };
  if (seed % EVERY === 10) return { systems: NODES * 40, agents: NODES * 40 };
  const systems = between(random, 20, 60);
  return { systems, agents: Math.min(systems, between(random, 10, 30)) };
}
