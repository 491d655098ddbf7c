/** Namespace `system`. Source: Uyuni's `SystemHandler`, `ServerSerializer`, `SystemOverviewSerializer`. */
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import type { XmlRpcStruct, XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { findOne } from "./db.ts";
import { byName, type CallContext, type Handler, localDate, lookUpSystem, struct } from "./handler.ts";
import { overload } from "./overloads.ts";
import type { User } from "./sessions.ts";
import { deleteServer, type Server, setMembership } from "./systems.ts";
import { CONTACT_METHODS, ENTITLEMENTS, type Row } from "./tables.ts";

const CLEANUP_TYPES = ["NO_CLEANUP", "FAIL_ON_CLEANUP_ERR", "FORCE_DELETE"];
const DETAILS = [
  "profile_name",
  "base_entitlement",
  "auto_errata_update",
  "description",
  "address1",
  "address2",
  "city",
  "state",
  "country",
  "building",
  "room",
  "rack",
  "contact_method",
];

export const systemHandler: Handler = {
  javaClass: "com.redhat.rhn.frontend.xmlrpc.system.SystemHandler",
  methods: {
    listSystems: [overload(["user"], listSystems)],
    listUserSystems: [
      overload(["user"], listSystems),
      overload(["user", "string"], async (context: CallContext, _user, login) => {
        const target = await findOne(context.tx, "web_contact", { login_uc: login.toUpperCase() });
        if (target === null) throw UyuniFault.of("no-such-user", `No such user: ${login}`);
        return listSystems(context, target);
      }),
    ],
    getId: [overload(["user", "string"], async (context: CallContext, user, name) => {
      const servers = await context.tx.find("rhnServer", { org_id: user.org_id, name });
      const overviews = await overview(context, servers);
      return overviews.map((its) => ({ ...its, extra_pkg_count: 0, outdated_pkg_count: 0 }));
    })],
    getName: [overload(["user", "int"], async (context: CallContext, user, sid) => {
      const server = await lookUpSystem(context.tx, user, sid);
      const info = await findOne(context.tx, "rhnServerInfo", { server_id: sid });
      return struct({ id: sid, name: server.name, last_checkin: dateOf(context, info?.checkin) });
    })],
    getDetails: [overload(["user", "int"], getDetails)],
    getMinionIdMap: [overload(["user"], async ({ tx }: CallContext, user) => {
      const servers = await tx.find("rhnServer", { org_id: user.org_id });
      const minions = new Map(
        (await tx.find("suseMinionInfo", {})).map((row) => [row.server_id, row.minion_id]),
      );
      return Object.fromEntries(servers.flatMap(({ id }) => {
        const minionId = minions.get(id);
        return minionId === undefined ? [] : [[minionId, id]];
      }));
    })],
    setProfileName: [overload(["user", "int", "string"], async ({ tx }: CallContext, user, sid, name) => {
      await lookUpSystem(tx, user, sid);
      await tx.update("rhnServer", { id: sid }, { name });
      return 1;
    })],
    setDetails: [overload(["user", "int", "map"], setDetails)],
    listGroups: [overload(["user", "int"], listGroups)],
    setGroupMembership: [
      overload(["user", "int", "int", "boolean"], async ({ tx }: CallContext, user, sid, groupId, member) => {
        await lookUpSystem(tx, user, sid);
        const group = await findOne(tx, "rhnServerGroup", { id: groupId });
        if (group === null || group.org_id !== user.org_id) {
          throw UyuniFault.of("no-such-group", `${groupId}`);
        }
        await setMembership(tx, sid, groupId, member);
        return 1;
      }),
    ],
    deleteSystem: [
      overload(["user", "int"], (context: CallContext, user, sid) => deleteSystem(context, user, sid)),
      overload(["user", "int", "string"], (context: CallContext, user, sid, cleanup) => {
        checkCleanup(cleanup);
        return deleteSystem(context, user, sid);
      }),
    ],
    deleteSystems: [
      overload(["user", "list"], (context: CallContext, user, sids) => deleteSystems(context, user, sids)),
      overload(["user", "list", "string"], (context: CallContext, user, sids, cleanup) => {
        checkCleanup(cleanup);
        return deleteSystems(context, user, sids);
      }),
    ],
  },
};

async function listSystems(context: CallContext, user: User): Promise<XmlRpcValue> {
  return overview(context, await context.tx.find("rhnServer", { org_id: user.org_id }));
}

async function overview(context: CallContext, servers: readonly Server[]): Promise<XmlRpcStruct[]> {
  const [only, second] = servers;
  const infos = second === undefined
    ? await context.tx.find("rhnServerInfo", { server_id: only?.id ?? 0 })
    : await context.tx.find("rhnServerInfo", {});
  const checkins = new Map(infos.map(({ server_id, checkin }) => [server_id, checkin]));
  return byName(servers).map(({ id, name, created, last_boot }) =>
    struct({
      id,
      name,
      last_checkin: dateOf(context, checkins.get(id)),
      created: dateOf(context, created),
      last_boot: dateOf(context, last_boot * 1_000),
    })
  );
}

async function getDetails(context: CallContext, user: User, sid: number): Promise<XmlRpcValue> {
  const server = await lookUpSystem(context.tx, user, sid);
  const minion = await findOne(context.tx, "suseMinionInfo", { server_id: sid });
  const labels: string[] = [];
  for (const { group_type } of await groupsOf(context, sid)) {
    const entitlement = group_type === null ? undefined : ENTITLEMENTS.get(group_type);
    if (entitlement !== undefined) labels.push(entitlement.label);
  }
  const [base = "unentitled", ...addons] = labels;
  return struct({
    id: server.id,
    profile_name: server.name,
    machine_id: server.machine_id,
    minion_id: minion?.minion_id,
    hostname: server.hostname ?? "unknown",
    base_entitlement: base,
    addon_entitlements: addons,
    auto_update: server.auto_update === "Y",
    description: server.description ?? "",
    address1: "",
    address2: "",
    city: "",
    state: "",
    country: "",
    building: "",
    room: "",
    rack: "",
    release: server.release,
    last_boot: dateOf(context, server.last_boot * 1_000),
    osa_status: "unknown",
    lock_status: false,
    contact_method: CONTACT_METHODS[server.contact_method_id],
    payg: false,
  });
}

async function setDetails(
  { tx }: CallContext,
  user: User,
  sid: number,
  details: XmlRpcStruct,
): Promise<XmlRpcValue> {
  const unknown = Object.keys(details).filter((name) => !DETAILS.includes(name));
  if (unknown.length > 0) throw UyuniFault.of("bad-arguments", unknown.join(", "));
  await lookUpSystem(tx, user, sid);

  const { profile_name: name, description, auto_errata_update: autoUpdate, contact_method: method } = details;
  const set: Partial<Server> = {};
  if (typeof name === "string" && name !== "") set.name = name;
  if (typeof description === "string") set.description = description === "" ? null : description;
  if (typeof autoUpdate === "boolean") set.auto_update = autoUpdate ? "Y" : "N";
  if (typeof method === "string") {
    const id = CONTACT_METHODS.indexOf(method);
    if (id === -1) throw UyuniFault.of("bad-value", `Invalid contact method: ${method}`);
    set.contact_method_id = id;
  }
  await tx.update("rhnServer", { id: sid }, set);
  return 1;
}

async function listGroups(context: CallContext, user: User, sid: number): Promise<XmlRpcValue> {
  await lookUpSystem(context.tx, user, sid);
  const member = new Set((await groupsOf(context, sid)).map(({ id }) => id));
  const groups = await context.tx.find("rhnServerGroup", { org_id: user.org_id, group_type: null });
  return byName(groups).map(({ id, name }) =>
    struct({ id, subscribed: member.has(id) ? 1 : 0, system_group_name: name, sgid: `${id}` })
  );
}

async function groupsOf({ tx }: CallContext, sid: number): Promise<Row<"rhnServerGroup">[]> {
  const groups: Row<"rhnServerGroup">[] = [];
  for (const { server_group_id: id } of await tx.find("rhnServerGroupMembers", { server_id: sid })) {
    groups.push(...await tx.find("rhnServerGroup", { id }));
  }
  return groups;
}

async function deleteSystem(context: CallContext, user: User, sid: number): Promise<XmlRpcValue> {
  await lookUpSystem(context.tx, user, sid);
  const minionId = await deleteServer(context.tx, sid);
  if (minionId !== null) context.afterwards(() => context.keys.delete(minionId));
  return 1;
}

/** Uyuni queues them, each to be deleted in a transaction of its own; those it will not delete are told at once. */
async function deleteSystems(
  { tx, db, keys, enqueue }: CallContext,
  user: User,
  sids: readonly XmlRpcValue[],
): Promise<XmlRpcValue> {
  const missing: XmlRpcValue[] = [];
  for (const sid of sids) {
    const server = typeof sid === "number" ? await findOne(tx, "rhnServer", { id: sid }) : null;
    if (server?.org_id !== user.org_id) {
      missing.push(sid);
      continue;
    }
    enqueue(async () => {
      const minionId = await db.transaction((tx) => deleteServer(tx, server.id));
      if (minionId !== null) await keys.delete(minionId);
    });
  }
  if (missing.length === 0) return 1;
  throw UyuniFault.of(
    "systems-not-deleted",
    `The following systems were NOT deleted: \n${missing.join("\n")}`,
  );
}

function checkCleanup(type: string): void {
  if (CLEANUP_TYPES.includes(type)) return;
  throw UyuniFault.of("internal", `unhandled internal exception: Invalid server cleanup type value: ${type}`);
}

function dateOf({ timeZone }: CallContext, atMs: number | null | undefined) {
  return atMs === null || atMs === undefined ? null : localDate(atMs, timeZone);
}
