/** What a changed row means for the cluster: ids, systems, and the proof that a moved system has arrived. */
import type { Change } from "../../lib/cluster/change.ts";
import { putSystem } from "../../lib/cluster/enrolling.ts";
import { clusterIdOf, idByName, mapLocalId } from "../../lib/cluster/ids.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { next, systemMachine } from "../../lib/cluster/machines.ts";
import { addLoad, seenOn } from "../../lib/cluster/moving.ts";
import { getText, nodes, rows, systemAt, systemById, systems } from "../../lib/cluster/records.ts";
import { MachineId, MinionId, type System } from "../../lib/cluster/types.ts";

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
    const id = await idByName(c, "channel", after["label"]);
    await mapLocalId(c.tx, "channel", { fp, localId: Number(after["id"]), id });
  }
  if (table === "rhnserver" || table === "suseminioninfo") {
    const serverId = (after ?? before)?.[table === "rhnserver" ? "id" : "server_id"];
    if (!serverId) return;
    if (after === null) await profileGone(c, fp, Number(serverId));
    else await profileSeen(c, fp, serverId);
  }
}

/** A profile is two rows, which may come in any order: nothing happens before both are there. */
async function profileSeen(c: Change, fp: string, serverId: string): Promise<void> {
  const server = (await rows.get(c.tx, fp, "rhnserver", serverId))?.row;
  const minion = (await rows.get(c.tx, fp, "suseminioninfo", serverId))?.row;
  const machineId = MachineId.safeParse(server?.["machine_id"]);
  const minionId = MinionId.safeParse(minion?.["minion_id"]);
  if (!machineId.success || !minionId.success) return;

  const name = server?.["name"] || minionId.data;
  const known = await systemAt(c.tx, keys.systemByMachine(machineId.data)) ??
    await systemAt(c.tx, keys.systemByMinion(minionId.data));
  const system = known ?? await adopt(c, fp, { machineId: machineId.data, minionId: minionId.data, name });
  if (system === null) return;
  await mapLocalId(c.tx, "system", { fp, localId: Number(serverId), id: system.id });
  await seenOn(c, system.id, fp);
}

/** G3. */
async function adopt(
  c: Change,
  fp: string,
  { machineId, minionId, name }: Pick<System, "machineId" | "minionId" | "name">,
): Promise<System | null> {
  const node = await nodes.get(c.tx, fp);
  if (node === null) return null;
  // The same machine keeps its id, and its epoch never falls, though its profile was deleted meanwhile.
  const id = await idByName(c, "system", machineId);
  const former = await systems.get(c.tx, id);
  const system: System = {
    v: 1,
    id,
    fp: null,
    identityKey: null,
    minionId,
    machineId,
    minionKey: null,
    name,
    zone: node.zone,
    state: next(systemMachine, "new", "bind", `system "${name}"`),
    node: fp,
    pin: null,
    epoch: former?.epoch ?? 0,
    generation: (former?.generation ?? 0) + 1,
    registeredAtMs: c.nowMs,
    reason: "",
    revision: (former?.revision ?? 0) + 1,
  };
  await putSystem(c, system, { isNewHere: true });
  c.record({
    what: "system.adopt",
    target: `system:${system.id}`,
    why: "seen in a node's database",
    detail: { node: fp, minionId },
  });
  return system;
}

/**
 * A profile was deleted on a node. Of a system without an agent that is its end; one with an agent is deleted by the
 * cluster only, and on a node that no longer owns it the deletion is what retiring wanted.
 */
async function profileGone(c: Change, fp: string, localId: number): Promise<void> {
  const id = await clusterIdOf(c.tx, "system", fp, localId);
  if (id === null) return;
  c.tx.delete(keys.idOf("system", fp, localId));
  c.tx.delete(keys.localOf("system", fp, id));
  const system = await systemById(c.tx, id);
  const isOpen = await getText(c.tx, keys.moveOf(id)) !== null;
  if (system.fp !== null || system.node !== fp || isOpen || system.state !== "bound") return;
  const state = next(systemMachine, system.state, "delete", `system ${id}`);
  systems.put(c.tx, { ...system, state, node: null, revision: system.revision + 1 }, id);
  c.tx.delete(keys.onNode(fp, id));
  c.tx.delete(keys.systemByMachine(system.machineId));
  c.tx.delete(keys.systemByMinion(system.minionId));
  await addLoad(c.tx, fp, -1);
  c.record({
    what: "system.delete",
    target: `system:${id}`,
    why: "deleted on its node",
    detail: { node: fp },
  });
}
