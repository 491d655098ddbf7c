/**
 * Heartbeats: the node's load, counts and versions, a few times within the grace time.
 *
 * H1. A beat is late rather than missing: facts that cannot be read in time are those of the last beat. A database that
 *     restarts must not make a whole node look lost.
 * H2. `boot` and `n` tell beats of two starts apart and order those of one.
 */
import type { Bus } from "../../lib/bus/bus.ts";
import { subjects } from "../../lib/bus/subjects.ts";
import type { NodeBeat } from "../../lib/cluster/protocol.ts";
import { NODE_FACTS_MS } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import type { Scope } from "../../lib/seams.ts";
import type { ChangeSource } from "./change_source.ts";
import type { NodeApi } from "./node_api.ts";
import type { NodeTrust, PinnedCluster } from "./trust.ts";

export interface HeartOptions {
  bus: Bus;
  trust: NodeTrust;
  cluster: PinnedCluster;
  api: NodeApi;
  /** Null without change capture. */
  source: ChangeSource | null;
  log: Log;
}

/** @returns one beat; to be called every HEARTBEAT_MS. It says nothing before the systems could be counted once. */
export function heart(scope: Scope, options: HeartOptions): () => Promise<void> {
  const { bus, trust, cluster, api, source } = options;
  const boot = scope.random.id();
  let n = 0;
  const systems = lastKnown<number | null>(options, null, (within) => api.countSystems(within));
  const versions = lastKnown(options, {}, (within) => api.versions(within));
  const lag = lastKnown(options, null, async () => await source?.lagBytes() ?? null);

  return async () => {
    const [count, names, slotLagBytes] = await Promise.all([systems(scope), versions(scope), lag(scope)]);
    if (count === null) return;
    const beat: NodeBeat = {
      boot,
      n: n++,
      load: api.load(),
      systems: count,
      versions: names,
      slotLagBytes: slotLagBytes === null ? null : Math.max(0, slotLagBytes),
    };
    const text = trust.sign("node.beat", beat, cluster, { nowMs: scope.nowMs(), seq: beat.n });
    await bus.publish(scope, subjects.nodeBeat(trust.fp), new TextEncoder().encode(text));
  };
}

/** H1. A reader that falls back to what it read last. */
function lastKnown<T>(
  { log }: HeartOptions,
  initial: T,
  read: (scope: Scope) => Promise<T>,
): (scope: Scope) => Promise<T> {
  let known = initial;
  return async (scope) => {
    try {
      known = await scope.timeout(NODE_FACTS_MS, read);
    } catch (error) {
      if (scope.signal.aborted) throw error;
      log.warn("a fact of the heartbeat is not readable", { error });
    }
    return known;
  };
}
