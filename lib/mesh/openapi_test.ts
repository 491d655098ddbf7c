import assert from "node:assert/strict";
import { z } from "zod";
import { done } from "./handler.ts";
import { exampleOf, openApi } from "./openapi.ts";
import { realDocs } from "./real_docs.ts";
import { route } from "./route.ts";
import { meshFunction, testRig } from "./testing.ts";

const add = route({
  name: "zones.add",
  method: "POST",
  path: "/v1/zones/{zone}",
  role: "operator",
  summary: "Add a zone",
  params: z.object({ zone: z.string() }),
  query: z.object({ dry: z.stringbool().default(false) }),
  body: z.object({
    name: z.string().min(1).describe("For people"),
    size: z.int().min(3),
    mode: z.enum(["soft", "hard"]).default("hard"),
    tags: z.array(z.string()),
    url: z.url().nullable(),
  }),
  reply: z.object({ zone: z.string() }),
  status: 201,
  run: (_context, { params }) => Promise.resolve(done(params)),
});

const document = openApi([meshFunction({ routes: [add] })], { title: "Test", version: "1" });

Deno.test("openApi() says what the schemas check: parameters, body, reply, role, problem", () => {
  const operation = (document["paths"] as Record<string, Record<string, unknown>>)["/v1/zones/{zone}"]
    ?.["post"];
  const { operationId, parameters, requestBody, responses, security, ...rest } = z.record(z.string(), z.any())
    .parse(
      operation,
    );
  assert.equal(operationId, "zones.add");
  assert.equal(rest["x-salar-role"], "operator");
  assert.deepEqual(security, [{ token: [] }]);
  assert.deepEqual(
    parameters.map(({ name, in: where, required }: Record<string, unknown>) => [name, where, required]),
    [["zone", "path", true], ["dry", "query", false], ["Idempotency-Key", "header", false], [
      "If-Match",
      "header",
      false,
    ]],
  );
  const { schema, example } = requestBody.content["application/json"];
  assert.deepEqual(schema.required, ["name", "size", "tags", "url"]);
  assert.equal(schema.properties.name.description, "For people");
  assert.ok(add.body?.safeParse(example).success, "the example is one that the route takes");
  assert.deepEqual(Object.keys(responses), ["201", "default"]);
});

Deno.test("openApi() keeps its references whole", () => {
  const text = JSON.stringify(document);
  const names = Object.keys((document["components"] as { schemas: object }).schemas);
  for (const [, name = ""] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
    assert.ok(names.includes(name));
  }
  assert.equal(document["openapi"], "3.1.0");
});

Deno.test("exampleOf() takes given examples and defaults before it makes one up", () => {
  const schema = (value: z.ZodType) => z.toJSONSchema(value, { io: "input" });
  assert.equal(exampleOf(schema(z.string().meta({ examples: ["berlin"] }))), "berlin");
  assert.equal(exampleOf(schema(z.int().default(7))), 7);
  assert.deepEqual(exampleOf(schema(z.array(z.union([z.literal("a"), z.int()])))), ["a"]);
  assert.deepEqual(exampleOf(schema(z.record(z.string(), z.int()))), {});
});

Deno.test("the documentation is served from local files, with a policy against foreign scripts", async () => {
  const rig = testRig();
  const host = await rig.start([meshFunction({ routes: [add] })], { docs: realDocs() });
  const get = (path: string) => host.fetch(new Request(`http://test${path}`));
  assert.equal((await get("/")).headers.get("location"), "/docs");
  const index = await get("/docs");
  const html = await index.text();
  assert.match(index.headers.get("content-security-policy") ?? "", /default-src 'self'/);
  assert.ok(!/https?:/.test(html), "nothing from elsewhere");
  assert.doesNotMatch(html, /<script>|<style|\son\w+=/, "nothing inline, which the policy forbids");
  const css = await (await get("/docs/swagger-ui.css")).text();
  assert.doesNotMatch(css, /url\((?!["']?data:)|@import/, "the style sheet brings its own pictures");
  for (const [, path = ""] of html.matchAll(/(?:src|href)="([^"]+)"/g)) {
    const file = await get(path);
    assert.deepEqual([file.status, (await file.bytes()).length > 0], [200, true], path);
  }
  for (const path of ["/docs/../deno.json", "/docs/package.json", "/docs/constructor"]) {
    assert.equal((await get(path)).status, 404, path);
  }
  await rig.end();
});
