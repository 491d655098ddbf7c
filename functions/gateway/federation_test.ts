import assert from "node:assert/strict";
import { GATEWAY_LEARN_MAX, GATEWAY_SILENT_MS } from "../../lib/limits.ts";
import { FAULTS, UyuniFault } from "../../lib/uyuni/faults.ts";
import {
  readReply,
  writeCall,
  writeFault,
  writeResult,
  type XmlRpcStruct,
  type XmlRpcValue,
} from "../../lib/uyuni/xmlrpc.ts";
import { type TestCluster, tombstone, withCluster } from "./testing.ts";

const FIRST = 1_000_010_000;
const THREE = ["node-1", "node-2", "node-3"];
const namesOf = (rows: XmlRpcStruct[]) => rows.map(({ name }) => name);

function idIn(rows: XmlRpcStruct[], name: string): number {
  const id = rows.find((row) => row["name"] === name)?.["id"];
  assert.ok(typeof id === "number", `${name} is listed with an id`);
  return id;
}

/** Lets work go on until a node was asked so often in all. */
async function reached({ clock, node }: TestCluster, name: string, times: number): Promise<void> {
  for (let round = 0; node(name).asked.length < times; round++) {
    assert.ok(round < 1_000, `${name} was asked ${node(name).asked.length} times, not ${times}`);
    await clock.advance(0);
  }
}

async function missing({ post }: TestCluster, method: string, ...params: XmlRpcValue[]) {
  const response = await post(writeCall(method, params));
  await response.body?.cancel();
  return response.headers.get("x-salar-missing");
}

const isFault = (code: number, text: string | RegExp) => (error: unknown) =>
  error instanceof UyuniFault && error.code === code &&
  (typeof text === "string" ? error.text === text : text.test(error.text));

Deno.test("all: one list of all nodes' systems, by name, in cluster ids that stay", async () => {
  await withCluster(THREE, async (cluster) => {
    for (const [name, minion] of [["node-1", "web"], ["node-2", "App"], ["node-3", "db"]] as const) {
      assert.equal(await cluster.register(name, minion), FIRST, "every node gives the same first id");
    }
    const key = await cluster.logIn();
    const rows = await cluster.list("system.listSystems", key);
    assert.deepEqual(namesOf(rows), ["App", "db", "web"]);
    const ids = rows.map(({ id }) => id);
    assert.equal(new Set(ids).size, 3);
    assert.ok(ids.every((id) => Number(id) >= FIRST && Number(id) < 2 ** 31));
    assert.deepEqual(await cluster.list("system.listUserSystems", key), rows);
    assert.deepEqual(await cluster.list("system.listUserSystems", key, "admin"), rows);

    const [own] = await cluster.list("system.getId", key, "db");
    assert.deepEqual(own, { ...rows[1], extra_pkg_count: 0, outdated_pkg_count: 0 });
    assert.equal(await missing(cluster, "system.listSystems", key), null);
  });
});

Deno.test("all: members other than the id are the node's own", async () => {
  await withCluster(["node-1"], async (cluster) => {
    const localId = await cluster.register("node-1", "web");
    const nodeKey = await nodeLogin(cluster, "node-1");
    const key = await cluster.logIn();
    const [row] = await cluster.list("system.listSystems", key);
    const [own] = await atNode(cluster, "node-1", "system.listSystems", nodeKey) as XmlRpcStruct[];
    assert.deepEqual({ ...row, id: localId }, own);
  });
});

Deno.test("all: a moved system keeps its id, and its old profile is not shown", async () => {
  await withCluster(THREE, async (cluster) => {
    await cluster.register("node-2", "other");
    await cluster.register("node-1", "web");
    const key = await cluster.logIn();
    const before = await cluster.list("system.listSystems", key);
    const id = idIn(before, "web");

    const localId = await cluster.register("node-2", "web"); // seen on the target, not yet settled there
    assert.deepEqual(namesOf(await cluster.list("system.listSystems", key)), ["other", "web"]);
    assert.equal(cluster.node("node-2").asked.includes("system.getDetails"), true);
    await cluster.giveTo("node-2", id);
    const after = await cluster.list("system.listSystems", key);
    assert.deepEqual(after.map((row) => row["id"]), before.map((row) => row["id"]));

    cluster.node("node-1").behaviour = "down"; // so it can only be the new owner's
    assert.notEqual(localId, FIRST);
    const details = await cluster.call("system.getDetails", key, id) as XmlRpcStruct;
    assert.deepEqual([details["id"], details["profile_name"]], [id, "web"]);
  });
});

Deno.test("all: a system that change capture has seen deleted is not taken up again", async () => {
  await withCluster(["node-1"], async (cluster) => {
    await tombstone(cluster, "node-1", await cluster.register("node-1", "web"));
    const key = await cluster.logIn();
    assert.deepEqual(await cluster.list("system.listSystems", key), []);
    assert.equal(cluster.node("node-1").asked.includes("system.getDetails"), false);
  });
});

