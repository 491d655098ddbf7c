import assert from "node:assert/strict";
import { GATEWAY_SESSION_MS, SWEEP_MS } from "../../lib/limits.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { toBytes } from "../../lib/store/record.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { writeCall, writeFault } from "../../lib/uyuni/xmlrpc.ts";
import { storeText, type TestCluster, withCluster } from "./testing.ts";

const TWO = ["node-1", "node-2"];
const isFault = (code: number, text: string | RegExp) => (error: unknown) =>
  error instanceof UyuniFault && error.code === code &&
  (typeof text === "string" ? error.text === text : text.test(error.text));
const idIn = (key: string) => key.slice(0, key.indexOf("x"));
const unknown = (key: string) =>
  isFault(
    -1,
    `com.redhat.rhn.common.hibernate.LookupException: Could not find session with id: ${idIn(key)}`,
  );

function list({ call }: TestCluster, key: string) {
  return call("system.listSystems", key);
}

async function nodeSessions({ node }: TestCluster, name: string): Promise<number> {
  return await node(name).twin.db.transaction((tx) => tx.count("PXTSessions", {}));
}

Deno.test("login opens a session on every node, whose key has Uyuni's form", async () => {
  await withCluster(TWO, async (cluster) => {
    const key = await cluster.logIn();
    assert.match(key, /^[1-9][0-9]*x[a-f0-9]{64}$/);
    assert.ok(Number(idIn(key)) < 2 ** 31);
    assert.notEqual(await cluster.logIn(), key);
    await list(cluster, `${key}\n`); // as spacecmd sends it from its cache
    for (const name of TWO) assert.equal(await nodeSessions(cluster, name), 2);
  });
});

