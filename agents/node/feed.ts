/**
 * Puts row changes on the bus, signed.
 *
 * F1. A part is stored before its promise resolves; the bus may be away for as long as it likes.
 * F2. The id is made of node and position: a part that comes again within the dedupe window is stored once.
 * F3. Each try is signed anew, since a signature is good for minutes only.
 */
import { NODE_BACKOFF } from "../../lib/limits.ts";
import { backoffMs } from "../../lib/backoff.ts";
import type { Bus } from "../../lib/bus/bus.ts";
import { subjects } from "../../lib/bus/subjects.ts";
import type { Changes } from "../../lib/cluster/protocol.ts";
import { isSalarError } from "../../lib/errors.ts";
import type { Log } from "../../lib/log.ts";
import type { Scope } from "../../lib/seams.ts";
import type { NodeTrust, PinnedCluster } from "./trust.ts";

export interface FeedOptions {
  bus: Bus;
  trust: NodeTrust;
  cluster: PinnedCluster;
  log: Log;
}

/** @returns what a `ChangeSource` emits to; it rejects for a part that no retry can help, or when the scope ends. */
export function changeFeed(
  { bus, trust, cluster, log }: FeedOptions,
): (scope: Scope, changes: Changes) => Promise<void> {
  const subject = subjects.changes(trust.fp);
  let stalled = false;

  return async (scope, changes) => {
    const id = `${trust.fp}-${changes.origin}-${changes.lsn}-${changes.first}`;
    for (let failures = 0;;) {
      const text = trust.sign("node.changes", changes, cluster, { nowMs: scope.nowMs() });
      try {
        await bus.append(scope, subject, new TextEncoder().encode(text), { id });
        if (stalled) log.info("bus takes changes again");
        stalled = false;
        return;
      } catch (error) {
        if (scope.signal.aborted || !isSalarError(error) || !error.retry) throw error;
        if (!stalled) log.warn("bus takes no changes: they wait in the database's log", { error });
        stalled = true;
        await scope.sleep(backoffMs(scope.random, ++failures, NODE_BACKOFF));
      }
    }
  };
}