Deno.test("all: calls at once learn the same systems under the same ids, so many of a node at a time", async () => {
  await withCluster(["node-1"], async (cluster) => {
    for (let n = 0; n <= GATEWAY_LEARN_MAX; n++) await cluster.register("node-1", `web-${n}`);
    const key = await cluster.logIn();
    const list = () => cluster.list("system.listSystems", key);
    const [one = [], other = []] = await cluster.inTime(Promise.all([list(), list()]));
    const ids = new Map(one.map(({ id, name }) => [name, id]));
    assert.ok(one.length >= GATEWAY_LEARN_MAX && new Set(ids.values()).size === one.length);
    for (const { id, name } of other) assert.equal(id, ids.get(name) ?? id);
    const all = await list();
    assert.equal(all.length, GATEWAY_LEARN_MAX + 1);
    for (const { id, name } of all) assert.equal(id, ids.get(name) ?? id);
  });
});

Deno.test("any: each channel once, with one id for all nodes", async () => {
  await withCluster(THREE, async (cluster) => {
    await cluster.node("node-3").twin.seed({ channels: [{ label: "extra", name: "A channel of one" }] });
    const key = await cluster.logIn();
    const rows = await cluster.list("channel.listAllChannels", key);
    assert.deepEqual(rows.map(({ label }) => label), ["extra", "base"]);

    cluster.node("node-1").behaviour = "down";
    assert.deepEqual(await cluster.list("channel.listAllChannels", key), rows, "whoever shows it");
  });
});

Deno.test("lowest: the version that every node has", async () => {
  await withCluster(THREE, async (cluster) => {
    const says = (version: string) => () => Promise.resolve(new Response(writeResult(version)));
    cluster.node("node-1").behaviour = says("10.16");
    cluster.node("node-2").behaviour = says("10.8");
    assert.equal(await cluster.call("api.getVersion"), "10.8");
    assert.equal(await cluster.call("api.systemVersion"), "10.8");
    cluster.node("node-2").behaviour = "down";
    assert.equal(await cluster.call("api.getVersion"), "10.16");
  });
});

Deno.test("one: goes to the owner alone", async () => {
  await withCluster(THREE, async (cluster) => {
    await cluster.register("node-2", "web");
    const key = await cluster.logIn();
    const id = idIn(await cluster.list("system.listSystems", key), "web");
    for (const name of THREE) cluster.node(name).asked.length = 0;
    const details = await cluster.call("system.getDetails", key, id) as XmlRpcStruct;
    assert.deepEqual([details["id"], details["minion_id"]], [id, "web"]);
    assert.deepEqual(THREE.map((name) => cluster.node(name).asked), [[], ["system.getDetails"], []]);
  });
});

Deno.test("one: says which node does not answer, and what is no system's id", async () => {
  await withCluster(["node-1", "node-2"], async (cluster) => {
    await cluster.register("node-1", "web");
    const key = await cluster.logIn();
    const id = idIn(await cluster.list("system.listSystems", key), "web");
    const details = (value: XmlRpcValue) => cluster.call("system.getDetails", key, value);
    for (const unknown of [FIRST, 5, 0, -1]) {
      await assert.rejects(details(unknown), isFault(-208, "redstone.xmlrpc.XmlRpcFault: No such system"));
    }
    await assert.rejects(
      details(String(id)),
      isFault(-1, /TranslationException: .*java\.lang\.String to class java\.lang\.Integer$/),
    );
    assert.deepEqual(await details(BigInt(id)), await details(id), "a Long is an Integer");

    cluster.node("node-1").behaviour = "down";
    const said = isFault(-1, /Cannot call system.getDetails: node "node-1" does not answer$/);
    await assert.rejects(details(id), said);
    await cluster.setState("node-1", "lost");
    await assert.rejects(details(id), said);
  });
});

Deno.test("a dead node is left out, and the answer says whose part is missing", async () => {
  await withCluster(THREE, async (cluster) => {
    for (const name of THREE) await cluster.register(name, `on ${name}`.replace(" ", "-"));
    const key = await cluster.logIn();
    assert.equal((await cluster.list("system.listSystems", key)).length, 3);

    cluster.node("node-1").behaviour = "down";
    await cluster.setState("node-2", "lost");
    assert.deepEqual(namesOf(await cluster.list("system.listSystems", key)), ["on-node-3"]);
    assert.equal(await missing(cluster, "system.listSystems", key), "node-2 node-1");
    assert.equal(await missing(cluster, "api.getVersion"), null, "strangers learn no names");
  });
});

Deno.test("what is no answer of Uyuni counts as silence: error pages, other values, a server that crashes inside", async () => {
  await withCluster(["node-1", "node-2"], async (cluster) => {
    await cluster.register("node-2", "web");
    const key = await cluster.logIn();
    const broken = [
      new Response("busy", { status: 503 }),
      new Response("<html>"),
      new Response(writeResult("no list")),
      new Response(writeResult([{ id: "text" }])),
      new Response(writeFault(-1, "redstone.xmlrpc.XmlRpcFault: unhandled internal exception: no database")),
    ];
    for (const response of broken) {
      cluster.node("node-1").behaviour = () => Promise.resolve(response.clone());
      assert.deepEqual(namesOf(await cluster.list("system.listSystems", key)), ["web"]);
      assert.equal(await missing(cluster, "system.listSystems", key), "node-1");
    }
    cluster.node("node-2").behaviour = "down";
    await assert.rejects(cluster.call("system.listSystems", key), isFault(-1, /no database$/));
  });
});

