import assert from "node:assert/strict";
import { change } from "../lib/cluster/change.ts";
import { ADMIN_LOOK_BACK_MS, ADMIN_WATCH_MS, CLOCK_SKEW_MS_MAX } from "../lib/limits.ts";
import { Lanes } from "../lib/mesh/lanes.ts";
import { EXIT } from "./exit.ts";
import { type TestCluster, withCluster } from "./testing_cluster.ts";
import { Nodes, NodeView, Systems, SystemView, Zone } from "../tests/integration/director_replies.ts";

/** The table without what is random in it: fingerprints and ids. */
function still(text: string): string {
  return text.replace(/\b[0-9a-f]{12}\b/g, "FFFFFFFFFFFF").replace(/\b\d{10}\b/g, "IIIIIIIIII");
}

async function idOf({ salar }: TestCluster, name: string): Promise<string> {
  return String(JSON.parse((await salar(["systems", "show", name, "--json"])).stdout).id);
}

Deno.test("tables of nodes, zones and systems", async () => {
  await withCluster(async ({ rig, salar }) => {
    const options = { nowMs: rig.nowMs() + 5_400_000 }; // an hour and a half later, however slow this machine is
    assert.equal(
      still((await salar(["nodes", "list", "--zone", "a"], options)).stdout).split("\n").toSorted().join(
        "\n",
      ),
      `
NODE        ZONE  STATE     SYSTEMS  LOAD  HEARD    FINGERPRINT
a1.example  a     accepted  3/10000     0  1 h ago  FFFFFFFFFFFF
a2.example  a     accepted  0/10000     0  1 h ago  FFFFFFFFFFFF`,
    );
    assert.equal(
      still((await salar(["zones", "list"], options)).stdout),
      `ZONE  FALLBACK  ADDED    DESCRIPTION
a     yes       1 h ago  Zone a
b     yes       1 h ago  Zone b
`,
    );
    assert.equal(
      still((await salar(["systems", "search", "S1"])).stdout),
      `        ID  SYSTEM  MINION      ZONE  NODE        STATE
IIIIIIIIII  s1      s1.example  a     a1.example  bound
`,
    );
    assert.equal(
      (await salar(["zones", "stats", "a"])).stdout,
      `ZONE      a
NODES     2
BY STATE  accepted 2
CAPACITY  20000
SYSTEMS   3
`,
    );
  });
});

Deno.test("--json prints exactly what the API answers", async () => {
  await withCluster(async ({ rig, salar, nodes }) => {
    const printed = async (...args: string[]) => JSON.parse((await salar([...args, "--json"])).stdout);
    assert.deepEqual(await printed("nodes", "list"), await rig.ask(Nodes, "GET", "/v1/nodes"));
    assert.deepEqual(
      await printed("node", "show", "a1"),
      await rig.ask(NodeView, "GET", `/v1/nodes/${nodes.a1.fp}`),
    );
    assert.deepEqual(await printed("systems", "list"), await rig.ask(Systems, "GET", "/v1/systems"));
  });
});

Deno.test("colours come on a terminal only, and not with NO_COLOR", async () => {
  await withCluster(async ({ salar }) => {
    const nodes = async (terminal: boolean, env = {}) =>
      (await salar(["nodes", "list"], { terminal, env })).stdout;
    assert.ok((await nodes(true)).includes("\x1b[32maccepted\x1b[0m"));
    assert.ok(!(await nodes(true, { NO_COLOR: "1" })).includes("\x1b"));
    assert.ok(!(await nodes(true, { TERM: "dumb" })).includes("\x1b"));
    assert.ok(!(await nodes(false)).includes("\x1b"));
  });
});

Deno.test("a node is named by name, first part or digits of its fingerprint; what fits two is refused", async () => {
  await withCluster(async ({ rig, salar, nodes: { a1 } }) => {
    const found = async (name: string) => {
      const { exit, stdout, stderr } = await salar(["nodes", "show", name, "--json"]);
      return exit === EXIT.ok ? JSON.parse(stdout).name : `${exit} ${stderr}`;
    };
    for (const name of ["a1.example", "a1", a1.fp, a1.fp.slice(0, 8)]) {
      assert.equal(await found(name), "a1.example");
    }
    assert.match(await found(a1.fp.slice(0, 7)), /^3 .*there is none\nSee what is there: salar nodes list/);
    await rig.node("a1.other", { zone: "b" });
    assert.match(
      await found("a1"),
      /^2 .*it fits 2\n( {2}candidate: a1\.(example|other) \([0-9a-f]{12}, accepted\)\n){2}/,
    );
    assert.equal(await found("a1.example"), "a1.example");
  });
});

