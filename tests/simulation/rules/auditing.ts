/** I7. Audit lanes are chains without gaps. Every transition is a mark, too. */
import { GENESIS } from "../../../lib/cluster/change.ts";
import type { Probe } from "../../../lib/seams.ts";
import { demand, type Rule } from "./rule.ts";

export function chained(probe: Probe): Rule {
  const heads = new Map<string, { n: number; hash: string }>();
  return {
    look(changes) {
      for (const { room, after } of changes) {
        if (room !== "audit" || after === null) continue;
        const { lane, n, prev, hash, what } = after;
        const head = heads.get(lane) ?? { n: 0, hash: GENESIS };
        demand(
          n === head.n + 1 && prev === head.hash,
          "I7 the audit is a chain",
          `${lane}: ${head.n} → ${n}`,
        );
        heads.set(lane, { n, hash });
        probe.sometimes(what);
      }
    },
  };
}
