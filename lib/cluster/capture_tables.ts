/**
 * The tables of a Uyuni database whose rows the cluster follows. Data only: another table is another entry.
 *
 * T1. No column here holds a secret. `rhnServer.secret` is the one to keep out of this list for ever.
 * T2. Few columns: PostgreSQL refuses to drop a listed one, so a long list would stop Uyuni's own schema updates.
 * T3. Columns that a release does not have are left out by `setup`; key columns must be there.
 * Names are Uyuni's spelling; PostgreSQL folds them to lower case, and so are they in messages.
 * Source: schema of Uyuni 4.0 and later; domain brief, sections 2.2, 2.4 and 3.2.
 */

export interface CaptureTable {
  name: string;
  /** What names a row, also in a delete. Unique, never null, and part of `columns`. */
  key: readonly string[];
  /** What makes the key known to PostgreSQL: the primary key, or the unique index to use as replica identity. */
  identity: "primary key" | { index: string };
  columns: readonly string[];
}

export const CAPTURE_TABLES: readonly CaptureTable[] = [
  {
    name: "rhnServer",
    key: ["id"],
    identity: "primary key",
    columns: [
      "id",
      "org_id",
      "name",
      "machine_id",
      "hostname",
      "release",
      "running_kernel",
      "contact_method_id",
      "created",
    ],
  },
  {
    name: "suseMinionInfo",
    key: ["server_id"],
    identity: { index: "rhn_minion_info_sid_uq" },
    columns: ["server_id", "minion_id", "os_family", "kernel_live_version"],
  },
  {
    name: "rhnServerChannel",
    key: ["server_id", "channel_id"],
    identity: { index: "rhn_sc_sid_cid_uq" },
    columns: ["server_id", "channel_id"],
  },
  {
    name: "rhnServerGroupMembers",
    key: ["server_id", "server_group_id"],
    identity: { index: "rhn_sgmembers_sid_sgid_uq" },
    columns: ["server_id", "server_group_id"],
  },
  {
    name: "rhnChannel",
    key: ["id"],
    identity: "primary key",
    columns: [
      "id",
      "label",
      "name",
      "parent_channel",
      "org_id",
      "channel_arch_id",
      "checksum_type_id",
      "channel_access",
      "last_modified",
      "last_synced",
    ],
  },
];

/** The columns that name a row of `table` (lower case); null for a table that is not followed. */
export function rowKeyColumns(table: string): readonly string[] | null {
  return CAPTURE_TABLES.find(({ name }) => name.toLowerCase() === table)?.key ?? null;
}
