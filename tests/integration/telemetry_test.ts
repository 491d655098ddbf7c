/** What a collector gets from the functions' program through Deno's own OpenTelemetry: traces, metrics, logs, no secret. */
import assert from "node:assert/strict";
import { z } from "zod";
import { waitFor } from "../parts/wait.ts";
import { type FunctionsProgram, startFunctions } from "./functions_program.ts";

const SEEN_MS = 20_000;
const PASSWORD = "planted-pass-word";

const Attributes = z.array(z.object({ key: z.string(), value: z.record(z.string(), z.unknown()) })).default(
  [],
);
const Scopes = z.object({
  resource: z.object({ attributes: Attributes }),
  scopeSpans: z.array(z.object({
    spans: z.array(z.object({ name: z.string(), traceId: z.string(), attributes: Attributes })),
  })).default([]),
  scopeMetrics: z.array(z.object({
    metrics: z.array(z.object({
      name: z.string(),
      histogram: z.object({ dataPoints: z.array(z.object({ attributes: Attributes })) }).optional(),
    })),
  })).default([]),
  scopeLogs: z.array(z.object({
    logRecords: z.array(z.object({
      traceId: z.string(),
      severityText: z.string(),
      body: z.object({ stringValue: z.string() }),
    })),
  })).default([]),
});
const Export = z.object({
  resourceSpans: z.array(Scopes).default([]),
  resourceMetrics: z.array(Scopes).default([]),
  resourceLogs: z.array(Scopes).default([]),
});

Deno.test("a request is told to the collector: span by route, log line of the same trace, duration by route, no secret", async () => {
  await using collector = startCollector();
  await using program = await startFunctions({ env: telemetryOf(collector.url) });
  const token = await program.adminToken();
  await ask(program, "/v1/zones", { token, body: { name: "berlin" } });
  await ask(program, "/v1/zones/berlin", { token });
  const { token: joinToken } = await ask(program, "/v1/join-tokens", {
    token,
    body: { kind: "node", zone: "berlin" },
  });
  await login(program, PASSWORD);

  const span = await waitFor(
    "the span",
    SEEN_MS,
    () => collector.spans().find(({ name }) => name === "GET /v1/zones/{zone}"),
  );
  assert.deepEqual(
    ["http.request.method", "http.route", "url.path", "http.response.status_code"].map((key) =>
      span.attributes.get(key)
    ),
    ["GET", "/v1/zones/{zone}", "/v1/zones/berlin", "200"],
  );
  assert.equal(span.resource.get("service.name"), "salar-test");

  const added = await waitFor(
    "the span of the change",
    SEEN_MS,
    () => collector.spans().find(({ name }) => name === "POST /v1/zones"),
  );
  const log = await waitFor(
    "its log line",
    SEEN_MS,
    () => collector.logs().find(({ traceId }) => traceId === added.traceId),
  );
  const line = JSON.parse(log.body.stringValue);
  assert.deepEqual([log.severityText, line.message, line.function, line.work], [
    "INFO",
    "request done",
    "director",
    "zones.add",
  ]);

  await waitFor("the duration by route", SEEN_MS, () => collector.durations().has("/v1/zones/{zone}"));
  assert.equal(await program.stop(), 0, program.log());
  assert.match(program.log(), /"message":"request done"/, "standard error has the lines as well");

  assert.ok(typeof joinToken === "string" && token.length > 20);
  for (const secret of [token, joinToken, PASSWORD, "PRIVATE KEY"]) {
    assert.ok(!collector.text().includes(secret), `no ${secret.slice(0, 8)}…`);
  }
});

Deno.test("a collector that is not there changes nothing for those who ask", async () => {
  await using program = await startFunctions({ env: telemetryOf("http://127.0.0.1:9") });
  const token = await program.adminToken();
  assert.equal((await ask(program, "/v1/zones", { token, body: { name: "a" } }))["name"], "a");
  assert.equal(await program.stop(), 0, program.log());
});

function telemetryOf(url: string): Record<string, string> {
  return {
    OTEL_DENO: "true",
    OTEL_DENO_CONSOLE: "replace",
    OTEL_SERVICE_NAME: "salar-test",
    OTEL_EXPORTER_OTLP_ENDPOINT: url,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_BSP_SCHEDULE_DELAY: "200",
    OTEL_BLRP_SCHEDULE_DELAY: "200",
    OTEL_METRIC_EXPORT_INTERVAL: "500",
  };
}

/** Takes OTLP over HTTP as JSON. */
function startCollector() {
  const got: { text: string; parsed: z.infer<typeof Export> }[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const text = await request.text();
    got.push({ text, parsed: Export.parse(JSON.parse(text)) });
    return Response.json({});
  });
  const all = (key: keyof z.infer<typeof Export>) => got.flatMap(({ parsed }) => parsed[key]);
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    text: () => got.map(({ text }) => text).join("\n"),
    spans: () =>
      all("resourceSpans").flatMap(({ resource, scopeSpans }) =>
        scopeSpans.flatMap(({ spans }) => spans).map((span) => ({
          ...span,
          attributes: mapOf(span.attributes),
          resource: mapOf(resource.attributes),
        }))
      ),
    logs: () =>
      all("resourceLogs").flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords)),
    /** Routes of which the duration was told. */
    durations: () =>
      new Set(
        all("resourceMetrics").flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics))
          .filter(({ name }) => name === "http.server.request.duration")
          .flatMap(({ histogram }) => histogram?.dataPoints ?? [])
          .map(({ attributes }) => mapOf(attributes).get("http.route")),
      ),
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

function mapOf(attributes: z.infer<typeof Attributes>): Map<string, unknown> {
  return new Map(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));
}

async function ask(
  { url }: FunctionsProgram,
  path: string,
  { token, body }: { token: string; body?: unknown },
) {
  const response = await fetch(url + path, {
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
  });
  const answer: Record<string, unknown> = await response.json();
  assert.ok(response.ok, JSON.stringify(answer));
  return answer;
}

/** As a script would: the answer is a fault, since no node is there that knows the user. */
async function login({ url }: FunctionsProgram, password: string): Promise<void> {
  const values = ["admin", password].map((text) => `<param><value><string>${text}</string></value></param>`);
  const response = await fetch(`${url}/rpc/api`, {
    method: "POST",
    headers: { "content-type": "text/xml" },
    body: `<methodCall><methodName>auth.login</methodName><params>${values.join("")}</params></methodCall>`,
  });
  assert.match(await response.text(), /<fault>/);
}
