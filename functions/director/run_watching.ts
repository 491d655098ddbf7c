/**
 * The tick that watches runs: one that nobody tells of any more has an unknown outcome (`interrupted`), one that nobody
 * began, or whose node did not enrol, has failed. Ended runs are forgotten after RUN_KEEP_MS.
 */
import { RUN_JOIN_MS, RUN_KEEP_MS, RUNS_FORGOTTEN_MAX } from "../../lib/limits.ts";
import { change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { runResults, runs } from "../../lib/cluster/records.ts";
import { giveUpRun, overdue, RUNS_OVER } from "../../lib/cluster/running.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { done, type Tick } from "../../lib/mesh/handler.ts";
import { entries } from "../../lib/store/record.ts";

const SELF = { who: "function:director" };

export const runTick: Tick = {
  name: "runs",
  everyMs: 5_000,
  async run(context) {
    for (const id of await openRuns(context)) {
      await change(context, SELF, async (c) => {
        const run = await runs.get(c.tx, id);
        const end = run === null || RUNS_OVER.includes(run.state)
          ? null
          : overdue(run, c.nowMs, { joinMs: RUN_JOIN_MS });
        if (run !== null && end !== null) await giveUpRun(c, run, end.event, end.why);
      });
    }
    await forget(context);
    return done();
  },
};

async function openRuns({ store, scope }: Context): Promise<string[]> {
  return await store.read(scope, async (tx) => {
    const open = await Array.fromAsync(entries(tx, keys.runsOpen));
    return open.map(({ key }) => key.slice(keys.runsOpen.length));
  });
}

/** Ids begin with the time, so what is old stands first. */
async function forget(context: Context): Promise<void> {
  const { store, scope } = context;
  const isOld = (endedAtMs: number | null) => endedAtMs !== null && endedAtMs + RUN_KEEP_MS <= scope.nowMs();
  const page = await store.read(scope, (tx) => runs.scan(tx, keys.runs, { limit: RUNS_FORGOTTEN_MAX }));
  const old = page.filter(({ value }) => isOld(value.endedAtMs));
  if (old.length === 0) return;
  await store.write(scope, (tx) => {
    for (const { value: { id } } of old) {
      runs.delete(tx, id);
      runResults.delete(tx, id);
    }
    return Promise.resolve();
  });
}
