import assert from "node:assert/strict";
import { ADMIN_ATTEMPTS_MAX } from "../lib/limits.ts";
import { EXIT } from "./exit.ts";
import { problem, run } from "./testing.ts";

const ADD = ["zones", "add", "berlin"];
const ZONE = { v: 1, name: "berlin", description: "", fallback: true, createdAtMs: 0, revision: 1 };

/** Answers in turn; the last one again and again. */
function answering(...answers: (() => Response)[]) {
  const keys: (string | null)[] = [];
  const fetch = (request: Request) => {
    keys.push(request.headers.get("idempotency-key"));
    const answer = answers[Math.min(keys.length, answers.length) - 1];
    return answer === undefined ? Promise.reject(new Error("no answer")) : Promise.resolve(answer());
  };
  return { fetch, keys };
}
const away = () => problem("unavailable", 503, "Cannot serve now: store", { retryAfterMs: 50 });
const added = () => Response.json(ZONE, { status: 201 });

Deno.test("a change is repeated while the server is away, each time under the same Idempotency-Key", async () => {
  const { fetch, keys } = answering(away, away, added);
  const { exit } = await run(ADD, { fetch });
  assert.equal(exit, EXIT.ok);
  assert.equal(keys.length, 3);
  assert.match(keys[0] ?? "", /^[a-z2-7]{26}$/);
  assert.equal(new Set(keys).size, 1);

  const another = answering(added);
  await run(ADD, { fetch: another.fetch });
  assert.notEqual(another.keys[0], keys[0], "another invocation is another change");
});

Deno.test("tries have an end, and a read has no key", async () => {
  const { fetch, keys } = answering(away);
  const { exit, stderr } = await run(["zones", "list"], { fetch });
  assert.equal(exit, EXIT.unreachable);
  assert.deepEqual(keys, Array(ADMIN_ATTEMPTS_MAX).fill(null));
  assert.match(stderr, /Cannot serve now: store\n.*readyz/);
});

Deno.test("what a repeat cannot help is not repeated, and has its exit code", async () => {
  const cases: [() => Response, number][] = [
    [() => problem("bad-input", 400, "no"), EXIT.usage],
    [() => problem("unauthenticated", 401, "no"), EXIT.notAuthorised],
    [() => problem("forbidden", 403, "no"), EXIT.notAuthorised],
    [() => problem("not-found", 404, "no"), EXIT.notFound],
    [() => problem("conflict", 409, "no"), EXIT.failed],
    [() => problem("internal", 500, "no", { instance: "r1" }), EXIT.failed],
    [() => new Response("<html>", { status: 404 }), EXIT.failed],
    [() => new Response(null, { status: 302, headers: { location: "https://elsewhere/" } }), EXIT.failed],
    [() => new Response("not json"), EXIT.failed],
  ];
  for (const [answer, expected] of cases) {
    const { fetch, keys } = answering(answer);
    const { exit, stdout, stderr } = await run(ADD, { fetch });
    assert.deepEqual([exit, keys.length, stdout], [expected, 1, ""], stderr);
    assert.match(stderr, /^salar: /);
  }
});

Deno.test("an error tells each wrong field and what to do next", async () => {
  const problems = [{ field: "body.name", reason: "a label" }, { field: "body.x", reason: "is not known" }];
  const fetch = () =>
    Promise.resolve(problem("bad-input", 400, "Cannot accept it: body.name: a label", { problems }));
  const { stderr } = await run(ADD, { fetch });
  assert.equal(stderr, "salar: Cannot accept it: body.name: a label\n  body.x: is not known\n");
  const gone = await run(ADD, {
    fetch: () => Promise.resolve(problem("internal", 500, "bug", { instance: "r1" })),
  });
  assert.match(gone.stderr, /server's log has it as request r1/);
});

Deno.test("what a server sends cannot steer the terminal, in errors neither", async () => {
  const fetch = () => Promise.resolve(problem("conflict", 409, "Cannot: \x1b[2Jx"));
  assert.match((await run(ADD, { fetch })).stderr, /^salar: Cannot: \?\[2Jx\n/);
});

Deno.test("a list is read page after page, and no further than --limit", async () => {
  const asked: string[] = [];
  const fetch = (request: Request) => {
    const { searchParams } = new URL(request.url);
    asked.push(searchParams.toString());
    const from = Number(searchParams.get("cursor") ?? 0);
    // As the director: a page may be smaller than asked.
    const to = Math.min(from + Number(searchParams.get("limit")), from + 2, 5);
    const items = Array.from({ length: to - from }, (_, at) => ({ ...ZONE, name: `z${from + at}` }));
    return Promise.resolve(Response.json({ items, next: to < 5 ? String(to) : null }));
  };
  const all = await run(["zones", "list", "--json"], { fetch });
  const { items, next } = JSON.parse(all.stdout);
  assert.deepEqual(items.map(({ name }: { name: string }) => name), ["z0", "z1", "z2", "z3", "z4"]);
  assert.equal(next, null);
  assert.deepEqual(asked.splice(0), ["limit=1000", "limit=1000&cursor=2", "limit=1000&cursor=4"]);

  const some = await run(["zones", "list", "--json", "--limit", "3"], { fetch });
  assert.equal(JSON.parse(some.stdout).items.length, 3);
  assert.equal(JSON.parse(some.stdout).next, "3");
  assert.deepEqual(asked, ["limit=3", "limit=1&cursor=2"]);
  assert.equal((await run(["zones", "list", "--limit", "0"], { fetch })).exit, EXIT.usage);
});

Deno.test("an empty list is an empty table, and valid JSON", async () => {
  const fetch = () => Promise.resolve(Response.json({ items: [], next: null }));
  assert.equal((await run(["zones", "list"], { fetch })).stdout, "ZONE  FALLBACK  ADDED  DESCRIPTION\n");
  assert.deepEqual(JSON.parse((await run(["zones", "list", "--json"], { fetch })).stdout), {
    items: [],
    next: null,
  });
});

Deno.test("pages without items are no end and no comma; a refused list prints nothing", async () => {
  const pages = [{ items: [], next: "1" }, { items: [ZONE], next: "2" }, { items: [], next: "3" }, {
    items: [ZONE],
    next: null,
  }];
  const fetch = (request: Request) =>
    Promise.resolve(Response.json(pages[Number(new URL(request.url).searchParams.get("cursor") ?? 0)]));
  const { stdout } = await run(["zones", "list", "--json"], { fetch });
  assert.deepEqual(JSON.parse(stdout), { items: [ZONE, ZONE], next: null });
  const refused = await run(["zones", "list", "--json"], {
    fetch: () => Promise.resolve(problem("forbidden", 403, "no")),
  });
  assert.equal(refused.stdout, "");
});

Deno.test("a value cannot make another path of a request", async () => {
  const paths: string[] = [];
  const fetch = (request: Request) => {
    paths.push(new URL(request.url).pathname);
    return Promise.resolve(Response.json(ZONE));
  };
  assert.equal((await run(["zones", "show", ".."], { fetch })).exit, EXIT.usage);
  await run(["zones", "show", "a/../../nodes?x"], { fetch });
  assert.deepEqual(paths, ["/v1/zones/a%2F..%2F..%2Fnodes%3Fx"]);
});
