/** What an API namespace of the twin is, and what its methods share. */
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { XmlRpcDate } from "../../lib/uyuni/xmlrpc.ts";
import type { XmlRpcStruct, XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { findOne, type TwinDb, type TwinTx } from "./db.ts";
import type { MinionKeys } from "./minion_keys.ts";
import type { Overload } from "./overloads.ts";
import type { Sessions, User } from "./sessions.ts";
import type { Server } from "./systems.ts";

export interface TwinVersion {
  /** `api.getVersion`, such as "29". */
  api: string;
  /** `api.systemVersion`, such as "2026.07 Uyuni". */
  system: string;
  /** `api.productName`. */
  product: string;
}

export interface CallContext {
  tx: TwinTx;
  nowMs: number;
  version: TwinVersion;
  /** IANA name of the server's time zone: dates on the wire are in it. */
  timeZone: string;
  keys: MinionKeys;
  sessions: Sessions;
  /** Something outside the database that is to happen once the call is committed. */
  afterwards(work: () => Promise<unknown>): void;
  /** Work for the server's queue: begun after the answer, whatever that is; see `twin.ts`. */
  enqueue(work: () => Promise<unknown>): void;
  db: TwinDb;
}

export interface Handler {
  /** Full name of the Java class that answers; it appears in faults. */
  javaClass: string;
  /** Session keys reach the methods as they are. */
  looksUpSessions?: boolean;
  /** Needs no user. */
  open?: boolean;
  methods: Readonly<Record<string, readonly Overload<CallContext>[]>>;
}

/** A struct as Uyuni's `SerializerHelper` makes it: members without a value are left out. */
export function struct(members: Record<string, XmlRpcValue | null | undefined>): XmlRpcStruct {
  const present: [string, XmlRpcValue][] = [];
  for (const [name, value] of Object.entries(members)) {
    if (value !== null && value !== undefined) present.push([name, value]);
  }
  return Object.fromEntries(present);
}

/** A date on the wire: local time of the server, without a zone. */
export function localDate(atMs: number, timeZone: string): XmlRpcDate {
  const utc = new Date(atMs).toISOString();
  if (timeZone === "UTC") return new XmlRpcDate(utc.slice(0, 19).replaceAll("-", ""));
  const parts = new Intl.DateTimeFormat("en-GB", {
    timeZone,
    dateStyle: "short",
    timeStyle: "medium",
    hourCycle: "h23",
  })
    .formatToParts(atMs);
  const part = (type: string) => parts.find((its) => its.type === type)?.value ?? "";
  return new XmlRpcDate(
    `${part("year")}${part("month")}${part("day")}T${part("hour")}:${part("minute")}:${part("second")}`,
  );
}

/** The system with this id. @throws {UyuniFault} `no-such-system`, also for one of another organisation */
export async function lookUpSystem(tx: TwinTx, user: User, id: number): Promise<Server> {
  const server = await findOne(tx, "rhnServer", { id });
  if (server === null || server.org_id !== user.org_id) {
    throw UyuniFault.of("no-such-system", "No such system");
  }
  return server;
}

/** Orders by a text without regard to case, then by id. */
export function byName<T extends { id: number; name: string | null }>(rows: readonly T[]): T[] {
  const keyed = rows.map((row) => ({ row, key: (row.name ?? "(none)").toUpperCase() }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.row.id - b.row.id));
  return keyed.map(({ row }) => row);
}
