/** What holds for every route of the director and of client binding, whatever somebody sends. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { z } from "zod";
import { clientBind } from "../../functions/client-bind/client_bind.ts";
import { director } from "../../functions/director/director.ts";
import { pageOf } from "../../functions/director/shapes.ts";
import { NO_COUNTS } from "../../lib/cluster/running.ts";
import { type Answer, type ClusterRig, Minted, problemIn } from "../../lib/cluster/testing.ts";
import { isRaw, type Route } from "../../lib/mesh/route.ts";
import { Begun, Events, Nodes, NodeView, Systems, SystemView, Zone } from "./director_replies.ts";
import { clusterTest, refusal, systemsOn } from "./director_support.ts";

const ROUTES = [...director.routes, ...clientBind.routes].filter((each): each is Route => !isRaw(each));
const OF_PEOPLE = ROUTES.filter(({ role }) => role !== "public" && role !== "system");

/** The path with each parameter replaced. */
function fill({ path }: Route, valueOf: (name: string) => string): string {
  return path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(valueOf(name)));
}

const ABSENT: Record<string, string> = {
  zone: "nowhere",
  fp: "f".repeat(64),
  id: "2147483647",
  plan: "000000000-aaaaaaaa",
  run: "000000000-aaaaaaaa",
};
const absent = (route: Route) =>
  fill(route, (name) => route.path.includes("tokens/") ? "A".repeat(16) : ABSENT[name] ?? "x");

/** A body or query that fits the route, for routes that need one. */
const FITTING: Record<string, unknown> = {
  "zones.add": { name: "fresh" },
  "tokens.add": { name: "robot", role: "viewer" },
  "join.add": { kind: "node", zone: "z" },
  "systems.pin": { node: null },
  "nodes.stage": { host: "fresh.example", zone: "z" },
  "nodes.run": { nanostate: "motd" },
  "runs.progress": { done: 0, total: 0, counts: NO_COUNTS, step: "" },
  "runs.end": { outcome: "done", reason: "", progress: null, result: null },
};
const fitting = (route: Route) => route.body === undefined ? undefined : FITTING[route.name] ?? {};

clusterTest("garbage gets a 4xx that names each wrong field, never a 500", async (rig) => {
  const node = await rig.node("a");
  const [system] = await systemsOn(rig, node, 1);
  assert.ok(system);
  const there: Record<string, string> = { zone: "z", fp: node.fp, id: String(system.id) };
  const junk = fc.oneof(
    fc.string({ unit: "binary", maxLength: 80 }),
    fc.constantFrom("../..", "\0", "-1", "1e99", "NaN", "null", "[]", " ", "%", "a".repeat(300), "٣"),
  );
  const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), junk, fc.double(), fc.integer());
  const objectOf = (schema: unknown) => {
    const names = schema instanceof z.ZodObject ? Object.keys(schema.shape) : [];
    const known = Object.fromEntries(names.map((name) => [name, value]));
    return fc.record({ ...known, other: value }, { requiredKeys: [] });
  };
  const attempt = fc.constantFrom(...ROUTES).chain((route) =>
    fc.record({
      route: fc.constant(route),
      params: fc.array(fc.option(junk, { freq: 2 }), { minLength: 1, maxLength: 1 }),
      query: objectOf(route.query),
      body: fc.oneof({ weight: 4, arbitrary: objectOf(route.body) }, { weight: 1, arbitrary: value }),
      headers: fc.record({
        "if-match": fc.constantFrom('"1"', "1", "*", 'W/"1"', "ü"),
        "idempotency-key": fc.constantFrom("k", "k".repeat(200), " ", "ü"),
      }, { requiredKeys: [] }),
    })
  );
  await fc.assert(
    fc.asyncProperty(attempt, async ({ route, params, query, body, headers }) => {
      const at = fill(route, (name) => params[0] ?? there[name] ?? absent(route));
      const search = new URLSearchParams(
        Object.entries(query).map(([name, each]) => [
          name,
          // Not String(): `{ toString: false }` is garbage, too, and has no text of that kind.
          typeof each === "object" ? JSON.stringify(each) : String(each),
        ]),
      );
      const target = `${at}?${search}`;
      const sent = route.body === undefined ? undefined : body;
      const latin = Object.fromEntries(Object.entries(headers).filter(([, each]) => each !== " "));
      const answer = route.role === "system"
        ? await system.ask(route.method, target, sent)
        : await rig.call(route.method, target, sent, { headers: latin });
      assert.ok(answer.status < 500, `${route.name} answers ${JSON.stringify(answer.body)}`);
      if (answer.status !== 400) return;
      const { code, problems = [] } = problemIn(answer);
      assert.equal(code, "bad-input");
      assert.ok(problems.length > 0, `${route.name}: ${JSON.stringify(answer.body)}`);
      for (const { field, reason } of problems) assert.ok(field !== "" && reason !== "");
    }),
    { numRuns: 1_500 },
  );
});

