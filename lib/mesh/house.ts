/**
 * The host's own function: health, metrics, documentation, and the sweep of what the mesh keeps in the store.
 *
 * H1. `/healthz` says that the process answers, nothing more; `/readyz` whether it should be given work.
 * H2. Documentation comes from files of this machine: sites are air-gapped.
 */
import type { Context } from "./context.ts";
import type { MeshFunction } from "./function.ts";
import { again, done, type Outcome, type Role } from "./handler.ts";
import { sweepAnswers } from "./idempotency.ts";
import { type Metrics, METRICS_CONTENT_TYPE } from "./metrics.ts";
import type { RawRoute } from "./route.ts";
import { IDEMPOTENCY_SWEEP_MAX, STORE_TOKEN_SWEEP_MAX, SWEEP_MS } from "../limits.ts";

/** Swagger UI's files by name, such as `index.html`; null for a name that it has not. */
export type DocsFiles = (name: string) => Promise<{ type: string; bytes: Uint8Array<ArrayBuffer> } | null>;

export interface HouseParts {
  metrics: Metrics;
  /** Why this replica should get no work; empty when it should. */
  reasons: () => string[];
  /** Who may read `/metrics`. */
  metricsRole: Role;
  /** The API document, asked for at most once: it takes longer to make than the rest of a host. */
  api: () => Record<string, unknown>;
  docs: DocsFiles | null;
}

export function createHouse({ metrics, reasons, metricsRole, api, docs }: HouseParts): MeshFunction {
  const json = (value: unknown, status = 200) => Response.json(value, { status });
  let apiText: string | undefined;
  const routes: RawRoute[] = [
    get("healthz", "/healthz", "public", "Whether the process answers", () => json({ alive: true })),
    get("readyz", "/readyz", "public", "Whether this replica takes work", () => {
      const found = reasons();
      return json({ ready: found.length === 0, reasons: found }, found.length === 0 ? 200 : 503);
    }),
    get("metrics", "/metrics", metricsRole, "Metrics for Prometheus", async () => {
      return new Response(await metrics.text(), { headers: { "content-type": METRICS_CONTENT_TYPE } });
    }),
    get("openapi", "/openapi.json", "public", "The API as OpenAPI 3.1", () => {
      apiText ??= JSON.stringify(api());
      return new Response(apiText, { headers: { "content-type": "application/json" } });
    }),
    ...(docs === null ? [] : docsRoutes(docs)),
  ];
  const sweep = { name: "sweep", everyMs: SWEEP_MS, run: sweepOnce };
  return { name: "mesh", routes, handlers: [], ticks: [sweep], streams: [] };
}

function docsRoutes(docs: DocsFiles): RawRoute[] {
  return [
    get("home", "/", "public", "Leads to the documentation", () => redirect("/docs")),
    get("docs", "/docs", "public", "The API's documentation", () => page(docs, "index.html")),
    get("docs.file", "/docs/*", "public", "A file of the documentation", (request) => {
      return page(docs, new URL(request.url).pathname.slice("/docs/".length));
    }),
  ];
}

async function page(docs: DocsFiles, name: string): Promise<Response> {
  const file = await docs(name);
  if (file === null) return new Response("There is no such page.\n", { status: 404 });
  return new Response(file.bytes, {
    headers: {
      "content-type": file.type,
      // Swagger UI sets styles inline; scripts come from our own files only.
      "content-security-policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
      "x-content-type-options": "nosniff",
    },
  });
}

function redirect(location: string): Response {
  return new Response(null, { status: 302, headers: { location } });
}

function get(
  name: string,
  path: string,
  role: Role,
  summary: string,
  answer: (request: Request) => Response | Promise<Response>,
): RawRoute {
  return {
    name: `mesh.${name}`,
    method: "GET",
    path,
    role,
    summary,
    handle: (_context, request) => Promise.resolve(answer(request)),
  };
}

async function sweepOnce(context: Context): Promise<Outcome> {
  const answers = await sweepAnswers(context);
  const tokens = await context.store.sweepTokens(context.scope);
  const more = answers >= IDEMPOTENCY_SWEEP_MAX || tokens >= STORE_TOKEN_SWEEP_MAX;
  return more ? again({ afterMs: 1_000 }) : done();
}
