import assert from "node:assert/strict";
import { z } from "zod";
import { ERROR_CODES, type ErrorCode, SalarError } from "../errors.ts";
import { HANDLER_MS_MAX, HTTP_BODY_BYTES_MAX } from "../limits.ts";
import { proveRequest } from "../secure/proof.ts";
import { again, done, type Outcome, type Role } from "./handler.ts";
import type { Host } from "./host.ts";
import { type RawRoute, type Route, route, tagged } from "./route.ts";
import { clusterKey, meshFunction, nodeKey, type Rig, strangerKey, systemKey, testRig } from "./testing.ts";
import { TestingClock } from "./testing_clock.ts";

const Text = z.object({ text: z.string() });

function simple(name: string, role: Role, more: Partial<Route> = {}): Route {
  return {
    name,
    method: "GET",
    path: `/v1/${name}`,
    role,
    summary: "For a test",
    reply: Text,
    run: (_context, { principal }) => Promise.resolve(done({ text: principal.id })),
    ...more,
  };
}

async function withHost(
  routes: (Route | RawRoute)[],
  test: (ask: Ask, rig: Rig) => Promise<void>,
): Promise<void> {
  const rig = testRig();
  try {
    const host = await rig.start([meshFunction({ routes })]);
    await test((path, init) => askHost(host, path, init), rig);
  } finally {
    await rig.end();
  }
}

interface Init {
  method?: string;
  as?: string;
  headers?: Record<string, string>;
  json?: unknown;
  body?: BodyInit;
}
type Ask = (path: string, init?: Init) => Promise<Response>;