clusterTest("what does not exist is a 404", async (rig) => {
  const routes = OF_PEOPLE.filter(({ path }) => path.includes("{"));
  assert.ok(routes.length > 15);
  for (const route of routes) {
    const answer = await rig.call(route.method, absent(route), fitting(route));
    assert.deepEqual(refusal(answer), [404, "not-found"], route.name);
  }
  const dry = await rig.call("POST", `/v1/nodes/${ABSENT["fp"]}/drain`, { dryRun: true });
  assert.equal(dry.status, 404);
});

clusterTest("nobody gets 401, and each role what it includes and no more", async (rig) => {
  const order = ["viewer", "operator", "admin"] as const;
  for (const route of OF_PEOPLE) {
    const ask = (as: typeof order[number] | null) =>
      rig.call(route.method, absent(route), fitting(route), { as });
    assert.equal((await ask(null)).status, 401, route.name);
    for (const role of order) {
      const { status } = await ask(role);
      const allowed = order.indexOf(role) >= order.indexOf(route.role as typeof role);
      assert.equal(status === 403, !allowed, `${route.name} by a ${role}: ${status}`);
      assert.notEqual(status, 401);
    }
  }
  for (const route of ROUTES.filter(({ role }) => role === "system")) {
    assert.equal(
      (await rig.call(route.method, route.path, fitting(route))).status,
      403,
      "a person is no agent",
    );
  }
});

clusterTest(
  "zones, nodes, systems, plans and tokens: what was made is shown, listed and counted",
  async (rig) => {
    const zone = await rig.must("POST", "/v1/zones", { name: "y", description: "new" });
    assert.deepEqual(await rig.must("GET", "/v1/zones/y"), zone);
    const changed = await rig.ask(Zone, "PATCH", "/v1/zones/y", { fallback: false });
    assert.deepEqual([changed.description, changed.fallback, changed.revision], ["new", false, 2]);
    const node = await rig.node("a", { zone: "y", capacity: 7 });
    const heavier = await rig.ask(NodeView, "PATCH", `/v1/nodes/${node.fp}`, { weight: 2 });
    assert.deepEqual([heavier.weight, heavier.capacity, heavier.zone], [2, 7, "y"]);
    const [system] = await systemsOn(rig, node, 1, { zone: "y" });
    assert.deepEqual(await rig.must("GET", "/v1/zones/y/stats"), {
      zone: "y",
      nodes: 1,
      nodesByState: { accepted: 1 },
      capacity: 7,
      placed: 1,
    });
    for (const event of ["cordon", "uncordon"]) await rig.must("POST", `/v1/nodes/${node.fp}/${event}`, {});
    const shown = await rig.ask(SystemView, "GET", `/v1/systems/${system?.id}`);
    const found = await rig.ask(Systems, "GET", `/v1/systems?q=S0.EXA&node=${node.fp}&state=bound&zone=y`);
    assert.deepEqual(found.items.map(({ id }) => id), [shown.id]);
    assert.deepEqual((await rig.ask(Systems, "GET", "/v1/systems?q=nothing")).items, []);
    assert.equal((await rig.ask(Nodes, "GET", "/v1/nodes?state=cordoned")).items.length, 0);
    assert.equal((await rig.ask(Nodes, "GET", "/v1/nodes?zone=y&state=accepted")).items[0]?.beat?.systems, 0);

    for (const path of ["/v1/tokens", "/v1/join-tokens"]) {
      const body = path === "/v1/tokens" ? { name: "robot", role: "viewer" } : { kind: "node", zone: "y" };
      const { id, token } = await rig.ask(Minted, "POST", path, body);
      const text = JSON.stringify(await rig.must("GET", path));
      assert.ok(
        text.includes(id) && !text.includes(token.split(".")[2] ?? token) && !text.includes("secretHash"),
      );
      await rig.must("DELETE", `${path}/${id}`);
      assert.equal((await rig.call("DELETE", `${path}/${id}`)).status, 404);
    }
    const events = (await rig.ask(Events, "GET", `/v1/events?target=node:${node.fp}&limit=1000`)).items;
    assert.deepEqual(
      events.map(({ what }) => what).reverse(),
      ["node.pool", "node.accept", "node.update", "node.cordon", "node.uncordon"],
    );
  },
);

clusterTest("a revoked token opens nothing more once it is forgotten", async (rig) => {
  const { id, token } = await rig.ask(Minted, "POST", "/v1/tokens", { name: "robot", role: "viewer" });
  const ask = () =>
    rig.send("GET", "/v1/zones", undefined, new Headers({ authorization: `Bearer ${token}` }));
  assert.equal((await ask()).status, 200);
  await rig.must("DELETE", `/v1/tokens/${id}`);
  rig.later(10_000);
  assert.equal((await ask()).status, 401);
});