Deno.test("the store holds neither the key nor the nodes' keys nor the password", async () => {
  await withCluster(["node-1"], async (cluster) => {
    const key = await cluster.logIn();
    const [row] = await cluster.node("node-1").twin.db.transaction((tx) => tx.find("PXTSessions", {}));
    assert.ok(row);
    const stored = await storeText(cluster);
    assert.match(stored, /^session\//m, "the session is there");
    for (const secret of [key, key.slice(-64), "secret"]) assert.ok(!stored.includes(secret));
    // The box is AES-GCM over JSON, so its text would show the braces and the node's fingerprint.
    const record = JSON.parse(/^session\/\S+ (.*)$/m.exec(stored)?.[1] ?? "");
    const box = new TextDecoder("latin1").decode(Uint8Array.fromBase64(record.nodeKeys));
    assert.ok(!box.includes(cluster.node("node-1").fp) && !/x[a-f0-9]{64}/.test(box));
  });
});

Deno.test("login fails where one node that answers refuses, and leaves no session behind", async () => {
  await withCluster(TWO, async (cluster) => {
    await cluster.node("node-2").twin.seed({ users: [{ login: "only-here", password: "pw" }] });
    const refused = isFault(
      2950,
      "redstone.xmlrpc.XmlRpcFault: Either the password or username is incorrect.",
    );
    await assert.rejects(cluster.call("auth.login", "only-here", "pw"), refused);
    await assert.rejects(cluster.call("auth.login", "admin", "wrong"), refused);
    for (const name of TWO) assert.equal(await nodeSessions(cluster, name), 0);
    assert.doesNotMatch(await storeText(cluster), /^session\//m);
    cluster.node("node-1").behaviour = "down";
    await cluster.call("auth.login", "only-here", "pw");
  });
});

Deno.test("login with seconds: nodes check them, and the session ends by them", async () => {
  await withCluster(TWO, async (cluster) => {
    await assert.rejects(
      cluster.call("auth.login", "admin", "secret", 3_601),
      isFault(-1, /^redstone.xmlrpc.XmlRpcFault: unhandled internal exception: The session duration cannot/),
    );
    const key = String(await cluster.call("auth.login", "admin", "secret", 60));
    await cluster.clock.advance(60_000);
    await assert.rejects(list(cluster, key), unknown(key));
  });
});

Deno.test("login waits for no node that hangs longer than its deadline", async () => {
  await withCluster(TWO, async (cluster) => {
    cluster.node("node-1").behaviour = "hangs";
    assert.match(await cluster.inTime(cluster.logIn()), /^\d+x/);
  });
});

Deno.test("a node that was away at login: lists miss it, and where it is needed the client is told to log in again", async () => {
  await withCluster(TWO, async (cluster) => {
    const system = await cluster.register("node-1", "web");
    const [row] = await cluster.list("system.listSystems", await cluster.logIn());
    assert.ok(row && row["id"] !== system);
    const id = row["id"] ?? 0;

    cluster.node("node-1").behaviour = "down";
    const key = await cluster.logIn();
    cluster.node("node-1").behaviour = "up";
    const response = await cluster.post(writeCall("system.listSystems", [key]));
    assert.equal(response.headers.get("x-salar-missing"), "node-1");
    await response.body?.cancel();
    const again = isFault(
      -1,
      `com.redhat.rhn.common.hibernate.LookupException: Could not find session with id: ${
        idIn(key)
      } on node "node-1"`,
    );
    await assert.rejects(cluster.call("system.getDetails", key, id), again);
    cluster.node("node-2").behaviour = "down";
    await assert.rejects(
      list(cluster, key),
      isFault(-1, /Could not find session with id: \d+ on any node that/),
    );
    assert.ok(await cluster.call("system.getDetails", await cluster.logIn(), id));
  });
});

Deno.test("a session lives on by being used and ends without", async () => {
  await withCluster(["node-1"], async (cluster) => {
    const key = await cluster.logIn();
    await cluster.clock.advance(GATEWAY_SESSION_MS - 1);
    await list(cluster, key);
    await cluster.clock.advance(GATEWAY_SESSION_MS - 1);
    await cluster.inTime(Promise.all([list(cluster, key), list(cluster, key), list(cluster, key)]));
    await list(cluster, key); // too soon to be written again
    await cluster.clock.advance(GATEWAY_SESSION_MS);
    await assert.rejects(list(cluster, key), unknown(key));
  });
});

Deno.test("the sweep forgets ended sessions, keeps the others and looks at them when they are due", async () => {
  await withCluster(["node-1"], async (cluster) => {
    const used = await cluster.logIn();
    await cluster.logIn();
    await cluster.clock.advance(GATEWAY_SESSION_MS - 1_000);
    await list(cluster, used);
    await cluster.clock.advance(2 * SWEEP_MS);
    assert.equal((await storeText(cluster)).match(/^session\//gm)?.length, 1);
    await list(cluster, used);
    await cluster.clock.advance(GATEWAY_SESSION_MS + 2 * SWEEP_MS);
    assert.doesNotMatch(await storeText(cluster), /^(work\/)?session\//m, "its index went with it");
  });
});

Deno.test("logout ends the session everywhere, once, in Uyuni's two forms of the fault", async () => {
  await withCluster(TWO, async (cluster) => {
    const key = await cluster.logIn();
    cluster.node("node-2").behaviour = "down"; // it ends the session by itself, some day
    assert.equal(await cluster.call("auth.logout", key), 1);
    assert.deepEqual(await Promise.all(TWO.map((name) => nodeSessions(cluster, name))), [0, 1]);
    await assert.rejects(list(cluster, key), unknown(key));
    const inside = "redstone.xmlrpc.XmlRpcFault: unhandled internal exception: ";
    await assert.rejects(
      cluster.call("auth.logout", key),
      isFault(-1, `${inside}Could not find session with id: ${idIn(key)}`),
    );
    const other = forged(await cluster.logIn());
    await assert.rejects(
      cluster.call("auth.logout", other),
      isFault(-1, `${inside}Session id: ${idIn(other)} is not valid.`),
    );
    await assert.rejects(
      cluster.call("auth.logout", "nonsense"),
      isFault(-1, /Could not find session with id: /),
    );
    await assert.rejects(cluster.call("auth.logout", [1]), isFault(-1, /TranslationException/));
  });
});

Deno.test("a forged key is told from an unknown one", async () => {
  await withCluster(["node-1"], async (cluster) => {
    const key = await cluster.logIn();
    await assert.rejects(
      list(cluster, forged(key)),
      isFault(
        -1,
        `com.redhat.rhn.domain.session.InvalidSessionIdException: Session id: ${idIn(key)} is not valid.`,
      ),
    );
    const strange = `999999999999x${"0".repeat(64)}`;
    await assert.rejects(list(cluster, strange), unknown(strange));
  });
});

Deno.test("a node that has forgotten the session sends the client to log in again", async () => {
  await withCluster(TWO, async (cluster) => {
    const key = await cluster.logIn();
    const text = "com.redhat.rhn.common.hibernate.LookupException: Could not find session with id: 1";
    cluster.node("node-2").behaviour = () => Promise.resolve(new Response(writeFault(-1, text)));
    await assert.rejects(list(cluster, key), isFault(-1, text));
  });
});

Deno.test("a session whose box was changed in the store is an error of ours, and opens nothing", async () => {
  await withCluster(["node-1"], async (cluster) => {
    const key = await cluster.logIn();
    const at = keys.session(Number(idIn(key)));
    await cluster.store.write(cluster.scope, async (tx) => {
      const record = JSON.parse(new TextDecoder().decode(await tx.get(at) ?? undefined));
      const box = Uint8Array.fromBase64(record.nodeKeys);
      box[20] = (box[20] ?? 0) ^ 1;
      tx.put(at, toBytes({ ...record, nodeKeys: box.toBase64() }));
    });
    const response = await cluster.post(writeCall("system.listSystems", [key]));
    assert.equal(response.status, 500);
    assert.equal((await response.json()).code, "bad-record");
  });
});

function forged(key: string): string {
  return key.slice(0, -1) + (key.endsWith("0") ? "1" : "0");
}