function askHost(
  host: Host,
  path: string,
  { method = "GET", as, headers = {}, json, body }: Init = {},
): Promise<Response> {
  return host.fetch(
    new Request(`http://test${path}`, {
      method,
      headers: {
        ...(as === undefined ? {} : { authorization: `Bearer ${as}` }),
        ...(json === undefined ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      ...(body === undefined ? {} : { body }),
    }),
  );
}

async function codeOf(response: Response): Promise<string> {
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  const problem = await response.json();
  assert.equal(problem.type, `urn:salar:error:${problem.code}`);
  assert.equal(problem.status, response.status);
  assert.equal(problem.instance, response.headers.get("x-request-id"));
  return problem.code;
}

async function fieldsOf(response: Response): Promise<string[]> {
  assert.equal(response.status, 400);
  const { problems } = await response.json();
  return problems.map(({ field, reason }: { field: string; reason: string }) => {
    assert.ok(reason.length > 0);
    return field;
  });
}

const ROLES: Role[] = ["viewer", "operator", "admin", "node", "system"];

Deno.test("every route but a public one refuses strangers, and those whose credential does not hold", async () => {
  const raw: RawRoute = {
    name: "raw",
    method: "POST",
    path: "/raw/*",
    role: "operator",
    summary: "For a test",
    handle: () => Promise.resolve(new Response("in")),
  };
  await withHost([...ROLES.map((role) => simple(role, role)), simple("open", "public"), raw], async (ask) => {
    for (const path of [...ROLES.map((role) => `/v1/${role}`), "/metrics"]) {
      for (
        const authorization of [undefined, "Bearer nobody", "Bearer ", "Basic YTpi", "Salar-Proof a,b,c,d"]
      ) {
        const answer = await ask(path, { headers: authorization === undefined ? {} : { authorization } });
        assert.equal(answer.status, 401, `${path} with ${authorization}`);
        assert.equal(answer.headers.get("www-authenticate"), "Bearer, Salar-Proof");
        assert.equal(await codeOf(answer), "unauthenticated");
      }
    }
    assert.equal((await ask("/raw/x", { method: "POST", body: "b" })).status, 401);
    assert.equal(await (await ask("/raw/x", { method: "POST", body: "b", as: "admin" })).text(), "in");
    assert.deepEqual(await (await ask("/v1/open")).json(), { text: "public" });
  });
});

Deno.test("viewer < operator < admin, and agents are what they are", async () => {
  await withHost(ROLES.map((role) => simple(role, role)), async (ask) => {
    const allowed = async (as: string) => {
      const answers = await Promise.all(ROLES.map((role) => ask(`/v1/${role}`, { as })));
      return ROLES.filter((_role, at) => answers[at]?.status === 200);
    };
    assert.deepEqual(await allowed("viewer"), ["viewer"]);
    assert.deepEqual(await allowed("operator"), ["viewer", "operator"]);
    assert.deepEqual(await allowed("admin"), ["viewer", "operator", "admin"]);
    assert.equal(await codeOf(await ask("/v1/node", { as: "admin" })), "forbidden");
  });
});

Deno.test("an agent proves each request: once, over this very body and path, with a key that we know", async () => {
  const post = simple("said", "system", { method: "POST", body: Text });
  await withHost([post, simple("node", "node")], async (ask, { scope }) => {
    const body = JSON.stringify({ text: "hello" });
    const prove = (signer = systemKey, target = "/v1/said") =>
      proveRequest({ method: "POST", target, body: new TextEncoder().encode(body) }, signer, {
        nowMs: scope.nowMs(),
        nonce: scope.random.bytes(16),
      });
    const send = (authorization: string, text = body) =>
      ask("/v1/said", {
        method: "POST",
        headers: { authorization, "content-type": "application/json" },
        body: text,
      });
    const proof = prove();
    assert.deepEqual(await (await send(proof)).json(), { text: `system:${systemKey.fp}` });
    assert.equal((await send(proof)).status, 401, "used before");
    assert.equal((await send(prove(), body + " ")).status, 401, "another body");
    assert.equal((await send(prove(systemKey, "/v1/other"))).status, 401, "another path");
    assert.equal((await send(prove(strangerKey))).status, 401, "a stranger");
    assert.equal((await send(prove(nodeKey))).status, 403, "another role");
  });
});

const outcomes: Record<string, () => Promise<Outcome<{ text: string }>>> = {
  done: () => Promise.resolve(done({ text: "fine" })),
  again: () => Promise.resolve(again({ afterMs: 2_500 })),
  bug: () => Promise.reject(new TypeError("secret detail")),
};

Deno.test("each row of the outcome table becomes its status", async () => {
  const routes = Object.entries(outcomes).map(([name, run]) => simple(name, "viewer", { run }));
  for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
    const run = () =>
      Promise.reject(new SalarError(code, `Cannot do it: ${code}`, { detail: { zone: "a" } }));
    routes.push(simple(code, "viewer", { run }));
  }
  await withHost(routes, async (ask, { lines }) => {
    const get = (name: string) => ask(`/v1/${name}`, { as: "viewer" });
    assert.equal((await get("done")).status, 200);

    const later = await get("again");
    assert.deepEqual([later.status, later.headers.get("retry-after")], [503, "3"]);

    const bare = await get("bug");
    assert.equal(bare.status, 500);
    const text = await bare.text();
    assert.ok(!text.includes("secret detail") && text.includes('"code":"internal"'), text);
    const crash = lines.find(({ message }) => message === "request crashed");
    assert.match(JSON.stringify(crash), /"level":"error".*"stack".*host_http_test/);

    for (const [code, { status, retry }] of Object.entries(ERROR_CODES)) {
      const answer = await get(code);
      const problem = await answer.json();
      if (code === "closed") {
        assert.equal(problem.code, "unavailable"); // the replica is ending
        continue;
      }
      assert.deepEqual([answer.status, problem.code], [status, code]);
      assert.equal(answer.headers.has("retry-after"), retry);
      if (status === 500) assert.equal(problem.facts, undefined);
      else assert.deepEqual([problem.detail, problem.facts], [`Cannot do it: ${code}`, { zone: "a" }]);
    }
  });
});

const zoneRoute = route({
  name: "zones.add",
  method: "POST",
  path: "/v1/zones/{zone}",
  role: "operator",
  summary: "For a test",
  params: z.object({ zone: z.string().regex(/^[a-z]+$/, "lower-case letters") }),
  query: z.object({ limit: z.coerce.number().int().max(10).default(5) }),
  body: z.object({ name: z.string().min(1), size: z.int().min(1), tags: z.array(z.string()).default([]) }),
  reply: z.object({ zone: z.string(), limit: z.int(), size: z.int(), match: z.string().nullable() }),
  status: 201,
  run: (_context, { params, query, body, ifMatch }) =>
    Promise.resolve(done({ ...params, ...query, size: body.size, match: ifMatch, hidden: "secretHash" })),
});

Deno.test("wrong input gives 400 with every field and its reason", async () => {
  await withHost([zoneRoute], async (ask) => {
    const post = (path: string, init: Init = {}) => ask(path, { method: "POST", as: "operator", ...init });
    const good = await post("/v1/zones/a?limit=7", {
      json: { name: "n", size: 1 },
      headers: { "if-match": '"7"' },
    });
    assert.equal(good.status, 201);
    assert.deepEqual(
      await good.json(),
      { zone: "a", limit: 7, size: 1, match: "7" },
      "nothing unnamed leaves",
    );

    const fields = await fieldsOf(
      await post("/v1/zones/A?limit=99&limti=1", {
        json: { name: "", size: "x", tags: [1] },
        headers: { "if-match": "W/7", "idempotency-key": "with space" },
      }),
    );
    assert.deepEqual(fields, [
      "path.zone",
      "query.limit",
      "query.limti",
      "body.name",
      "body.size",
      "body.tags.0",
      "header.if-match",
      "header.idempotency-key",
    ]);
    assert.deepEqual(await fieldsOf(await post("/v1/zones/a")), ["body.name", "body.size"]);
    assert.deepEqual(
      await fieldsOf(await post("/v1/zones/a?limit=1&limit=2", { json: { name: "n", size: 1 } })),
      [
        "query.limit",
      ],
    );
    const json = { "content-type": "application/json" };
    for (const body of ["{", "nope", '{"name":', "\ufeff{", "[".repeat(500_000)]) {
      assert.deepEqual(await fieldsOf(await post("/v1/zones/a", { body, headers: json })), ["body"]);
    }
    const badUtf8 = new Uint8Array([0x22, 0xff, 0x22]);
    assert.deepEqual(await fieldsOf(await post("/v1/zones/a", { body: badUtf8, headers: json })), ["body"]);
    const form = { body: "name=n", headers: { "content-type": "application/x-www-form-urlencoded" } };
    assert.deepEqual(await fieldsOf(await post("/v1/zones/a", form)), ["header.content-type"]);
    assert.equal((await post("/v1/zones/%E0%A4%A", { json: { name: "n", size: 1 } })).status, 400);
  });
});

Deno.test("a body of one byte over the limit is 413, with and without its length told", async () => {
  await withHost([zoneRoute], async (ask) => {
    const exact = JSON.stringify({ name: "n", size: 1, tags: [""] });
    const full = exact.replace('""', `"${"x".repeat(HTTP_BODY_BYTES_MAX - exact.length)}"`);
    const send = (body: BodyInit) =>
      ask("/v1/zones/a", {
        method: "POST",
        as: "operator",
        body,
        headers: { "content-type": "application/json" },
      });
    assert.equal(full.length, HTTP_BODY_BYTES_MAX);
    assert.equal((await send(full)).status, 201);
    assert.equal(await codeOf(await send(full + " ")), "too-large");
    assert.equal((await send(new Blob([full, " "]).stream())).status, 413);
  });
});

Deno.test("a body that trickles in is answered with 504 after HANDLER_MS_MAX, and not read on", async () => {
  const clock = new TestingClock();
  const scope = clock.scope({ name: "test" });
  const rig = testRig(scope);
  const host = await rig.start([meshFunction({ routes: [zoneRoute] })]);
  let cancelled = false;
  const body = new ReadableStream({
    async pull(controller) {
      await scope.sleep(1_000);
      controller.enqueue(new Uint8Array([0x20]));
    },
    cancel: () => void (cancelled = true),
  });
  const answering = askHost(host, "/v1/zones/a", { method: "POST", as: "operator", body });
  await clock.advance(HANDLER_MS_MAX - 2_000);
  assert.equal(await Promise.race([answering, Promise.resolve("not yet")]), "not yet");
  await clock.advance(3_000);
  assert.equal(await codeOf(await answering), "deadline");
  await clock.advance(2_000);
  assert.ok(cancelled);
  const ending = rig.end();
  await clock.advance(1_000);
  await ending;
});

Deno.test("unknown paths are 404, wrong methods 405 with what is allowed, HEAD answers without a body", async () => {
  await withHost([zoneRoute, simple("list", "viewer"), simple("open", "public")], async (ask) => {
    assert.equal(await codeOf(await ask("/v1/nothing", { as: "admin" })), "not-found");
    const wrong = await ask("/v1/zones/a", { method: "DELETE" });
    assert.deepEqual([wrong.status, wrong.headers.get("allow")], [405, "POST"]);
    assert.equal((await ask("/v1/list", { method: "POST" })).headers.get("allow"), "GET, HEAD");
    const head = await ask("/v1/open", { method: "HEAD" });
    assert.deepEqual([head.status, await head.text()], [200, ""]);
  });
});

Deno.test("an ETag that the caller has saves the body", async () => {
  const run = () => Promise.resolve(done(tagged({ text: "x" }, "v7")));
  await withHost([simple("thing", "viewer", { run })], async (ask) => {
    const get = (match: string) => ask("/v1/thing", { as: "viewer", headers: { "if-none-match": match } });
    for (const match of ['"v7"', 'W/"v7"', '"v6", "v7"', "*"]) {
      const answer = await get(match);
      assert.deepEqual([answer.status, answer.headers.get("etag"), await answer.text()], [304, '"v7"', ""]);
    }
    assert.equal((await get('"v6"')).status, 200);
  });
});

/** Counts its effects in the store, under the token that it is given. */
function counting(more: Partial<Route> = {}): Route {
  return simple("count", "operator", {
    method: "POST",
    body: z.object({ by: z.int() }),
    async run({ store, scope }, { token }) {
      const count = await store.write(scope, async (tx) => {
        const before = Number(new TextDecoder().decode(await tx.get("count") ?? new Uint8Array()));
        tx.put("count", new TextEncoder().encode(String(before + 1)));
        return before + 1;
      }, token === undefined ? {} : { token });
      return done({ text: String(count) });
    },
    ...more,
  });
}

const once = (key: string, by = 1, as = "operator") => ({
  method: "POST",
  as,
  json: { by },
  headers: { "idempotency-key": key },
});

Deno.test("the same Idempotency-Key in parallel and later has one effect and one answer", async () => {
  await withHost([counting()], async (ask, rig) => {
    const other = await rig.start([meshFunction({ name: "replica", routes: [counting({ name: "again" })] })]);
    const asked = Array.from({ length: 20 }, (_, at) => {
      return at % 2 === 0 ? ask("/v1/count", once("k")) : askHost(other, "/v1/count", once("k"));
    });
    for (const answer of [...await Promise.all(asked), await ask("/v1/count", once("k"))]) {
      assert.deepEqual([answer.status, await answer.json()], [200, { text: "1" }]);
    }
    assert.deepEqual(await (await ask("/v1/count", once("k2"))).json(), { text: "2" });
    assert.deepEqual(
      await (await ask("/v1/count", once("k", 1, "admin"))).json(),
      { text: "3" },
      "another's key",
    );
  });
});

Deno.test("an Idempotency-Key with another body is 422, and a refusal is judged anew", async () => {
  let refuse = true;
  const inner = counting();
  const moody = counting({
    run: (context, input) =>
      refuse ? Promise.reject(new SalarError("conflict", "Cannot: not yet")) : inner.run(context, input),
  });
  await withHost([moody], async (ask) => {
    assert.equal((await ask("/v1/count", once("k"))).status, 409);
    assert.equal(await codeOf(await ask("/v1/count", once("k", 2))), "key-reused");
    refuse = false;
    assert.deepEqual(await (await ask("/v1/count", once("k"))).json(), { text: "1" });
  });
});

Deno.test("a secret reply is never kept: a repeat is a conflict, and the store has no trace of it", async () => {
  const run = () => Promise.resolve(done({ text: "planted-secret" }));
  await withHost([counting({ secretReply: true, run })], async (ask, { store, scope }) => {
    assert.equal((await ask("/v1/count", once("k"))).status, 200);
    assert.equal(await codeOf(await ask("/v1/count", once("k"))), "conflict");
    const kept = await store.read(scope, (tx) => tx.scan({ from: "", to: "\uffff" }, { limit: 100 }));
    assert.ok(kept.length > 0);
    assert.ok(!kept.some(({ value }) => new TextDecoder().decode(value).includes("planted-secret")));
  });
});

Deno.test("the host's own routes: alive, ready, metrics, OpenAPI, 404 without documentation", async () => {
  await withHost([zoneRoute, simple("list", "viewer")], async (ask) => {
    assert.deepEqual(await (await ask("/healthz")).json(), { alive: true });
    assert.deepEqual(await (await ask("/readyz")).json(), { ready: true, reasons: [] });
    await ask("/v1/list", { as: "viewer" });
    const metrics = await (await ask("/metrics", { as: "viewer" })).text();
    assert.match(metrics, /salar_work_total\{function="test",kind="request",work="list",outcome="done"\} 1/);
    assert.match(metrics, /salar_work_seconds_bucket\{le="0.001",/);
    const api = await (await ask("/openapi.json")).json();
    assert.equal(api.paths["/v1/zones/{zone}"].post["x-salar-role"], "operator");
    assert.equal((await ask("/docs")).status, 404);
  });
});

Deno.test("a log line says who asked for what and never holds the credential", async () => {
  await withHost([counting()], async (ask, { lines }) => {
    const answer = await ask("/v1/count", once("k"));
    const line = lines.find(({ message }) => message === "request done");
    assert.equal(line?.["by"], "token:operator");
    assert.equal(line?.["request"], answer.headers.get("x-request-id"));
    assert.ok(!JSON.stringify(lines).includes(clusterKey.privateKey.toString()));
    assert.ok(!JSON.stringify(lines).includes("Bearer"));
  });
});
