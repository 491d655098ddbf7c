/** The API of the twin: every namespace that it has, with the Java class that stands behind it. */
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { findOne } from "./db.ts";
import { byName, type CallContext, type Handler, struct } from "./handler.ts";
import type { KeyState } from "./minion_keys.ts";
import { overload } from "./overloads.ts";
import { passwordFits } from "./passwords.ts";
import { SESSION_SECONDS, type User } from "./sessions.ts";
import { systemHandler } from "./system_calls.ts";
import { ARCHES, type Row } from "./tables.ts";

const PACKAGE = "com.redhat.rhn.frontend.xmlrpc";

const apiHandler: Handler = {
  javaClass: `${PACKAGE}.api.ApiHandler`,
  open: true,
  methods: {
    getVersion: [overload([], ({ version }: CallContext) => Promise.resolve(version.api))],
    systemVersion: [overload([], ({ version }: CallContext) => Promise.resolve(version.system))],
    productName: [overload([], ({ version }: CallContext) => Promise.resolve(version.product))],
    getApiNamespaces: [overload([], () => {
      const names = [...HANDLERS].map((
        [name, { javaClass }],
      ) => [name, javaClass.slice(javaClass.lastIndexOf(".") + 1)]);
      return Promise.resolve(Object.fromEntries(names));
    })],
  },
};

const authHandler: Handler = {
  javaClass: `${PACKAGE}.auth.AuthHandler`,
  looksUpSessions: true,
  open: true,
  methods: {
    login: [
      overload(
        ["string", "string"],
        (context: CallContext, login, password) => logIn(context, login, password),
      ),
      overload(["string", "string", "int"], logIn),
    ],
    logout: [overload(["string"], async ({ tx, sessions }: CallContext, key) => {
      await insideHandler(() => sessions.close(tx, key));
      return 1;
    })],
    isSessionKeyValid: [overload(["string"], async ({ tx, sessions }: CallContext, key) => {
      await insideHandler(() => sessions.use(tx, key));
      return true;
    })],
  },
};

async function logIn(
  { tx, sessions }: CallContext,
  login: string,
  password: string,
  seconds = SESSION_SECONDS,
) {
  const user = await findOne(tx, "web_contact", { login_uc: login.toUpperCase() });
  if (user === null || !passwordFits(password, user.password)) {
    throw UyuniFault.of("bad-credentials", "Either the password or username is incorrect.");
  }
  if (seconds > SESSION_SECONDS) {
    throw internal(
      `The session duration cannot exceed the maximum duration allowed by the database (currently ${SESSION_SECONDS})`,
    );
  }
  return await sessions.open(tx, user, seconds);
}

/** What is thrown inside a handler and is no fault of its own reaches the caller under another class name. */
async function insideHandler<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UyuniFault)) throw error;
    throw internal(error.text.slice(error.text.indexOf(": ") + 2));
  }
}

function internal(message: string): UyuniFault {
  return UyuniFault.of("internal", `unhandled internal exception: ${message}`);
}

const userHandler: Handler = {
  javaClass: `${PACKAGE}.user.UserHandler`,
  methods: {
    listAssignableRoles: [overload(["user"], () =>
      Promise.resolve([
        "satellite_admin",
        "org_admin",
        "channel_admin",
        "config_admin",
        "system_group_admin",
        "activation_key_admin",
        "image_admin",
      ]))],
  },
};

const channelHandler: Handler = {
  javaClass: `${PACKAGE}.channel.ChannelHandler`,
  methods: { listAllChannels: [overload(["user"], listAllChannels)] },
};

async function listAllChannels({ tx }: CallContext, user: User) {
  const org = await findOne(tx, "web_customer", { id: user.org_id });
  const vendors = await tx.find("rhnChannel", { org_id: null });
  const own = await tx.find("rhnChannel", { org_id: user.org_id });
  const listed = [];
  for (const channel of byName([...vendors, ...own])) {
    listed.push(struct({
      id: channel.id,
      label: channel.label,
      name: channel.name,
      provider_name: channel.org_id === null ? "SUSE" : org?.name,
      packages: 0,
      systems: await tx.count("rhnServerChannel", { channel_id: channel.id }),
      arch_name: ARCHES.get(channel.channel_arch_id)?.name,
    }));
  }
  return listed;
}

const systemGroupHandler: Handler = {
  javaClass: `${PACKAGE}.systemgroup.ServerGroupHandler`,
  methods: {
    listAllGroups: [overload(["user"], async ({ tx }: CallContext, user) => {
      const groups = await tx.find("rhnServerGroup", { org_id: user.org_id, group_type: null });
      return byName(groups).map(groupStruct);
    })],
    create: [overload(["user", "string", "string"], async ({ tx }: CallContext, user, name, description) => {
      const id = await tx.nextId("rhn_server_group_id_seq");
      await tx.insert("rhnServerGroup", { id, name, description, org_id: user.org_id });
      return groupStruct(await lookUpGroup({ tx }, user, name));
    })],
    delete: [overload(["user", "string"], async ({ tx }: CallContext, user, name) => {
      const { id } = await lookUpGroup({ tx }, user, name);
      await tx.delete("rhnServerGroupMembers", { server_group_id: id });
      await tx.delete("rhnServerGroup", { id });
      return 1;
    })],
  },
};

async function lookUpGroup(
  { tx }: Pick<CallContext, "tx">,
  user: User,
  name: string,
): Promise<Row<"rhnServerGroup">> {
  const group = await findOne(tx, "rhnServerGroup", { org_id: user.org_id, name });
  if (group === null) {
    throw UyuniFault.of("no-such-group", `Unable to locate or access server group: ${name}`);
  }
  return group;
}

function groupStruct({ id, name, description, org_id, current_members }: Row<"rhnServerGroup">) {
  return struct({ id, name, description, org_id, system_count: current_members });
}

const listKeys = (state: KeyState) => [overload(["user"], ({ keys }: CallContext) => keys.list(state))];

const saltKeyHandler: Handler = {
  javaClass: `${PACKAGE}.saltkey.SaltKeyHandler`,
  methods: {
    acceptedList: listKeys("accepted"),
    pendingList: listKeys("pending"),
    rejectedList: listKeys("rejected"),
    deniedList: listKeys("denied"),
    accept: [
      overload(["user", "string"], async ({ keys }: CallContext, _user, id) => await keys.accept(id) ? 1 : 0),
    ],
    reject: [
      overload(["user", "string"], async ({ keys }: CallContext, _user, id) => await keys.reject(id) ? 1 : 0),
    ],
    delete: [
      overload(["user", "string"], async ({ keys }: CallContext, _user, id) => await keys.delete(id) ? 1 : 0),
    ],
  },
};

export const HANDLERS: ReadonlyMap<string, Handler> = new Map([
  ["api", apiHandler],
  ["auth", authHandler],
  ["channel", channelHandler],
  ["saltkey", saltKeyHandler],
  ["system", systemHandler],
  ["systemgroup", systemGroupHandler],
  ["user", userHandler],
]);
