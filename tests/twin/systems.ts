/**
 * Systems in the tables: what registration by a minion's start event writes, and what deleting takes away.
 *
 * R1. The outcome follows from two questions: is the machine id known, is the minion id known.
 * R2. A known system is only refreshed; channels and groups are given to a new one.
 * Source: Uyuni's `RegisterMinionEventMessageAction` and `delete_server()`.
 */
import { randomBytes } from "node:crypto";
import { findOne, type TwinTx } from "./db.ts";
import { type Row, SALT_ENTITLED } from "./tables.ts";

export type Server = Row<"rhnServer">;

/** What a minion tells of itself, and what its activation key would say of it. */
export interface Minion {
  minionId: string;
  /** Null: the grain is missing. */
  machineId: string | null;
  /** @default the minion id */
  hostname?: string;
  /** @default "SLES" */
  os?: string;
  /** @default "15.6" */
  release?: string;
  /** @default "Suse" */
  osFamily?: string;
  /** @default none */
  kernel?: string;
  /** Organisation by name. @default the oldest one */
  org?: string;
  /** Labels; those that do not exist are left out, as with an unknown activation key. @default the twin's */
  channels?: readonly string[];
  /** Names of user groups; those that do not exist are left out. */
  groups?: readonly string[];
}

export type Registration =
  /** `replacedMinionId`: the key of that minion is to be deleted. */
  | { outcome: "new" | "known" | "migrated" | "renamed"; systemId: number; replacedMinionId?: string }
  /** `conflict`: machine id and minion id belong to two systems. */
  | { outcome: "conflict" | "no-machine-id" };

/** Carries out a start event. */
export async function register(tx: TwinTx, minion: Minion, nowMs: number): Promise<Registration> {
  const { minionId, machineId } = minion;
  if (machineId === null) return { outcome: "no-machine-id" };

  const byMachine = await findOne(tx, "rhnServer", { machine_id: machineId });
  const byMinion = await findOne(tx, "suseMinionInfo", { minion_id: minionId });
  if (byMachine === null && byMinion === null) {
    return { outcome: "new", systemId: await create(tx, { ...minion, machineId }, nowMs) };
  }
  if (byMachine === null && byMinion !== null) {
    const id = byMinion.server_id;
    await tx.update("rhnServer", { id }, { machine_id: machineId, digital_server_id: machineId });
    await refresh(tx, id, minion, nowMs);
    return { outcome: "migrated", systemId: id };
  }
  const id = byMachine?.id ?? 0;
  if (byMinion === null) {
    const old = await findOne(tx, "suseMinionInfo", { server_id: id });
    await tx.update("suseMinionInfo", { server_id: id }, { minion_id: minionId });
    await refresh(tx, id, minion, nowMs);
    return { outcome: "renamed", systemId: id, ...old === null ? {} : { replacedMinionId: old.minion_id } };
  }
  if (byMinion.server_id !== id) return { outcome: "conflict" };
  await refresh(tx, id, minion, nowMs);
  return { outcome: "known", systemId: id };
}

/** A job return or start event came from this system. */
export async function checkIn(tx: TwinTx, serverId: number, nowMs: number): Promise<void> {
  const info = await findOne(tx, "rhnServerInfo", { server_id: serverId });
  const checkin_counter = (info?.checkin_counter ?? 0) + 1;
  await tx.update("rhnServerInfo", { server_id: serverId }, { checkin: nowMs, checkin_counter });
}

/** Deletes a profile with everything that hangs on it; returns its minion id, whose key is to be deleted too. */
export async function deleteServer(tx: TwinTx, serverId: number): Promise<string | null> {
  const minion = await findOne(tx, "suseMinionInfo", { server_id: serverId });
  for (const { server_group_id } of await tx.find("rhnServerGroupMembers", { server_id: serverId })) {
    await setMembership(tx, serverId, server_group_id, false);
  }
  await tx.delete("rhnServerChannel", { server_id: serverId });
  await tx.delete("rhnServerInfo", { server_id: serverId });
  await tx.delete("suseMinionInfo", { server_id: serverId });
  await tx.delete("rhnServer", { id: serverId });
  return minion?.minion_id ?? null;
}

/** Puts a system into a group or takes it out; the group's counter follows. Does nothing when it is so already. */
export async function setMembership(
  tx: TwinTx,
  serverId: number,
  groupId: number,
  member: boolean,
): Promise<void> {
  const row = { server_id: serverId, server_group_id: groupId };
  if ((await tx.count("rhnServerGroupMembers", row) > 0) === member) return;
  if (member) await tx.insert("rhnServerGroupMembers", row);
  else await tx.delete("rhnServerGroupMembers", row);

  const group = await findOne(tx, "rhnServerGroup", { id: groupId });
  const current_members = (group?.current_members ?? 0) + (member ? 1 : -1);
  await tx.update("rhnServerGroup", { id: groupId }, { current_members });
}

async function create(tx: TwinTx, minion: Minion & { machineId: string }, nowMs: number): Promise<number> {
  const { minionId, machineId, hostname = minionId, osFamily = "Suse", channels = [], groups = [] } = minion;
  const org = await orgOf(tx, minion.org);
  const id = await tx.nextId("rhn_server_id_seq");
  await tx.insert("rhnServer", {
    id,
    org_id: org.id,
    digital_server_id: machineId,
    machine_id: machineId,
    server_arch_id: 1,
    os: minion.os ?? "SLES",
    release: minion.release ?? "15.6",
    name: minionId,
    hostname,
    running_kernel: minion.kernel ?? null,
    secret: randomBytes(32).toString("hex"),
    last_boot: Math.floor(nowMs / 1_000),
  });
  await tx.insert("suseMinionInfo", { server_id: id, minion_id: minionId, os_family: osFamily });
  await tx.insert("rhnServerInfo", { server_id: id, checkin: nowMs });

  for (const label of channels) {
    const channel = await findOne(tx, "rhnChannel", { label });
    if (channel !== null) await tx.insert("rhnServerChannel", { server_id: id, channel_id: channel.id });
  }
  const entitlement = await findOne(tx, "rhnServerGroup", { org_id: org.id, name: "Salt" });
  if (entitlement?.group_type === SALT_ENTITLED) await setMembership(tx, id, entitlement.id, true);
  for (const name of groups) {
    const group = await findOne(tx, "rhnServerGroup", { org_id: org.id, name });
    if (group !== null) await setMembership(tx, id, group.id, true);
  }
  return id;
}

async function orgOf(tx: TwinTx, name: string | undefined): Promise<Row<"web_customer">> {
  const orgs = await tx.find("web_customer", name === undefined ? {} : { name });
  const [oldest] = orgs.sort((a, b) => a.id - b.id);
  if (oldest === undefined) throw new Error(`Cannot register: there is no organisation ${name ?? ""}`);
  return oldest;
}

/** R2: system information of a system that is known already. */
async function refresh(tx: TwinTx, id: number, minion: Minion, nowMs: number): Promise<void> {
  await tx.update("rhnServer", { id }, {
    ...minion.hostname === undefined ? {} : { hostname: minion.hostname },
    ...minion.release === undefined ? {} : { release: minion.release },
    ...minion.kernel === undefined ? {} : { running_kernel: minion.kernel },
    last_boot: Math.floor(nowMs / 1_000),
  });
  await checkIn(tx, id, nowMs);
}
