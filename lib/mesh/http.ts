/**
 * The HTTP app of a host: a Hono app made of the functions' routes.
 *
 * H1. Everything between request and answer runs inside `perform`, so one table decides every status.
 * H2. Order: is the replica working, who asks and may they, body under its cap, input, condition, effect.
 * H3. Errors are problem documents, for paths and methods that nobody has too.
 * H4. An answer is never stored on its way, and names its request: `X-Request-Id` is in the log line too.
 */
import { Hono } from "hono";
import { type ErrorCode, SalarError } from "../errors.ts";
import { admit } from "./auth.ts";
import type { Context } from "./context.ts";
import type { MeshFunction } from "./function.ts";
import type { Gate } from "./gate.ts";
import { done, type Outcome, type Principal } from "./handler.ts";
import { type Answer, answerOnce } from "./idempotency.ts";
import { inputReader, type Parsed } from "./input.ts";
import { problemOf } from "./problem.ts";
import { isRaw, type RawRoute, type Route, Tagged } from "./route.ts";
import type { Trust } from "./trust.ts";
import { type Order, perform, type Verdict, type Workplace } from "./work.ts";

export interface AppParts {
  place: Workplace;
  trust: Trust;
  /** Functions that answer only while store and bus are there. */
  functions: readonly MeshFunction[];
  gate: Gate;
  /** The host's own routes, which answer always. */
  house: MeshFunction;
  /** Told which route answers a request, before it does. */
  onRoute?: ((route: Route | RawRoute) => void) | undefined;
}

type Answering = (request: Request, params: Record<string, string>) => Promise<Response>;

const ALWAYS: Gate = { isOpen: () => true, reasons: () => [] };

/** Answers any request; never rejects. */
export function createApp(
  { place, trust, functions, gate, house, onRoute }: AppParts,
): (request: Request) => Promise<Response> {
  const app = new Hono();
  const mount = ({ name, routes }: MeshFunction, gate: Gate) => {
    for (const route of routes) {
      const answer = isRaw(route)
        ? rawAnswering(place, name, route, trust, gate)
        : jsonAnswering(place, name, route, trust, gate);
      app.on(route.method, honoPath(route.path), (c) => {
        onRoute?.(route);
        return answer(c.req.raw, c.req.param());
      });
    }
  };
  mount(house, ALWAYS);
  for (const each of functions) mount(each, gate);
  const allowed = methodsByPath([house, ...functions].flatMap(({ routes }) => routes));
  app.notFound((c) => unmatched(place, c.req.raw, allowed(c.req.path)));
  app.onError((error, c) => turnAway(place, c.req.raw, error));
  return async (request) =>
    // The URL is made of what the caller sent as Host; nothing beyond here expects one that cannot be read.
    URL.canParse(request.url)
      ? await app.fetch(request)
      : await turnAway(place, request, refusal("bad-input", "its Host is no host name"));
}

function jsonAnswering(place: Workplace, owner: string, route: Route, trust: Trust, gate: Gate): Answering {
  const readInput = inputReader(route);
  return async (request, params) => {
    const order = orderOf(place, owner, route, request);
    const verdict = await perform(place, order, async (context) => {
      requireOpen(gate);
      const { principal, body } = await admit(context, trust, route.role, request);
      Object.assign(order.fields, { by: principal.id });
      const input = readInput({ params, request, body });
      return await answerRoute(context, route, {
        input,
        principal,
        requestHash: () => hashOf(context, request, body),
      });
    });
    return respond(verdict, order.fields.request, request);
  };
}

interface Ask {
  input: Parsed;
  principal: Principal;
  requestHash: () => string;
}

/** Runs the route, once per `Idempotency-Key`. */
async function answerRoute(context: Context, route: Route, ask: Ask): Promise<Outcome<Answer>> {
  const { input: { key, ...input }, principal, requestHash } = ask;
  const run = async (token: string | undefined) => {
    const outcome = await route.run(context, { ...input, principal, token });
    return outcome.kind === "done" ? done(answerOf(route, outcome.reply)) : outcome;
  };
  if (key === null || principal.role === "public") return await run(undefined);

  const asked = {
    principal: principal.id,
    key,
    requestHash: requestHash(),
    secretReply: route.secretReply ?? false,
  };
  const once = await answerOnce(context, asked, async (token) => {
    const result = await run(token);
    return { answer: result.kind === "done" ? result.reply : null, result };
  });
  return "kept" in once ? done(once.kept) : once.result;
}

function answerOf(route: Route, given: unknown): Answer {
  const { reply, etag } = given instanceof Tagged ? given : { reply: given, etag: null };
  return { status: route.status ?? 200, body: JSON.stringify(route.reply.parse(reply)), etag };
}

