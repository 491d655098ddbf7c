/**
 * A state on many hosts at once, with whatever starts an agent: `run.ts` gives the real one, tests their own.
 *
 * B1. At most `jobs` hosts are under way, and at most `connects` of them are being connected to.
 * B2. A cancelled run still has a result for each host.
 */
import { CONNECTS, JOBS, LIMIT_MS_MAX, RUN_MS } from "../limits.ts";
import type { StartAgent } from "./connection.ts";
import { runResultOf } from "./counts.ts";
import { runHost, type Shared } from "./host.ts";
import { limited } from "./limit.ts";
import { Mask } from "./mask.ts";
import { Plans } from "./plans.ts";
import { Gate, pooled } from "./pool.ts";
import { Preparation } from "./prepare.ts";
import type { RunResult } from "./result.ts";
import type { RunOptions } from "./run.ts";

/** @throws {RangeError} bounds or targets that make no run */
export async function runHosts(start: StartAgent, options: RunOptions): Promise<RunResult> {
  const { targets, mode, jobs = JOBS, connects = CONNECTS, limits = {}, signal } = options;
  checkOptions(options);
  const startMs = performance.now();
  const mask = new Mask();
  const shared: Shared = {
    options,
    plans: new Plans(options.index, options.id, new Set(options.secrets.keys())),
    preparation: new Preparation(options, mask),
    mask,
    connects: new Gate(connects),
    start,
    connectMs: limits.connectMs ?? null,
    emit: options.onEvent ?? (() => {}),
  };
  const runMs = limits.runMs ?? RUN_MS;
  const hosts = await pooled(targets, jobs, async (target) => {
    using limit = limited(signal, runMs, `${target.name} did not finish within ${runMs / 1000} s`);
    return await runHost(target, shared, limit.signal);
  });
  return runResultOf(mode, hosts, Math.round(performance.now() - startMs));
}

function checkOptions(
  { targets, jobs = JOBS, connects = CONNECTS, limits = {}, stored, id, mode }: RunOptions,
): void {
  const names = targets.map(({ name }) => name);
  const twice = names.find((name, n) => names.indexOf(name) !== n);
  if (twice !== undefined) throw new RangeError(`Cannot run: two hosts are called "${twice}"`);
  for (const [name, value] of Object.entries({ jobs, connects, ...limits })) {
    if (Number.isInteger(value) && value >= 1 && value <= LIMIT_MS_MAX) continue;
    throw new RangeError(`Cannot run: ${name} is ${value}; give a whole number of 1 or more`);
  }
  if (stored === undefined) return;
  if (stored.id !== id) throw new RangeError(`Cannot run: the stored plan is of the state "${stored.id}"`);
  if (mode !== "apply") throw new RangeError("Cannot check with a stored plan: it is for an apply");
}
