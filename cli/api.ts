/**
 * The API as the tool uses it: one request at a time, repeated where that is safe and can help.
 *
 * A1. Every change carries an Idempotency-Key, the same in each of its tries, so that a repeat changes nothing twice.
 * A2. Tries end after ADMIN_ATTEMPTS_MAX, each within ADMIN_REQUEST_MS; only codes that a repeat can help are repeated.
 * A3. The token goes to the server of the settings and nowhere else: redirects are not followed.
 */
import { backoffMs } from "../lib/backoff.ts";
import { type ErrorCode, isSalarError, SalarError } from "../lib/errors.ts";
import {
  ADMIN_ATTEMPTS_MAX,
  ADMIN_BACKOFF,
  ADMIN_REQUEST_MS,
  ADMIN_RETRY_MS_MAX,
  PAGE_LIMIT_MAX,
} from "../lib/limits.ts";
import { errorOfProblem } from "../lib/mesh/problem.ts";
import type { Method } from "../lib/mesh/route.ts";
import type { Net, Scope } from "../lib/seams.ts";
import type { Secret } from "../lib/secure/secret.ts";
import { at, isObject, type Json, type JsonObject, listAt } from "./json.ts";
import { type RouteName, ROUTES } from "./routes.ts";

export interface ApiTarget {
  /** Base address without a slash at its end. */
  server: string;
  token: Secret | null;
}

/** What goes where; numbers and booleans in path and query become text. */
export interface Parts {
  path?: JsonObject;
  query?: JsonObject;
  body?: JsonObject;
}

export interface RawRequest {
  method: Method;
  /** Begins with a slash; parameters are filled in. */
  path: string;
  query?: JsonObject;
  body?: JsonObject;
}

export interface Page {
  items: Json[];
  next: string | null;
}

export interface Api {
  /** @throws {SalarError} the server's refusal, or `unavailable`, `deadline`, `bad-peer`, `cancelled` */
  ask(route: RouteName, parts?: Parts): Promise<Json>;
  send(request: RawRequest): Promise<Json>;
  /** Pages of a list until its end, or until `limit` items have come. */
  pages(route: RouteName, parts: Parts, limit?: number): AsyncGenerator<Page>;
}

const REPEATABLE: readonly ErrorCode[] = ["unavailable", "deadline", "outcome-unknown", "rate-limited"];

export function apiAt(target: ApiTarget, { scope, net }: { scope: Scope; net: Net }): Api {
  async function send(request: RawRequest): Promise<Json> {
    const key = request.method === "GET" ? null : scope.random.id();
    for (let attempt = 1;; attempt++) {
      try {
        return await scope.timeout(ADMIN_REQUEST_MS, (inner) => once(inner, request, key));
      } catch (error) {
        if (!isSalarError(error) || !REPEATABLE.includes(error.code) || attempt === ADMIN_ATTEMPTS_MAX) {
          throw error;
        }
        const { retryAfterMs } = error.detail;
        await scope.sleep(
          typeof retryAfterMs === "number"
            ? Math.min(retryAfterMs, ADMIN_RETRY_MS_MAX)
            : backoffMs(scope.random, attempt, ADMIN_BACKOFF),
        );
      }
    }
  }

  async function once(inner: Scope, request: RawRequest, key: string | null): Promise<Json> {
    const response = await net.request(inner, httpRequest(target, request, key));
    const text = await response.text();
    const value = parsed(text);
    if (response.ok && value !== undefined) return value;
    throw refusal(target.server, response.status, value);
  }

  async function ask(route: RouteName, parts: Parts = {}): Promise<Json> {
    const [method, path] = ROUTES[route];
    return await send({ method, path: filled(path, parts.path ?? {}), ...rest(parts) });
  }

  async function* pages(route: RouteName, parts: Parts, limit = Infinity): AsyncGenerator<Page> {
    let cursor: string | null = null;
    for (let left = limit; left > 0;) { // ends with the list: a page that is not the last one moves the cursor on
      const query: JsonObject = { ...parts.query, limit: Math.min(left, PAGE_LIMIT_MAX) };
      if (cursor !== null) query["cursor"] = cursor;
      const reply: Json = await ask(route, { ...parts, query });
      const next: Json = at(reply, "next");
      const items = listAt(reply, "items");
      yield { items, next: typeof next === "string" ? next : null };
      if (typeof next !== "string" || next === cursor) return;
      cursor = next;
      left -= items.length;
    }
  }

  return { ask, send, pages };
}

function rest({ query, body }: Parts): Pick<RawRequest, "query" | "body"> {
  return { ...(query === undefined ? {} : { query }), ...(body === undefined ? {} : { body }) };
}

function httpRequest(
  { server, token }: ApiTarget,
  { method, path, query = {}, body }: RawRequest,
  key: string | null,
): Request {
  const url = new URL(server + path);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null) url.searchParams.append(name, String(value));
  }
  return new Request(url, {
    method,
    redirect: "manual", // A3
    headers: {
      accept: "application/json",
      ...(token === null ? {} : { authorization: `Bearer ${token.reveal()}` }),
      ...(key === null ? {} : { "idempotency-key": key }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

/** Fills `{zone}` and its like. @throws {SalarError} `bad-input` for what would become another path */
export function filled(path: string, values: JsonObject): string {
  return path.replace(/\{(\w+)\}/g, (_all, name: string) => {
    const value = values[name];
    const text = value === undefined || isObject(value) ? "" : String(value);
    if (!/^\.{0,2}$/.test(text)) return encodeURIComponent(text);
    throw new SalarError("bad-input", `Cannot ask for ${path}: "${text}" is no ${name}`);
  });
}

function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusal(server: string, status: number, value: Json | undefined): SalarError {
  const error = errorOfProblem(value);
  if (error === null) {
    const state = `its answer is not Salar's (status ${status})`;
    return new SalarError("bad-peer", `Cannot use ${server}: ${state}`, {
      detail: { hint: "Check the address: --server, SALAR_SERVER, or `salar login`." },
    });
  }
  // A fault of the server's own is nothing that a repeat would help.
  return status === 500 ? new SalarError("bad-peer", error.message, { detail: instance(value) }) : error;
}

function instance(value: Json | undefined): { hint: string } {
  return { hint: `The server's log has it as request ${String(at(value ?? null, "instance"))}.` };
}
