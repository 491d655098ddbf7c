/** What a changed row means for the cluster: ids, systems, and the proof that a moved system has arrived. */
import { z } from "zod";
import type { Change } from "../../lib/cluster/change.ts";
import { takeAway } from "../../lib/cluster/enrolling.ts";
import { clusterIdOf, localIdOf } from "../../lib/cluster/ids.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { next, systemMachine } from "../../lib/cluster/machines.ts";
import { getText, rows, systemById, systems } from "../../lib/cluster/records.ts";
import { channelShown, profileShown } from "../../lib/cluster/showing.ts";
import { MachineId, MinionId } from "../../lib/cluster/types.ts";

/** An id of a node's database: what is no number is no row of Uyuni. */
const LocalId = z.string().regex(/^\d{1,15}$/);
const NAME_CHARS_MAX = 253;

type Values = Record<string, string | null>;
type RowPair = { before: Values | null; after: Values | null };

/** Carries one row's change into the cluster's own records. */
export async function reflect(
  c: Change,
  fp: string,
  table: string,
  { before, after }: RowPair,
): Promise<void> {
  if (table === "rhnchannel" && after?.["label"]) {
    const localId = LocalId.safeParse(after["id"]);
    if (localId.success) await channelShown(c, fp, { localId: Number(localId.data), label: after["label"] });
  }
  if (table === "rhnserver" || table === "suseminioninfo") {
    const serverId = LocalId.safeParse((after ?? before)?.[table === "rhnserver" ? "id" : "server_id"]);
    if (!serverId.success) return;
    if (after === null) await profileGone(c, fp, Number(serverId.data));
    else await profileSeen(c, fp, serverId.data);
  }
}

/** A profile is two rows, which may come in any order: nothing happens before both are there. */
async function profileSeen(c: Change, fp: string, serverId: string): Promise<void> {
  const server = (await rows.get(c.tx, fp, "rhnserver", serverId))?.row;
  const minion = (await rows.get(c.tx, fp, "suseminioninfo", serverId))?.row;
  const machineId = MachineId.safeParse(server?.["machine_id"]);
  const minionId = MinionId.safeParse(minion?.["minion_id"]);
  if (!machineId.success || !minionId.success) return;

  await profileShown(c, fp, {
    localId: Number(serverId),
    machineId: machineId.data,
    minionId: minionId.data,
    name: (server?.["name"] || minionId.data).slice(0, NAME_CHARS_MAX),
  });
}

/**
 * A profile was deleted on a node. Of a system without an agent that is its end; one with an agent is deleted by the
 * cluster only, and on a node that no longer owns it the deletion is what retiring wanted. Nor does a machine end that
 * has another profile on the node: a registration that was repeated left the old one behind.
 */
async function profileGone(c: Change, fp: string, localId: number): Promise<void> {
  const id = await clusterIdOf(c.tx, "system", fp, localId);
  if (id === null) return;
  c.tx.delete(keys.idOf("system", fp, localId));
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
