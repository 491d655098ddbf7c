import assert from "node:assert/strict";
import { UyuniCallError, uyuniClient } from "../../lib/uyuni/client.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import type { FaultKind } from "../../lib/uyuni/faults.ts";
import { XmlRpcDate } from "../../lib/uyuni/xmlrpc.ts";
import type { XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { memoryDb } from "./memory_db.ts";
import { memoryKeys } from "./minion_keys.ts";
import { startTwin, type Twin, twin, type TwinOptions } from "./twin.ts";

const NOW_MS = Date.UTC(2026, 6, 1, 12, 0, 0);
const FIRST_SYSTEM = 1_000_010_000;

async function seeded(options: Partial<TwinOptions> = {}): Promise<Twin> {
  const made = twin({ db: memoryDb({ nowMs: () => NOW_MS }), nowMs: () => NOW_MS, ...options });
  await made.seed({
    users: [{ login: "admin", password: "admin" }, { login: "viewer", password: "viewer", readOnly: true }],
    channels: [{ label: "sles15", name: "SLES 15" }, {
      label: "sles15-tools",
      name: "SLES 15 Tools",
      parent: "sles15",
    }],
    groups: ["web"],
  });
  return made;
}

function client({ fetch }: Twin, user = "admin") {
  return uyuniClient({ url: "http://twin.example/rpc/api", user, password: user, request: fetch });
}

function rejectsFault(kind: FaultKind, promise: Promise<unknown>): Promise<void> {
  return assert.rejects(promise, (error) => error instanceof UyuniFault && error.kind === kind);
}

async function structOf(promise: Promise<XmlRpcValue | null>): Promise<Record<string, XmlRpcValue>> {
  return await promise as Record<string, XmlRpcValue>;
}

Deno.test("registerMinion() registers a new minion; the API shows it", async () => {
  const node = await seeded();
  const uyuni = client(node);
  const registered = await node.registerMinion({
    minionId: "a.example",
    machineId: "aaaa",
    kernel: "6.4.0",
    channels: ["sles15", "no-such"],
    groups: ["web"],
  });
  assert.deepEqual(registered, { outcome: "new", systemId: FIRST_SYSTEM });

  const date = new XmlRpcDate("20260701T12:00:00");
  const short = { id: FIRST_SYSTEM, name: "a.example", last_checkin: date, created: date, last_boot: date };
  assert.deepEqual(await uyuni.call("system.listSystems"), [short]);
  assert.deepEqual(await uyuni.call("system.listUserSystems", "ADMIN"), [short]);
  assert.deepEqual(await uyuni.call("system.getId", "a.example"), [{
    ...short,
    extra_pkg_count: 0,
    outdated_pkg_count: 0,
  }]);
  assert.deepEqual(await uyuni.call("system.getId", "A.example"), []);
  assert.deepEqual(await uyuni.call("system.getMinionIdMap"), { "a.example": FIRST_SYSTEM });

  const details = await structOf(uyuni.call("system.getDetails", FIRST_SYSTEM));
  assert.equal(details["machine_id"], "aaaa");
  assert.equal(details["minion_id"], "a.example");
  assert.equal(details["base_entitlement"], "salt_entitled");
  assert.deepEqual(details["addon_entitlements"], []);
  assert.equal(details["contact_method"], "default");
  assert.ok(!("virtualization" in details));

  const [parent, child] = await uyuni.call("channel.listAllChannels") as XmlRpcValue[];
  assert.deepEqual(parent, {
    id: 101,
    label: "sles15",
    name: "SLES 15",
    provider_name: "Organization",
    packages: 0,
    systems: 1,
    arch_name: "x86_64",
  });
  assert.deepEqual((child as Record<string, XmlRpcValue>)["systems"], 0);
  const [group] = await uyuni.call("systemgroup.listAllGroups") as Record<string, XmlRpcValue>[];
  assert.equal(group?.["system_count"], 1);
});

Deno.test("registerMinion() follows Uyuni's table of known and unknown ids", async () => {
  const node = await seeded();
  const register = (minionId: string, machineId: string | null) =>
    node.registerMinion({ minionId, machineId });
  const [first, second] = [FIRST_SYSTEM, FIRST_SYSTEM + 1];
  await node.keys.preseed("a", "key of a");
  assert.deepEqual(await register("a", "m1"), { outcome: "new", systemId: first });
  assert.deepEqual(await register("b", "m2"), { outcome: "new", systemId: second });
  assert.deepEqual(await register("a", "m1"), { outcome: "known", systemId: first });
  assert.deepEqual(await register("a", "m2"), { outcome: "conflict" });
  assert.deepEqual(await register("a", "m9"), { outcome: "migrated", systemId: first });
  assert.deepEqual(await register("c", "m9"), { outcome: "renamed", systemId: first, replacedMinionId: "a" });
  assert.deepEqual(await register("d", null), { outcome: "no-machine-id" });
  assert.deepEqual(await node.keys.list("accepted"), []);

  const map = await client(node).call("system.getMinionIdMap");
  assert.deepEqual(map, { c: first, b: second });
});

Deno.test("registerMinion() gives the twin's channels to new systems only", async () => {
  const node = await seeded({ channels: ["sles15"] });
  const subscribed = () => node.db.transaction((tx) => tx.count("rhnServerChannel", {}));
  await node.registerMinion({ minionId: "a", machineId: "m" });
  assert.equal(await subscribed(), 1);
  await node.db.transaction((tx) => tx.delete("rhnServerChannel", {}));
  await node.registerMinion({ minionId: "a", machineId: "m" });
  assert.equal(await subscribed(), 0);
});

Deno.test("deleteSystems() queues what it may delete, and names the rest", async () => {
  const node = await seeded();
  const uyuni = client(node);
  for (const id of ["a", "b"]) {
    await node.keys.preseed(id, "key");
    await node.registerMinion({ minionId: id, machineId: id });
  }
  await rejectsFault(
    "systems-not-deleted",
    uyuni.call("system.deleteSystems", [FIRST_SYSTEM, 7], "NO_CLEANUP"),
  );
  assert.deepEqual(
    await uyuni.call("system.getMinionIdMap"),
    { a: FIRST_SYSTEM, b: FIRST_SYSTEM + 1 },
    "not yet",
  );
  await node.idle();
  assert.deepEqual(await uyuni.call("system.getMinionIdMap"), { b: FIRST_SYSTEM + 1 });
  assert.equal(await uyuni.call("system.deleteSystems", [FIRST_SYSTEM + 1]), 1);
  await node.idle();
  assert.deepEqual([await uyuni.call("system.getMinionIdMap"), await uyuni.call("saltkey.acceptedList")], [
    {},
    [],
  ]);
});

Deno.test("deleteSystem() takes the profile, its rows and the key away", async () => {
  const node = await seeded({ channels: ["sles15"] });
  const uyuni = client(node);
  await node.keys.preseed("a", "key");
  await node.registerMinion({ minionId: "a", machineId: "m", groups: ["web"] });
  await rejectsFault("internal", uyuni.call("system.deleteSystem", FIRST_SYSTEM, "SOMEHOW"));
  assert.equal(await uyuni.call("system.deleteSystem", FIRST_SYSTEM, "NO_CLEANUP"), 1);
  await rejectsFault("no-such-system", uyuni.call("system.deleteSystem", FIRST_SYSTEM));
  assert.deepEqual(await uyuni.call("saltkey.acceptedList"), []);
  for (const table of ["rhnServer", "suseMinionInfo", "rhnServerInfo", "rhnServerChannel"] as const) {
    assert.equal(await node.db.transaction((tx) => tx.count(table, {})), 0, table);
  }
  const [group] = await uyuni.call("systemgroup.listAllGroups") as Record<string, XmlRpcValue>[];
  assert.equal(group?.["system_count"], 0);
  assert.deepEqual(await node.registerMinion({ minionId: "a", machineId: "m" }), {
    outcome: "new",
    systemId: FIRST_SYSTEM + 1,
  });
});

Deno.test("setDetails() and setProfileName() change a profile", async () => {
  const node = await seeded();
  const uyuni = client(node);
  await node.registerMinion({ minionId: "a", machineId: "m" });
  await uyuni.call("system.setProfileName", FIRST_SYSTEM, "renamed");
  await uyuni.call("system.setDetails", FIRST_SYSTEM, {
    description: "text",
    auto_errata_update: true,
    contact_method: "ssh-push",
  });
  const details = await structOf(uyuni.call("system.getDetails", FIRST_SYSTEM));
  assert.deepEqual(
    [details["profile_name"], details["description"], details["auto_update"], details["contact_method"]],
    ["renamed", "text", true, "ssh-push"],
  );
  await rejectsFault("bad-arguments", uyuni.call("system.setDetails", FIRST_SYSTEM, { colour: "red" }));
});

Deno.test("groups are created, joined, left and deleted", async () => {
  const node = await seeded();
  const uyuni = client(node);
  await node.registerMinion({ minionId: "a", machineId: "m" });
  const { id, ...group } = await structOf(uyuni.call("systemgroup.create", "db", "databases"));
  assert.ok(typeof id === "number");
  assert.deepEqual(group, { name: "db", description: "databases", org_id: 1, system_count: 0 });
  await uyuni.call("system.setGroupMembership", FIRST_SYSTEM, id, true);
  await uyuni.call("system.setGroupMembership", FIRST_SYSTEM, id, true);
  const groups = await uyuni.call("system.listGroups", FIRST_SYSTEM) as Record<string, XmlRpcValue>[];
  assert.deepEqual(groups.map((its) => [its["system_group_name"], its["subscribed"]]), [["db", 1], [
    "web",
    0,
  ]]);
  assert.equal(await uyuni.call("systemgroup.delete", "db"), 1);
  await rejectsFault("no-such-group", uyuni.call("systemgroup.delete", "db"));
  await rejectsFault("no-such-group", uyuni.call("system.setGroupMembership", FIRST_SYSTEM, id, true));
});

Deno.test("a key is accepted ahead of arrival, or pending until somebody accepts it", async () => {
  const keys = memoryKeys();
  const uyuni = client(await seeded({ keys }));
  await keys.preseed("early", "PEM early\n");
  assert.equal(keys.offer("early", "PEM early"), "accepted");
  assert.equal(keys.offer("early", "PEM of somebody else"), "denied");
  assert.equal(keys.offer("late", "PEM late"), "pending");
  assert.deepEqual(await uyuni.call("saltkey.pendingList"), ["late"]);
  assert.equal(await uyuni.call("saltkey.accept", "late"), 1);
  assert.equal(await uyuni.call("saltkey.accept", "late"), 0);
  assert.deepEqual(await uyuni.call("saltkey.acceptedList"), ["early", "late"]);
  assert.equal(await uyuni.call("saltkey.delete", "early"), 1);
  assert.equal(keys.offer("early", "PEM early"), "pending");
});

Deno.test("a session key is worthless on another server and after logout", async () => {
  const [one, two] = [await seeded(), await seeded()];
  const key = await client(one).callBare("auth.login", "admin", "admin");
  assert.ok(typeof key === "string" && /^[1-9][0-9]*x[0-9a-f]{64}$/.test(key));
  await client(two).callBare("auth.login", "admin", "admin");

  const withKey = (node: Twin) => client(node).withSession(key);
  assert.ok(await withKey(one).call("user.listAssignableRoles"));
  assert.ok(await client(one).withSession(`${key}\n`).call("user.listAssignableRoles"), "the server trims");
  await rejectsFault("session-invalid", withKey(two).call("user.listAssignableRoles"));
  assert.equal(await withKey(one).call("auth.logout"), 1);
  await rejectsFault("session-expired", withKey(one).call("user.listAssignableRoles"));
});

Deno.test("a user that may only read is refused every change", async () => {
  const uyuni = client(await seeded(), "viewer");
  assert.deepEqual(await uyuni.call("system.listSystems"), []);
  await rejectsFault("read-only-user", uyuni.call("systemgroup.create", "x", "y"));
});

Deno.test("systems of another organisation do not exist", async () => {
  const node = await seeded();
  await node.seed({ org: "Other", users: [{ login: "other", password: "other" }] });
  await node.registerMinion({ minionId: "a", machineId: "m" });
  await node.registerMinion({ minionId: "b", machineId: "n", org: "Other" });
  assert.deepEqual(await client(node, "other").call("system.getMinionIdMap"), { b: FIRST_SYSTEM + 1 });
  await rejectsFault("no-such-system", client(node, "other").call("system.getDetails", FIRST_SYSTEM));
});

Deno.test("checkin() moves the last check-in, and dates are local to the server", async () => {
  let nowMs = NOW_MS;
  const node = await seeded({ nowMs: () => nowMs, timeZone: "Asia/Kolkata" });
  await node.registerMinion({ minionId: "a", machineId: "m" });
  nowMs += 60_000;
  assert.equal(await node.checkin("a"), true);
  assert.equal(await node.checkin("b"), false);
  const { last_checkin } = await structOf(client(node).call("system.getName", FIRST_SYSTEM));
  assert.deepEqual(last_checkin, new XmlRpcDate("20260701T17:31:00"));
});

Deno.test("seed() may be called again and changes nothing then", async () => {
  const node = await seeded();
  const before = await node.db.transaction((tx) => tx.find("rhnChannel", {}));
  await node.seed({
    channels: [{ label: "sles15", name: "another" }],
    users: [{ login: "admin", password: "changed" }],
  });
  assert.deepEqual(await node.db.transaction((tx) => tx.find("rhnChannel", {})), before);
  assert.ok(await client(node).call("user.listAssignableRoles"));
});

Deno.test("watchSalt() registers minions by their start events", async () => {
  const node = await seeded();
  async function* events() {
    yield { tag: "salt/auth", data: { id: "a" } };
    yield { tag: "salt/minion/a.example/start", data: { id: "a.example", grains: { machine_id: "m1" } } };
    yield { tag: "salt/minion/b.example/start", data: { id: "b.example" } };
    yield { tag: "salt/minion/c.example/start", data: { id: "c.example" } };
  }
  const outcomes: string[] = [];
  await node.watchSalt(events(), {
    machineIdOf: (id) => Promise.resolve(id === "b.example" ? "m2" : null),
    onRegistration: (id, { outcome }) => outcomes.push(`${id} ${outcome}`),
  });
  assert.deepEqual(outcomes, ["a.example new", "b.example new", "c.example no-machine-id"]);
});

Deno.test("startTwin() serves a port, hangs when paused, and is gone when stopped", async () => {
  const node = startTwin({ db: memoryDb() });
  await node.seed({ users: [{ login: "admin", password: "admin" }] });
  const uyuni = uyuniClient({
    url: node.url,
    user: "admin",
    password: "admin",
    request: fetch,
    timeoutMs: 5_000,
  });
  assert.deepEqual(await uyuni.call("system.listSystems"), []);

  node.pause();
  const impatient = uyuniClient({
    url: node.url,
    user: "admin",
    password: "admin",
    request: fetch,
    timeoutMs: 50,
  });
  const kindOf = (kind: string) => (error: unknown) => error instanceof UyuniCallError && error.kind === kind;
  await assert.rejects(impatient.callBare("api.getVersion"), kindOf("timeout"));
  const waiting = uyuni.callBare("api.getVersion");
  node.resume();
  assert.equal(await waiting, "29");

  node.pause();
  const hanging = assert.rejects(uyuni.callBare("api.getVersion"), kindOf("unreachable"));
  await node.stop();
  await hanging;
  await assert.rejects(uyuni.callBare("api.getVersion"), kindOf("unreachable"));
});
