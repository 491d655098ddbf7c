import assert from "node:assert/strict";
import { z } from "zod";
import { isSalarError, type Problem } from "../errors.ts";
import { done, handler } from "./handler.ts";
import type { Route } from "./route.ts";
import { checkFunctions } from "./check.ts";
import { meshFunction, testRig } from "./testing.ts";

const good: Route = {
  name: "things.list",
  method: "GET",
  path: "/v1/things/{thing}",
  role: "viewer",
  summary: "For a test",
  reply: z.object({}),
  run: () => Promise.resolve(done({})),
};

function problemsOf(...functions: Parameters<typeof checkFunctions>): string[] {
  try {
    checkFunctions(...functions);
    return [];
  } catch (error) {
    assert.ok(isSalarError(error, "bad-config"));
    return (error.detail["problems"] as Problem[]).map(({ field, reason }) => `${field}: ${reason}`);
  }
}

/** As a caller without types could make it: no role. */
function withoutRole(name: string): Route {
  const { role: _, ...rest } = { ...good, name, path: `/v1/${name}` };
  return rest as Route;
}

Deno.test("checkFunctions() accepts a sound set", () => {
  assert.deepEqual(problemsOf([meshFunction({ routes: [good] })]), []);
});

Deno.test("checkFunctions() lists every route without a role, and the host does not start", async () => {
  const functions = [meshFunction({ routes: [withoutRole("a"), good, withoutRole("b")] })];
  assert.deepEqual(problemsOf(functions).map((line) => line.split(";")[0]), [
    "test route a: names no role",
    "test route b: names no role",
  ]);
  const rig = testRig();
  await assert.rejects(rig.start(functions), (error) => isSalarError(error, "bad-config"));
  await rig.end();
});

Deno.test("checkFunctions() lists everything that is there twice, and what cannot work", () => {
  const same = { ...good, path: "/v1/things/{other}" };
  const say = handler({ name: "say", subject: "a b", input: z.string(), run: () => Promise.resolve(done()) });
  const read = { ...say, name: "read", subject: "a.*", stream: "NONE" };
  const tick = { name: "t", everyMs: 0, run: () => Promise.resolve(done()) };
  const found = problemsOf([
    meshFunction({ routes: [good, same, { ...good, name: "x", path: "v1" }] }),
    meshFunction({ handlers: [say, say, read], ticks: [tick] }),
  ]);
  for (
    const part of [
      'x: "v1" is no path',
      "handler say: start: pattern",
      "consumes stream NONE",
      "tick t: runs every 0 ms",
      "function test: is there more than once",
      "route things.list: is there more than once",
      "path GET /v1/things/{}: is there more than once",
      "handler test-say: is there more than once",
    ]
  ) {
    assert.ok(found.some((line) => line.includes(part)), `${part} in ${found.join("\n")}`);
  }
});
