/**
 * Heartbeats of nodes, gathered per replica: ten thousand a second become a few store transactions.
 *
 * H1. A beat is stamped with this replica's clock: what counts is when it was heard, and nodes' clocks differ.
 * H2. A lost node that is heard of returns to the state that it had. The systems of any node that somebody took to be
 *     away follow by a sweep: one that is being drained was not `lost`, and yet made orphans.
 * H3. Whoever takes a node to be away marks it and locks or writes what its heartbeat writes, so the two meet. The few
 *     marks are read, and not each node: that would cost as much as finding the keys of all senders.
 */
import { BEAT_BATCH_MAX, BEAT_BATCH_MS } from "../../lib/limits.ts";
import { EMPTY, entries } from "../../lib/store/record.ts";
import { subjects } from "../../lib/bus/subjects.ts";
import { change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { NodeBeat } from "../../lib/cluster/protocol.ts";
import { beats, nodes } from "../../lib/cluster/records.ts";
import type { Beat } from "../../lib/cluster/types.ts";
import { batchHandler, done } from "../../lib/mesh/handler.ts";

export const beatHandler = batchHandler({
  name: "beat",
  subject: subjects.nodeBeat("*"),
  signedBy: { role: "node", kind: "node.beat" },
  input: NodeBeat,
  batch: { sizeMax: BEAT_BATCH_MAX, waitMs: BEAT_BATCH_MS },
  async run(context, messages) {
    const { store, scope, meter } = context;
    const atMs = scope.nowMs();
    // The newest of each node; an older one that arrives later only has an older load, and the next corrects it.
    const newest = new Map<string, Beat>();
    for (const { input, delivery } of messages) {
      const { load, systems, versions, slotLagBytes } = input;
      if (delivery.from.fp !== null) {
        newest.set(delivery.from.fp, { v: 1, atMs, load, systems, versions, slotLagBytes });
      }
    }
    const lost = await store.write(scope, async (tx) => {
      for (const [fp, beat] of newest) beats.put(tx, beat, fp);
      const back: string[] = [];
      for await (const { key } of entries(tx, keys.aways)) { // H3
        const fp = key.slice(keys.aways.length);
        if (newest.has(fp)) back.push(fp);
      }
      for (const fp of back) tx.put(keys.sweep(fp), EMPTY);
      const found = await nodes.getMany(tx, back.map((fp): [string] => [fp]));
      return back.filter((_, index) => found[index]?.state === "lost");
    });
    meter.count("node_beats", messages.length);
    for (const fp of lost) await welcomeBack(context, fp);
    return done();
  },
});

/** H2. */
async function welcomeBack(context: Parameters<typeof change>[0], fp: string): Promise<void> {
  await change(context, { who: "function:node-events" }, async ({ tx, record }) => {
    const node = await nodes.get(tx, fp);
    if (node?.state !== "lost" || node.stateBeforeLost === null) return;
    const state = node.stateBeforeLost;
    const why = "heard of again";
    nodes.put(tx, { ...node, state, stateBeforeLost: null, reason: why, revision: node.revision + 1 }, fp);
    tx.put(keys.sweep(fp), EMPTY);
    record({ what: "node.return", target: `node:${fp}`, why, detail: { from: "lost", to: state } });
  });
}
