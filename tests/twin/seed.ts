/** What a server has before its first system: organisations, users, channels and groups. */
import { findOne, type TwinTx } from "./db.ts";
import { SALT_ENTITLED } from "./tables.ts";

export interface Seed {
  /** Name of the organisation that all the rest belongs to. @default "Organization" */
  org?: string;
  users?: readonly { login: string; password: string; readOnly?: boolean }[];
  /** A parent stands before its children. */
  channels?: readonly { label: string; name: string; parent?: string }[];
  /** Names of user groups. */
  groups?: readonly string[];
}

/** Creates what is not there yet; what is there stays as it is, passwords included. */
export async function sow(
  tx: TwinTx,
  { org: orgName = "Organization", users = [], channels = [], groups = [] }: Seed,
  { nowMs, hashPassword }: { nowMs: number; hashPassword: (password: string) => string },
): Promise<void> {
  const org_id = await orgId(tx, orgName);
  for (const { login, password, readOnly = false } of users) {
    const login_uc = login.toUpperCase();
    if (await findOne(tx, "web_contact", { login_uc }) !== null) continue;
    const id = await tx.nextId("web_contact_id_seq");
    const read_only = readOnly ? "Y" : "N";
    await tx.insert("web_contact", {
      id,
      org_id,
      login,
      login_uc,
      password: hashPassword(password),
      read_only,
    });
  }
  for (const { label, name, parent } of channels) {
    if (await findOne(tx, "rhnChannel", { label }) !== null) continue;
    const above = parent === undefined ? null : await findOne(tx, "rhnChannel", { label: parent });
    if (above === null && parent !== undefined) {
      throw new Error(`Cannot seed channel ${label}: there is no ${parent}`);
    }
    await tx.insert("rhnChannel", {
      id: await tx.nextId("rhn_channel_id_seq"),
      parent_channel: above?.id ?? null,
      org_id,
      channel_arch_id: 1,
      label,
      basedir: "/dev/null",
      name,
      summary: name,
      last_modified: nowMs,
    });
  }
  for (const name of groups) {
    if (await findOne(tx, "rhnServerGroup", { org_id, name }) !== null) continue;
    const id = await tx.nextId("rhn_server_group_id_seq");
    await tx.insert("rhnServerGroup", { id, name, description: name, org_id });
  }
}

/** The organisation, made where it is missing, with the entitlement group that each one has. */
async function orgId(tx: TwinTx, name: string): Promise<number> {
  const org = await findOne(tx, "web_customer", { name });
  if (org !== null) return org.id;

  const id = await tx.nextId("web_customer_id_seq");
  await tx.insert("web_customer", { id, name });
  await tx.insert("rhnServerGroup", {
    id: await tx.nextId("rhn_server_group_id_seq"),
    name: "Salt",
    description: "Salt",
    group_type: SALT_ENTITLED,
    org_id: id,
  });
  return id;
}
