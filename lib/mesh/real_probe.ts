/** The probe outside the simulation: broken invariants are error logs, everything else is nothing. */
import type { Log } from "../log.ts";
import type { Probe } from "../seams.ts";

export function realProbe(log: Log): Probe {
  return {
    always(holds, id, detail = {}) {
      if (!holds) log.error("invariant does not hold", { id, ...detail });
    },
    sometimes: () => {},
    buggify: () => false,
  };
}