Deno.test("a node that hangs is waited for once, and tried again by one call after a while", async () => {
  await withCluster(["node-1", "node-2"], async (cluster) => {
    await cluster.register("node-2", "web");
    const key = await cluster.logIn();
    const slow = cluster.node("node-1");
    const list = () => cluster.list("system.listSystems", key);
    slow.behaviour = "hangs";
    slow.asked.length = 0;

    const waiting = [list(), list()];
    await reached(cluster, "node-1", 2);
    for (const rows of await cluster.inTime(Promise.all(waiting))) assert.deepEqual(namesOf(rows), ["web"]);
    await list(); // with the clock standing still
    assert.equal(slow.asked.length, 2);

    await cluster.clock.advance(GATEWAY_SILENT_MS);
    const trial = list();
    await reached(cluster, "node-1", 3);
    await list();
    assert.equal(slow.asked.length, 3, "the others do not wait");
    await cluster.inTime(trial);

    slow.behaviour = "up";
    await list();
    assert.equal(slow.asked.length, 3, "still left out");
    await cluster.clock.advance(GATEWAY_SILENT_MS);
    await list();
    await list();
    assert.equal(slow.asked.length, 5, "and back for everybody");
  });
});

Deno.test("a trial is left to a session that the node knows", async () => {
  await withCluster(["node-1", "node-2"], async (cluster) => {
    const node = cluster.node("node-1");
    node.behaviour = "hangs";
    const without = await cluster.inTime(cluster.logIn());
    node.behaviour = "up";
    node.asked.length = 0;
    await cluster.clock.advance(GATEWAY_SILENT_MS);
    await cluster.list("system.listSystems", without);
    assert.deepEqual(node.asked, []);
    await cluster.logIn();
    assert.deepEqual(node.asked, ["auth.login"]);
  });
});

Deno.test("when nobody answers, the fault says so", async () => {
  await withCluster(["node-1", "node-2"], async (cluster) => {
    const key = await cluster.logIn();
    for (const name of ["node-1", "node-2"]) cluster.node(name).behaviour = "down";
    const said = isFault(
      -1,
      /^redstone.xmlrpc.XmlRpcFault: unhandled internal exception: Cannot call \S+: no node of the cluster answers$/,
    );
    await assert.rejects(cluster.call("api.getVersion"), said);
    await assert.rejects(cluster.call("auth.login", "admin", "secret"), said);
    await assert.rejects(cluster.call("system.listSystems", key), said);
    await assert.rejects(cluster.call("channel.listAllChannels", key), said);
  });
});

Deno.test("every fault of a node is passed on as it came, under each policy", async () => {
  await withCluster(["node-1", "node-2"], async (cluster) => {
    await cluster.register("node-1", "web");
    const key = await cluster.logIn();
    const id = idIn(await cluster.list("system.listSystems", key), "web");
    for (const [kind, { code, thrown }] of Object.entries(FAULTS)) {
      const words = FAULT_WORDS[kind] ?? "because <&> ü";
      const text = thrown === "" ? words : `${thrown}: ${words}`;
      const refuse = () => Promise.resolve(new Response(writeFault(code, text)));
      for (const name of ["node-1", "node-2"]) cluster.node(name).behaviour = refuse;
      const calls: [string, ...XmlRpcValue[]][] = [
        ["api.getVersion"],
        ["auth.login", "admin", "secret"],
        ["system.getDetails", key, id],
        ["system.listSystems", key],
        ["channel.listAllChannels", key],
      ];
      for (const call of calls) await assert.rejects(cluster.call(...call), isFault(code, text), kind);
    }
  });
});

/** What tells faults of code -1 apart. */
const FAULT_WORDS: Record<string, string> = {
  "session-expired": "Could not find session with id: 7",
  "session-invalid": "Session id: 7 is not valid.",
  "no-such-handler": "The specified handler cannot be found",
  "no-such-method": "Could not find method: x in class: Y with params: []",
  "bad-parameter": "Could not find translator",
  "read-only-user": "The x API is not available to read-only API users",
  "no-role": "The x API is not available to user y",
  "internal": "unhandled internal exception: null",
};

async function nodeLogin(cluster: TestCluster, name: string): Promise<string> {
  return String(await atNode(cluster, name, "auth.login", "admin", "secret"));
}

async function atNode(cluster: TestCluster, name: string, method: string, ...params: XmlRpcValue[]) {
  const request = new Request("http://x/rpc/api", { method: "POST", body: writeCall(method, params) });
  const reply = readReply(await (await cluster.node(name).twin.fetch(request)).text());
  assert.ok(reply.ok);
  return reply.value;
}
