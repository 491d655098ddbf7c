import assert from "node:assert/strict";
import { z } from "zod";
import { EXIT } from "./exit.ts";
import { withCluster } from "./testing_cluster.ts";

Deno.test("salar call puts members of the argument where the method has them", async () => {
  await withCluster(async ({ rig, salar, nodes: { a1 } }) => {
    const call = async (method: string, arg: unknown) => {
      const { stdout, stderr, exit } = await salar(["call", method], { stdin: JSON.stringify(arg) });
      assert.equal(exit, EXIT.ok, stderr);
      return JSON.parse(stdout);
    };
    assert.equal((await call("zones.add", { name: "c", fallback: false })).fallback, false);
    assert.equal((await call("nodes.update", { fp: a1.fp, capacity: 9 })).capacity, 9);
    assert.equal((await call("nodes.list", { zone: "b" })).items.length, 1);
    assert.deepEqual(await call("zones.remove", { zone: "c", why: "x" }), { removed: "c" });
    assert.equal((await rig.call("GET", "/v1/zones/c")).status, 404);
  });
});

Deno.test("salar call takes the form of the first admin tool: urn, method, arg", async () => {
  await withCluster(async ({ salar, nodes: { a1 } }) => {
    const call = (value: unknown) => salar(["call"], { stdin: JSON.stringify(value) });
    const items = async (value: unknown) => JSON.parse((await call(value)).stdout).items.length;
    assert.equal(await items({ urn: "/v1/nodes", method: "GET", arg: { limit: 2 } }), 2);
    assert.equal(await items({ urn: "nodes.list", arg: { zone: "a" } }), 2);
    const cordoned = await call({ urn: `/v1/nodes/${a1.fp}/cordon`, method: "POST", arg: { why: "disks" } });
    assert.equal(JSON.parse(cordoned.stdout).reason, "disks");
    const alive = await call({ urn: "/healthz", method: "get" });
    assert.deepEqual(JSON.parse(alive.stdout), { alive: true }, "a path that OpenAPI does not tell");
  });
});

Deno.test("salar call refuses what it cannot understand", async () => {
  await withCluster(async ({ salar }) => {
    const cases: [string[], string, RegExp][] = [
      [[], "", /name a method, or give urn/],
      [[], '{"urn": 1}', /it takes/],
      [[], '{"urn": "/v1/zones", "verb": "GET"}', /"verb" is not known/],
      [[], '{"urn": "/v1/zones", "method": "LOOK"}', /say one of GET/],
      [["zones.add"], "[1]", /no JSON object/],
      [["zones.add"], "{", /it is no JSON/],
    ];
    for (const [args, stdin, pattern] of cases) {
      const { exit, stderr } = await salar(["call", ...args], { stdin });
      assert.equal(exit, EXIT.usage, stderr);
      assert.match(stderr, pattern);
    }
    const unknown = await salar(["call", "zones.paint"]);
    assert.equal(unknown.exit, EXIT.notFound);
    assert.match(unknown.stderr, /There is zones\.add, zones\.list/);
    const wrong = await salar(["call", "nodes.list"], { stdin: '{"limti": 3}' });
    assert.match(wrong.stderr, /query\.limti: is not known here/);
  });
});

Deno.test("a template has the defaults, and says of each field what it is", async () => {
  await withCluster(async ({ salar }) => {
    assert.equal(
      (await salar(["template", "zones.add"])).stdout,
      `// zones.add: Add a zone
// POST /v1/zones, role admin
{
  "name": "", // needed: string, like ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$
  "description": "", // string, 500 characters at most (default "")
  "fallback": true, // boolean; Placement may use other zones when this one has no room (default true)
}
`,
    );
    const { stdout } = await salar(["template", "nodes.update"]);
    assert.match(
      stdout,
      /^ {2}\/\/ "capacity": 0, \/\/ integer, 0 or more, at most 1000000$/m,
      "left out unless wanted",
    );
    assert.match((await salar(["template", "tokens.add"])).stdout, /needed: one of viewer, operator, admin/);
    assert.deepEqual(
      JSON.parse((await salar(["template", "nodes.drain", "--no-comments"])).stdout),
      { fp: "", dryRun: false, budget: { perNode: 20, perZone: 100 }, deadlineAtMs: null, why: "" },
    );
  });
});

Deno.test("a template, filled in, is what salar call takes", async () => {
  await withCluster(async ({ salar }) => {
    const { stdout } = await salar(["template", "zones.add"]);
    const added = await salar(["call", "zones.add"], { stdin: stdout.replace('"name": ""', '"name": "c"') });
    assert.equal(JSON.parse(added.stdout).name, "c");
  });
});

Deno.test("salar call --list and templates reach every method of the server", async () => {
  await withCluster(async ({ rig, salar }) => {
    const { paths } = await rig.ask(
      z.object({ paths: z.record(z.string(), z.record(z.string(), z.object({ operationId: z.string() }))) }),
      "GET",
      "/openapi.json",
    );
    const expected = Object.values(paths)
      .flatMap((path) => Object.values(path).map(({ operationId }) => operationId)).toSorted();
    const { stdout } = await salar(["call", "--list"]);
    assert.deepEqual(stdout.split("\n").slice(1, -1).map((line) => line.split(" ")[0]), expected);
    for (const name of expected) {
      const { exit, stdout } = await salar(["template", name, "--no-comments"]);
      assert.equal(exit, EXIT.ok, name);
      JSON.parse(stdout);
    }
  });
});
