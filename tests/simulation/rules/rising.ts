/** I1. A system's epoch and generation never fall; every write of a system, node or plan raises its revision. */
import { demand, type Rule } from "./rule.ts";

const NAME = "I1 it only rises";

export function rising(): Rule {
  return {
    look(changes) {
      for (const { room, key, before, after } of changes) {
        if (before === null || after === null) continue;
        const check = (what: string, was: number, is: number, holds: boolean) =>
          demand(holds, NAME, `${key}: ${what} ${was} → ${is}`);
        if (room === "system" || room === "node" || room === "plan") {
          check("revision", before.revision, after.revision, after.revision > before.revision);
        }
        if (room === "system") {
          check("epoch", before.epoch, after.epoch, after.epoch >= before.epoch);
          check("generation", before.generation, after.generation, after.generation >= before.generation);
        }
      }
    },
  };
}