Deno.test("a system is named by id, minion id or name", async () => {
  await withCluster(async (cluster) => {
    const id = await idOf(cluster, "s2");
    assert.equal(await idOf(cluster, "s2.example"), id);
    assert.equal(await idOf(cluster, id), id);
    assert.equal(
      (await cluster.salar(["systems", "show", "s"])).exit,
      EXIT.notFound,
      "part of a name is no name",
    );
  });
});

Deno.test("zones: add, update, remove; an option that is not given changes nothing", async () => {
  await withCluster(async ({ rig, salar }) => {
    const zone = async () => {
      const { description, fallback } = await rig.ask(Zone, "GET", "/v1/zones/c");
      return [description, fallback];
    };
    const { stdout, stderr } = await salar([
      "zone",
      "add",
      "c",
      "--no-fallback",
      "--description",
      "The third",
    ]);
    assert.deepEqual([stdout, stderr.split(";")[0]], ["", "Zone c is there"]);
    assert.deepEqual(await zone(), ["The third", false]);
    await salar(["zones", "update", "c", "--description", "Third"]);
    assert.deepEqual(await zone(), ["Third", false]);
    await salar(["zones", "update", "c", "--fallback"]);
    assert.deepEqual(await zone(), ["Third", true]);
    const nothing = await salar(["zones", "update", "c"]);
    assert.deepEqual([nothing.exit, nothing.stderr.includes("give --description")], [EXIT.usage, true]);
    assert.equal((await salar(["zones", "remove", "c", "--why", "over"])).exit, EXIT.ok);
    assert.equal((await salar(["zones", "remove", "c"])).exit, EXIT.notFound);
    assert.equal((await salar(["zones", "remove", "a"])).exit, EXIT.failed);
  });
});

Deno.test("nodes: cordon, uncordon, update, remove", async () => {
  await withCluster(async ({ rig, salar, nodes: { b1 } }) => {
    const node = () => rig.ask(NodeView, "GET", `/v1/nodes/${b1.fp}`);
    assert.match(
      (await salar(["node", "cordon", "b1", "--why", "disks"])).stderr,
      /^Node b1\.example is cordoned\.$/m,
    );
    assert.equal((await node()).reason, "disks");
    assert.match((await salar(["node", "uncordon", "b1"])).stderr, /is accepted/);
    await salar(["node", "update", "b1", "--capacity", "7", "--weight", "0.5"]);
    assert.deepEqual([(await node()).capacity, (await node()).weight, (await node()).zone], [7, 0.5, "b"]);
    assert.equal((await salar(["node", "update", "b1", "--capacity", "many"])).exit, EXIT.usage);
    assert.equal((await salar(["node", "remove", "b1"])).exit, EXIT.failed, "it is accepted");
  });
});

Deno.test("systems: pin and unpin", async () => {
  await withCluster(async ({ rig, salar, nodes, systems: [system] }) => {
    const pin = async () => (await rig.ask(SystemView, "GET", `/v1/systems/${system?.id}`)).pin;
    assert.match((await salar(["system", "pin", "s0", "a2"])).stderr, /is pinned/);
    assert.equal(await pin(), nodes.a2.fp);
    assert.equal((await salar(["system", "unpin", "s0"])).exit, EXIT.ok);
    assert.equal(await pin(), null);
  });
});

Deno.test("tokens are printed once, alone on standard output; they work until they are removed", async () => {
  await withCluster(async ({ salar }) => {
    const { stdout, stderr } = await salar(["token", "add", "ci", "--role", "viewer", "--ttl", "1d"]);
    assert.match(stdout, /^sa1\.\S+\n$/);
    const [, id = ""] = /^Token (\S+) of role viewer/.exec(stderr) ?? [];
    const files = { "/here/viewer": stdout };
    const asViewer = (...args: string[]) => salar([...args, "--token-file", "viewer"], { files });
    assert.equal((await asViewer("nodes", "list")).exit, EXIT.ok);
    const refused = await asViewer("zones", "add", "x");
    assert.equal(refused.exit, EXIT.notAuthorised);
    assert.match(refused.stderr, /has role viewer, this needs admin\nAsk an administrator/);
    assert.match((await salar(["tokens", "list"])).stdout, new RegExp(`^${id} +ci +viewer .* in 23 h$`, "m"));
    assert.equal((await salar(["tokens", "remove", id])).exit, EXIT.ok);
    assert.doesNotMatch((await salar(["tokens", "list"])).stdout, new RegExp(id));

    const join = await salar(["join", "add", "system", "--zone", "a", "--uses", "5"]);
    assert.match(join.stdout, /^sj1\.\S+\n$/);
    assert.equal((await salar(["join", "add", "system"])).exit, EXIT.usage, "--zone is needed");
  });
});