clusterTest("of two at once one wins, the other gets 409", async (rig) => {
  const node = await rig.node("a");
  const b = await rig.node("b");
  const [system] = await systemsOn(rig, node, 1);
  const races: [string, string, unknown][] = [
    ["POST", "/v1/zones", { name: "twice" }],
    ["POST", `/v1/systems/${system?.id}/move`, { to: b.fp }],
    ["POST", `/v1/nodes/${node.fp}/cordon`, {}],
    ["POST", `/v1/nodes/${node.fp}/drain`, {}],
  ];
  for (const [method, path, body] of races) {
    const answers = await Promise.all([rig.call(method, path, body), rig.call(method, path, body)]);
    const ends = answers.map(({ status }) => status).sort();
    assert.ok(ends[0] !== undefined && ends[0] < 300 && ends[1] === 409, `${path}: ${ends}`);
  }
});

clusterTest("who saw an older revision gets 412, who saw this one may change and gets 304", async (rig) => {
  const node = await rig.node("a");
  const [system] = await systemsOn(rig, node, 2);
  const b = await rig.node("b");
  const { plan } = await rig.ask(Begun, "POST", `/v1/systems/${system?.id}/move`, { to: b.fp });
  const cases: [string, [string, string, unknown][]][] = [
    ["/v1/zones/z", [["PATCH", "", { description: "x" }], ["DELETE", "", undefined]]],
    [`/v1/nodes/${node.fp}`, [
      ["PATCH", "", { weight: 3 }],
      ["POST", "/cordon", {}],
      ["POST", "/drain", {}],
      ["DELETE", "", undefined],
    ]],
    [`/v1/systems/${system?.id}`, [["PUT", "/pin", { node: node.fp }], ["POST", "/move", {}]]],
    [`/v1/plans/${plan.id}`, [
      ["PUT", "/budget", { perNode: 1, perZone: 1 }],
      ["POST", "/pause", {}],
      ["POST", "/cancel", {}],
    ]],
  ];
  for (const [path, changes] of cases) {
    const shown = await rig.call("GET", path);
    const etag = shown.headers.get("etag") ?? "";
    const again = await rig.call("GET", path, undefined, { headers: { "if-none-match": etag } });
    assert.deepEqual([again.status, again.body], [304, null]);
    for (const [method, action, body] of changes) {
      const stale = await rig.call(method, path + action, body, { headers: { "if-match": '"999"' } });
      assert.deepEqual(refusal(stale), [412, "stale"], `${method} ${path}${action}`);
    }
    const [method, action, body] = changes[0] ?? ["", "", null];
    await rig.must(method, path + action, body, { headers: { "if-match": etag } });
    const after = await rig.call("GET", path, undefined, { headers: { "if-none-match": etag } });
    assert.equal(after.status, 200, "it is another revision now");
  }
});

clusterTest(
  "an Idempotency-Key has one effect and one answer; for another body it is refused",
  async (rig) => {
    const [node, b] = [await rig.node("a"), await rig.node("b")];
    const [system] = await systemsOn(rig, node, 1);
    const changes: [string, string, object | undefined][] = [
      ["POST", "/v1/zones", { name: "once" }],
      ["PATCH", "/v1/zones/once", { description: "x" }],
      ["DELETE", "/v1/zones/once", undefined],
      ["PUT", `/v1/systems/${system?.id}/pin`, { node: b.fp }],
      ["POST", `/v1/systems/${system?.id}/move`, {}],
      ["PATCH", `/v1/nodes/${node.fp}`, { weight: 2 }],
      ["POST", `/v1/nodes/${node.fp}/cordon`, {}],
      ["POST", `/v1/nodes/${node.fp}/drain`, {}],
      ["POST", `/v1/nodes/${node.fp}/undrain`, {}],
    ];
    const audits = async () => (await rig.ask(Events, "GET", "/v1/events?limit=1000")).items.length;
    for (const [index, [method, path, body]] of changes.entries()) {
      const headers = { "idempotency-key": `key-${index}` };
      const before = await audits();
      const first: Answer = await rig.call(method, path, body, { headers });
      assert.ok(first.status < 300, `${path}: ${JSON.stringify(first.body)}`);
      const after = await audits();
      assert.ok(after > before, `${path} is audited`);
      const second = await rig.call(method, path, body, { headers });
      assert.deepEqual([second.status, second.body], [first.status, first.body], path);
      assert.equal(await audits(), after, `${path} has one effect`);
      const other = body === undefined
        ? await rig.call(method, `${path}?why=other`, body, { headers })
        : await rig.call(method, path, { ...body, why: "other" }, { headers });
      assert.deepEqual(refusal(other), [422, "key-reused"], path);
    }
    const headers = { "idempotency-key": "secret" };
    await rig.must("POST", "/v1/tokens", { name: "r", role: "viewer" }, { headers });
    const again = await rig.call("POST", "/v1/tokens", { name: "r", role: "viewer" }, { headers });
    assert.equal(again.status, 409, "a secret is not shown twice");
  },
);

