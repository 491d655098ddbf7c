/**
 * The Uyuni tables that the twin keeps, described once: row types, the in-memory tables and the reading of
 * PostgreSQL rows all come from here. `schema.sql` says the same in SQL; a test holds the two together.
 *
 * Names are Uyuni's. PostgreSQL folds them to lower case, and so does a change feed.
 */

/** `?` marks a column that may be null. A `time` is epoch milliseconds here and `timestamptz` in PostgreSQL. */
type Kind = "number" | "number?" | "text" | "text?" | "time" | "time?";

interface TableSpec {
  columns: Record<string, Kind>;
  /** What a DELETE in the change feed carries: the primary key, or the unique index used as replica identity. */
  identity: readonly string[];
  /** Null never collides. */
  unique: readonly (readonly string[])[];
  /** Further columns by which rows are looked up. */
  indexes?: readonly (readonly string[])[];
  defaults?: Record<string, number | string>;
}

const STAMPS = { created: "time", modified: "time" } as const;

export const TABLES = {
  web_customer: {
    columns: { id: "number", name: "text", ...STAMPS },
    identity: ["id"],
    unique: [["id"], ["name"]],
  },
  web_contact: {
    columns: {
      id: "number",
      org_id: "number",
      login: "text",
      login_uc: "text",
      password: "text",
      read_only: "text",
      ...STAMPS,
    },
    identity: ["id"],
    unique: [["id"], ["login_uc"]],
    defaults: { read_only: "N" },
  },
  PXTSessions: {
    columns: { id: "number", web_user_id: "number?", expires: "number", value: "text" },
    identity: ["id"],
    unique: [["id"]],
    defaults: { expires: 0 },
  },
  rhnServer: {
    columns: {
      id: "number",
      org_id: "number",
      digital_server_id: "text",
      machine_id: "text?",
      server_arch_id: "number",
      os: "text",
      release: "text",
      name: "text?",
      hostname: "text?",
      description: "text?",
      secret: "text",
      auto_update: "text",
      contact_method_id: "number",
      running_kernel: "text?",
      last_boot: "number",
      ...STAMPS,
    },
    identity: ["id"],
    unique: [["id"], ["digital_server_id"], ["machine_id"]],
    indexes: [["org_id"], ["org_id", "name"]],
    defaults: { auto_update: "N", contact_method_id: 0, last_boot: 0 },
  },
  suseMinionInfo: {
    columns: {
      server_id: "number",
      minion_id: "text",
      os_family: "text?",
      kernel_live_version: "text?",
      reboot_required_after: "time?",
      ...STAMPS,
    },
    identity: ["server_id"],
    unique: [["server_id"], ["minion_id"]],
  },
  rhnServerInfo: {
    columns: { server_id: "number", checkin: "time?", checkin_counter: "number?" },
    identity: ["server_id"],
    unique: [["server_id"]],
    defaults: { checkin_counter: 0 },
  },
  rhnChannel: {
    columns: {
      id: "number",
      parent_channel: "number?",
      org_id: "number?",
      channel_arch_id: "number",
      label: "text",
      basedir: "text",
      name: "text",
      summary: "text",
      channel_access: "text?",
      last_modified: "time",
      last_synced: "time?",
      ...STAMPS,
    },
    identity: ["id"],
    unique: [["id"], ["label"], ["name"]],
    defaults: { channel_access: "private" },
  },
  rhnServerChannel: {
    columns: { server_id: "number", channel_id: "number", ...STAMPS },
    identity: ["server_id", "channel_id"],
    unique: [["server_id", "channel_id"]],
    indexes: [["server_id"], ["channel_id"]],
  },
  rhnServerGroup: {
    columns: {
      id: "number",
      name: "text",
      description: "text",
      current_members: "number",
      group_type: "number?",
      org_id: "number",
      ...STAMPS,
    },
    identity: ["id"],
    unique: [["id"], ["org_id", "name"]],
    indexes: [["org_id"]],
    defaults: { current_members: 0 },
  },
  rhnServerGroupMembers: {
    columns: { server_id: "number", server_group_id: "number", ...STAMPS },
    identity: ["server_id", "server_group_id"],
    unique: [["server_id", "server_group_id"]],
    indexes: [["server_id"], ["server_group_id"]],
  },
} as const satisfies Record<string, TableSpec>;

export type Table = keyof typeof TABLES;

interface KindTypes {
  "number": number;
  "number?": number | null;
  "text": string;
  "text?": string | null;
  "time": number;
  "time?": number | null;
}

/** One row; every column is there. */
export type Row<T extends Table> = {
  -readonly [C in keyof typeof TABLES[T]["columns"]]: typeof TABLES[T]["columns"][C] extends keyof KindTypes
    ? KindTypes[typeof TABLES[T]["columns"][C]]
    : never;
};

/** A value of any column. */
export type Cell = number | string | null;

/** The specification of a table with its literal types widened, for code that works on all tables alike. */
export function specOf(table: Table): TableSpec {
  return TABLES[table];
}

/** Where ids come from. Each server counts for itself, so the first system has the same id everywhere. */
export const SEQUENCES = {
  web_customer_id_seq: 1,
  web_contact_id_seq: 1,
  pxt_id_seq: 1,
  rhn_server_id_seq: 1_000_010_000,
  rhn_channel_id_seq: 101,
  rhn_server_group_id_seq: 1,
} as const;

export type Sequence = keyof typeof SEQUENCES;

/** Seed rows of Uyuni that no call changes; `schema.sql` inserts the same. */
export const ARCHES = new Map([[1, { label: "channel-x86_64", name: "x86_64" }], [2, {
  label: "channel-amd64-deb",
  name: "AMD64 Debian",
}]]);
export const CONTACT_METHODS: readonly string[] = ["default", "ssh-push", "ssh-push-tunnel"];
/** `rhnServerGroupType`: entitlements, each a group of its organisation. */
export const ENTITLEMENTS = new Map([[1, { label: "salt_entitled", name: "Salt" }]]);
export const SALT_ENTITLED = 1;