function rawAnswering(place: Workplace, owner: string, route: RawRoute, trust: Trust, gate: Gate): Answering {
  return async (request) => {
    const order = { ...orderOf(place, owner, route, request), outlives: true };
    const verdict = await perform(place, order, async (context) => {
      requireOpen(gate);
      const { principal, body } = await admit(context, trust, route.role, request);
      Object.assign(order.fields, { by: principal.id });
      const { url, method, headers, signal } = request;
      const read = new Request(url, { method, headers, signal, ...(body.length > 0 ? { body } : {}) });
      return done(await route.handle(context, read, principal));
    });
    return respond(verdict, order.fields.request, request);
  };
}

function orderOf(place: Workplace, owner: string, route: Route | RawRoute, request: Request) {
  return {
    kind: "request",
    owner,
    name: route.name,
    fields: { request: place.scope.random.id() },
    level: route.method === "GET" ? "debug" : "info",
    signals: route.waits ? [request.signal, place.stopping] : [request.signal],
  } satisfies Order;
}

function requireOpen(gate: Gate): void {
  if (gate.isOpen()) return;
  throw new SalarError("unavailable", `Cannot serve now: ${gate.reasons().join("; ")}`);
}

function hashOf({ crypt }: Context, { method, url }: Request, body: Uint8Array): string {
  const { pathname, search } = new URL(url);
  const head = new TextEncoder().encode(`${method} ${pathname}${search}\n`);
  const whole = new Uint8Array(head.length + body.length);
  whole.set(head);
  whole.set(body, head.length);
  return crypt.sha256(whole).toHex();
}

/** The answer to a verdict; `id` is the request's name in the log. */
export function respond(verdict: Verdict, id: string, request: Request): Response {
  if (verdict.outcome !== "done") return respondProblem(problemOf(verdict, id), id);
  if (verdict.reply instanceof Response) return verdict.reply;
  const { status, body, etag } = verdict.reply as Answer; // all that routes of this file give
  const headers = headersOf(id, "application/json");
  if (etag === null) return new Response(body, { status, headers });
  headers.set("etag", `"${etag}"`);
  return request.method !== "POST" && matches(request.headers.get("if-none-match"), etag)
    ? new Response(null, { status: 304, headers })
    : new Response(body, { status, headers });
}

function respondProblem(problem: ReturnType<typeof problemOf>, id: string): Response {
  const headers = headersOf(id, "application/problem+json");
  const { status, retryAfterMs } = problem;
  if (retryAfterMs !== undefined) headers.set("retry-after", String(Math.ceil(retryAfterMs / 1_000)));
  if (status === 401) headers.set("www-authenticate", "Bearer, Salar-Proof");
  return new Response(JSON.stringify(problem), { status, headers });
}

function headersOf(id: string, type: string): Headers {
  return new Headers({
    "content-type": type,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-request-id": id,
  });
}

/** RFC 9110, 13.1.2: weak comparison, a list or `*`. */
function matches(header: string | null, etag: string): boolean {
  if (header === null) return false;
  return header.trim() === "*" ||
    header.split(",").some((each) => each.trim().replace(/^W\//, "") === `"${etag}"`);
}

async function unmatched(place: Workplace, request: Request, allowed: string[]): Promise<Response> {
  if (allowed.length === 0) {
    return await turnAway(place, request, refusal("not-found", "there is no such path"));
  }
  const refused = await turnAway(
    place,
    request,
    refusal("not-found", `this path takes ${allowed.join(", ")}`),
  );
  const problem = { ...await refused.json(), status: 405, title: "method not allowed" };
  const headers = new Headers(refused.headers);
  headers.set("allow", allowed.join(", "));
  return new Response(JSON.stringify(problem), { status: 405, headers });
}

function refusal(code: ErrorCode, state: string): SalarError {
  return new SalarError(code, `Cannot answer request: ${state}`);
}

/** An error outside all routes, answered and logged as those inside are. */
async function turnAway(place: Workplace, request: Request, error: unknown): Promise<Response> {
  const fields = { request: place.scope.random.id() };
  const order: Order = { kind: "request", owner: "mesh", name: "unmatched", fields };
  return respond(await perform(place, order, () => Promise.reject(error)), fields.request, request);
}

function methodsByPath(routes: (Route | RawRoute)[]): (path: string) => string[] {
  const patterns = routes.map(({ method, path }) => ({ method, form: pathForm(path) }));
  return (path) => {
    const methods = patterns.filter(({ form }) => form.test(path)).map(({ method }) => method as string);
    if (methods.includes("GET")) methods.push("HEAD");
    return [...new Set(methods)].sort();
  };
}

function pathForm(path: string): RegExp {
  const parts = path.split("/").map((part) =>
    /^\{\w+\}$/.test(part) ? "[^/]+" : part === "*" ? ".*" : part.replace(/[.+*?^$()[\]{}|\\]/g, "\\$&")
  );
  return new RegExp(`^${parts.join("/")}$`);
}

function honoPath(path: string): string {
  return path.replace(/\{(\w+)\}/g, ":$1");
}