async function walk(rig: ClusterRig, path: string, limit: number): Promise<Record<string, unknown>[]> {
  const seen: Record<string, unknown>[] = [];
  let next: string | null = null;
  for (let page = 0; page < 200; page++) {
    const cursor: string = next === null ? "" : `&cursor=${encodeURIComponent(next)}`;
    const answer = await rig.ask(
      pageOf(z.record(z.string(), z.unknown())),
      "GET",
      `${path}${path.includes("?") ? "&" : "?"}limit=${limit}${cursor}`,
    );
    assert.ok(answer.items.length <= limit);
    seen.push(...answer.items);
    next = answer.next;
    if (next === null) return seen;
  }
  return assert.fail(`${path} comes to an end`);
}

clusterTest("a walk by cursor sees each item once, in the order of one page", async (rig) => {
  for (let at = 0; at < 6; at++) await rig.must("POST", "/v1/zones", { name: `w${at}` });
  const nodes = [];
  for (const name of ["a", "b", "c"]) nodes.push(await rig.node(name));
  const [a] = nodes;
  assert.ok(a);
  await systemsOn(rig, a, 7);
  for (let at = 0; at < 3; at++) {
    await rig.must("POST", "/v1/tokens", { name: `t${at}`, role: "viewer" });
    await rig.must("POST", "/v1/join-tokens", { kind: "node", zone: "z" });
  }
  const { plan } = await rig.ask(Begun, "POST", `/v1/nodes/${a.fp}/drain`, {});
  await rig.tick("advance");
  const lists = [
    "/v1/zones",
    "/v1/nodes",
    "/v1/nodes?zone=z",
    "/v1/systems",
    `/v1/systems?node=${a.fp}`,
    "/v1/systems?q=s",
    "/v1/plans",
    `/v1/plans/${plan.id}/moves`,
    `/v1/plans/${plan.id}/moves?state=preparing`,
    "/v1/tokens",
    "/v1/join-tokens",
    "/v1/events",
  ];
  for (const path of lists) {
    const whole = await walk(rig, path, 1_000);
    assert.ok(whole.length > 0, path);
    for (const limit of [1, 2, whole.length]) assert.deepEqual(await walk(rig, path, limit), whole, path);
  }
});

clusterTest(
  "events can be followed: oldest first, the cursor goes on where the last page ended",
  async (rig) => {
    const first = await rig.ask(Events, "GET", "/v1/events?order=oldest&limit=1000");
    assert.ok(first.items.length > 0 && first.next !== null);
    await rig.must("POST", "/v1/zones", { name: "y" });
    const second = await rig.ask(
      Events,
      "GET",
      `/v1/events?order=oldest&cursor=${encodeURIComponent(first.next)}`,
    );
    assert.deepEqual(second.items.map(({ what }) => what), ["zone.add"]);
    const third = await rig.ask(
      Events,
      "GET",
      `/v1/events?order=oldest&cursor=${encodeURIComponent(second.next ?? "")}`,
    );
    assert.deepEqual([third.items, third.next], [[], second.next]);
    const back = await rig.ask(
      Events,
      "GET",
      `/v1/events?order=oldest&lookBackMs=150000&limit=1000&cursor=${encodeURIComponent(second.next ?? "")}`,
    );
    assert.deepEqual([back.items, back.next], [[...first.items, ...second.items], second.next]);
  },
);

clusterTest("a zone with nodes or systems stays; an emptied one goes", async (rig) => {
  const a = await rig.node("a");
  assert.deepEqual(refusal(await rig.call("DELETE", "/v1/zones/z")), [409, "conflict"]);
  const [system] = await systemsOn(rig, a, 1);
  assert.deepEqual(refusal(await rig.call("DELETE", `/v1/nodes/${a.fp}`)), [409, "conflict"]);
  await rig.must("POST", "/v1/zones", { name: "y" });
  await rig.must("PATCH", `/v1/nodes/${a.fp}`, { zone: "y" });
  const held = await rig.call("DELETE", "/v1/zones/z");
  assert.deepEqual(refusal(held), [409, "conflict"], `system ${system?.id} is in it`);
  await rig.must("POST", "/v1/zones", { name: "x" });
  assert.deepEqual(await rig.must("DELETE", "/v1/zones/x?why=unused"), { removed: "x" });
});