Deno.test("nobody's request is refused with how to give a token", async () => {
  await withCluster(async ({ salar }) => {
    const { exit, stderr } = await salar(["zones", "list"], {
      files: { "/here/x": "no.such.token" },
      env: { SALAR_TOKEN_FILE: "x" },
    });
    assert.equal(exit, EXIT.notAuthorised);
    assert.match(stderr, /salar login/);
  });
});

Deno.test("events: the last ones, of one target, and following without gap or repeat", async () => {
  await withCluster(async ({ rig, salar, nodes }) => {
    const recent = await salar(["events", "--limit", "2"]);
    assert.equal(recent.stdout.split("\n").length, 4);
    const ofNode = await salar(["events", "--target", "node:a1", "--json"]);
    const { items } = JSON.parse(ofNode.stdout);
    assert.ok(
      items.length > 0 && items.every(({ target }: { target: string }) => target === `node:${nodes.a1.fp}`),
    );

    const ending = new AbortController();
    let slept = 0;
    const followed = await salar(["events", "--follow", "--limit", "3", "--json"], {
      signal: ending.signal,
      async sleep() {
        slept++;
        if (slept <= 3) await rig.must("POST", "/v1/zones", { name: `new-${slept}` });
        else ending.abort();
      },
    });
    assert.equal(followed.exit, EXIT.interrupted);
    const lines = followed.stdout.trim().split("\n").map((line) => JSON.parse(line));
    assert.equal(lines.length, 6);
    assert.equal(new Set(lines.map(({ lane, n }) => `${lane} ${n}`)).size, 6);
    assert.deepEqual(lines.slice(3).map(({ target }) => target), ["zone:new-1", "zone:new-2", "zone:new-3"]);
  });
});

Deno.test("events: one that a replica with a slow clock files behind the newest is not missed, and comes once", async () => {
  await withCluster(async ({ rig, salar }) => {
    const { context } = rig;
    const slow = {
      ...context,
      lanes: new Lanes("slow"),
      scope: { ...context.scope, nowMs: () => context.scope.nowMs() - CLOCK_SKEW_MS_MAX },
    };
    const late = (n: number) =>
      change(slow, { who: "test" }, ({ record }) => {
        record({ what: "test.late", target: `test:${n}`, why: "" });
        return Promise.resolve();
      });
    await late(0); // before somebody looks: it is not shown
    for (let n = 0; n < 3; n++) await rig.must("POST", "/v1/zones", { name: `old-${n}` });
    const ending = new AbortController();
    let slept = 0;
    const { exit, stdout } = await salar(["events", "--follow", "--limit", "2", "--json"], {
      signal: ending.signal,
      async sleep() {
        slept++;
        if (slept === 1) await rig.must("POST", "/v1/zones", { name: "new" });
        if (slept === 2) await late(1);
        if (slept > 3 * ADMIN_LOOK_BACK_MS / ADMIN_WATCH_MS) ending.abort();
      },
    });
    assert.equal(exit, EXIT.interrupted);
    assert.deepEqual(stdout.trim().split("\n").map((line) => JSON.parse(line).target), [
      "zone:old-1",
      "zone:old-2",
      "zone:new",
      "test:1",
    ]);
  });
});

Deno.test("config explain tells what is in force and where it came from", async () => {
  await withCluster(async ({ salar }) => {
    const { stdout, exit } = await salar([
      "config",
      "explain",
      "--config",
      "f.json",
      "--",
      "--http-port",
      "9000",
    ], {
      files: { "/here/f.json": '{ "cluster": "c1" }' },
      env: { SALAR_LOG_LEVEL: "warn", SALAR_SERVER: "https://s" },
    });
    assert.equal(exit, EXIT.ok);
    assert.match(stdout, /^httpPort +9000 +flag$/m);
    assert.match(stdout, /^cluster +c1 +file$/m);
    assert.match(stdout, /^logLevel +warn +environment$/m);
    assert.match(stdout, /^dataFolder +\/var\/lib\/salar +default$/m);
    const wrong = await salar(["config", "explain", "--", "--http-prot", "1"]);
    assert.deepEqual([wrong.exit, wrong.stderr.includes("did you mean")], [EXIT.usage, true]);
  });
});
