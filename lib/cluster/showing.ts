/**
 * What a node shows becomes known to the cluster: its entities get cluster ids, and a stranger becomes a system.
 *
 * In: an entity as a node's database or API shows it, by its natural key; safe to repeat.
 * S1. A system that a node shows and no agent has enrolled becomes a system of the cluster, without an agent.
 * S2. The same machine keeps its id, and its epoch never falls, though its profile was deleted meanwhile.
 */
import type { Change } from "./change.ts";
import { putSystem } from "./enrolling.ts";
import { idByName, mapLocalId } from "./ids.ts";
import { keys } from "./keys.ts";
import { next, systemMachine } from "./machines.ts";
import { seenOn } from "./moving.ts";
import { nodes, systemAt, systems } from "./records.ts";
import type { System } from "./types.ts";

/** A system's profile as a node has it. */
export interface Profile {
  localId: number;
  machineId: string;
  minionId: string;
  name: string;
}

/** Maps the profile to its system, which is adopted where the cluster has none (S1), and tells a move that waits. */
export async function profileShown(c: Change, fp: string, profile: Profile): Promise<void> {
  const system = await systemAt(c.tx, keys.systemByMachine(profile.machineId)) ??
    await systemAt(c.tx, keys.systemByMinion(profile.minionId)) ?? await adopt(c, fp, profile);
  if (system === null) return;
  await mapLocalId(c.tx, "system", { fp, localId: profile.localId, id: system.id });
  await seenOn(c, system.id, fp);
}

/** Maps the channel to the id that its label has on every node. */
export async function channelShown(
  c: Change,
  fp: string,
  { localId, label }: { localId: number; label: string },
): Promise<void> {
  const id = await idByName(c, "channel", label);
  await mapLocalId(c.tx, "channel", { fp, localId, id });
}

/** S1. Null for a node that the cluster does not know any more. */
async function adopt(c: Change, fp: string, { machineId, minionId, name }: Profile): Promise<System | null> {
  const node = await nodes.get(c.tx, fp);
  if (node === null || node.state === "removed") return null;
  c.tx.lock(keys.zone(node.zone)); // against its removal meanwhile
  const id = await idByName(c, "system", machineId);
  const former = await systems.get(c.tx, id); // S2
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
  await putSystem(c, system);
  c.record({
    what: "system.adopt",
    target: `system:${system.id}`,
    why: "shown by a node",
    detail: { node: fp, minionId },
  });
  return system;
}
