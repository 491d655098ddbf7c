/**
 * Work by interval, each tick on the one replica that holds its lease.
 *
 * T1. The next run begins `everyMs` after the last ended, or `afterMs` when the tick asked for that.
 * T2. Losing the lease ends the scope of a running tick; a drain lets it finish and gives the lease away.
 * T3. While store or bus is gone no tick runs.
 */
import { isSalarError } from "../errors.ts";
import type { Scope } from "../seams.ts";
import type { MeshFunction } from "./function.ts";
import type { Gate } from "./gate.ts";
import type { Tick } from "./handler.ts";
import { meshKeys } from "./keys.ts";
import { holdLease } from "./lease.ts";
import { perform, type Workplace } from "./work.ts";

/** Resolves when all ticks have ended, which they do once `place.stopping` aborts. */
export async function runTicks(
  place: Workplace,
  functions: readonly MeshFunction[],
  gate: Gate,
): Promise<void> {
  const { scope, stopping, seams, log } = place;
  const waiting = scope.child("ticks", stopping);
  const holder = `${seams.replica}/${scope.random.id()}`;
  await Promise.all(
    functions.flatMap(({ name: owner, ticks }) =>
      ticks.map((tick) => {
        const options = { store: seams.store, key: meshKeys.lease(owner, tick.name), holder, log };
        return holdLease(waiting, scope, options, (held) => repeat(place, owner, tick, waiting, held, gate))
          .catch((error) => log.error("tick stopped", { function: owner, tick: tick.name, error }));
      })
    ),
  );
}

async function repeat(
  place: Workplace,
  owner: string,
  tick: Tick,
  waiting: Scope,
  held: Scope,
  gate: Gate,
): Promise<void> {
  const pause = waiting.child(`${owner}/${tick.name}`, held.signal);
  try {
    while (!pause.signal.aborted) {
      const verdict = gate.isOpen()
        ? await perform(place, { kind: "tick", owner, name: tick.name, signals: [held.signal] }, tick.run)
        : null;
      await pause.sleep(verdict?.outcome === "again" ? verdict.afterMs : tick.everyMs);
    }
  } catch (error) {
    if (!isSalarError(error, "cancelled")) throw error; // the pause ended: by a drain or a lost lease
  }
}
