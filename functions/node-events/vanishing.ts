/**
 * Profiles that a node's database shows no more: gone for good, or back a moment later.
 *
 * In: the rows as last seen, and the work index that names who to look for; safe to lose, repeat and run at once.
 * V1. A profile is gone when its rows are not there any more, looked at after the message that took them away; one
 *     that was deleted and written again in between was never gone, and keeps record, id and pin.
 * V2. A transaction may need several messages, which come in any order: then, and after a table was emptied, the look
 *     comes after VANISHED_MS, by the tick, which also takes up what a crash left.
 */
import { CHANGES_SLICE_MAX, VANISHED_MS } from "../../lib/limits.ts";
import { type Change, change, type ChangeOptions } from "../../lib/cluster/change.ts";
import { takeAway } from "../../lib/cluster/enrolling.ts";
import { clusterIdOf, localIdOf } from "../../lib/cluster/ids.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { next, systemMachine } from "../../lib/cluster/machines.ts";
import { getText, putNumber, rows, systemById, systems } from "../../lib/cluster/records.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { done, type Tick } from "../../lib/mesh/handler.ts";
import { prefixRange } from "../../lib/store/store.ts";
import { toText } from "../../lib/store/record.ts";

export interface Vanished {
  fp: string;
  /** Of the profile, in the node's database. */
  localId: number;
  /** The system that it stood for. */
  id: number;
}

/** Notes that the profile must be looked for; null when the cluster does not know it, or looks for it already. */
export async function vanish({ tx, nowMs }: Change, fp: string, localId: number): Promise<Vanished | null> {
  const id = await clusterIdOf(tx, "system", fp, localId);
  if (id === null) return null;
  const isNoted = await tx.get(keys.vanished(fp, localId, id)) !== null;
  putNumber(tx, keys.vanished(fp, localId, id), nowMs + VANISHED_MS);
  return isNoted ? null : { fp, localId, id };
}

/** V1. Looks for them now. */
export async function settleAll(
  context: Context,
  options: ChangeOptions,
  vanished: readonly Vanished[],
): Promise<void> {
  for (let at = 0; at < vanished.length; at += CHANGES_SLICE_MAX) {
    await change(context, options, async (c) => {
      for (const each of vanished.slice(at, at + CHANGES_SLICE_MAX)) await settle(c, each);
    });
  }
}

/** V2. */
export const vanishTick: Tick = {
  name: "vanish",
  everyMs: 10_000,
  async run(context) {
    const { store, scope } = context;
    let after: string | undefined;
    do { // bounded by the index
      const cursor: string | undefined = after;
      const page = await store.read(
        scope,
        (tx) => tx.scan(prefixRange(keys.vanishedAll), { limit: CHANGES_SLICE_MAX, after: cursor }),
      );
      const due = page.filter(({ value }) => Number(toText(value)) <= scope.nowMs());
      await settleAll(context, { who: "function:node-events" }, due.map(({ key }) => vanishedAt(key)));
      after = page.length < CHANGES_SLICE_MAX ? undefined : page.at(-1)?.key;
    } while (after !== undefined);
    return done();
  },
};

function vanishedAt(key: string): Vanished {
  const [fp = "", localId = "", id = ""] = key.slice(keys.vanishedAll.length).split("/");
  return { fp, localId: Number(localId), id: Number(id) };
}

async function settle(c: Change, vanished: Vanished): Promise<void> {
  const { fp, localId, id } = vanished;
  c.tx.delete(keys.vanished(fp, localId, id));
  const holder = await clusterIdOf(c.tx, "system", fp, localId);
  if (holder === id && await isShown(c, fp, String(localId))) return; // V1
  if (holder === id) c.tx.delete(keys.idOf("system", fp, localId));
  await profileGone(c, vanished);
}

/** True while both rows of the profile are there; one that is written meanwhile wins. */
async function isShown({ tx }: Change, fp: string, serverId: string): Promise<boolean> {
  for (const table of ["rhnserver", "suseminioninfo"]) {
    tx.lock(keys.row(fp, table, serverId));
    if (!(await rows.get(tx, fp, table, serverId))?.row) return false;
  }
  return true;
}

/**
 * A profile was deleted on a node. Of a system without an agent that is its end; one with an agent is deleted by the
 * cluster only, and on a node that no longer owns it the deletion is what retiring wanted. Nor does a machine end that
 * has another profile on the node: a registration that was repeated left the old one behind.
 */
async function profileGone(c: Change, { fp, localId, id }: Vanished): Promise<void> {
  if (await localIdOf(c.tx, "system", fp, id) !== localId) return;
  c.tx.delete(keys.localOf("system", fp, id));
  const system = await systemById(c.tx, id);
  const isOpen = await getText(c.tx, keys.moveOf(id)) !== null;
  if (system.fp !== null || system.node !== fp || isOpen || system.state === "deleted") return;
  const state = next(systemMachine, system.state, "delete", `system ${id}`);
  systems.put(c.tx, { ...system, state, node: null, revision: system.revision + 1 }, id);
  await takeAway(c, system);
  c.record({
    what: "system.delete",
    target: `system:${id}`,
    why: "deleted on its node",
    detail: { node: fp },
  });
}
