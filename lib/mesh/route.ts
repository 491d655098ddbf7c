/**
 * HTTP routes as values: one schema validates the request, documents it (OpenAPI 3.1) and types the handler.
 *
 * R1. Every route names a role; `host.ts` refuses to start with one that does not.
 * R2. A changing route takes `Idempotency-Key`: (principal, key) → body hash and answer, kept IDEMPOTENCY_KEEP_MS.
 *     `request.token` must go into the route's `store.write`, so that a repeat after a crash changes nothing twice.
 *     Strangers (role `public`) share a principal, so their keys are not taken.
 * R3. Errors are problem documents (RFC 9457): `type`, `title`, `status`, `detail`, `code`, `problems`.
 */
import type { z } from "zod";
import type { Context } from "./context.ts";
import type { Outcome, Principal, Role } from "./handler.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export interface RouteInput<P, Q, B> {
  params: P;
  query: Q;
  body: B;
  principal: Principal;
  /** From `If-Match`: the ETag that the caller has seen, without quotes; null when none was sent. */
  ifMatch: string | null;
  /** For `store.write(…, { token })`; undefined on reads and when the caller sent no `Idempotency-Key`. */
  token: string | undefined;
}

/** An answer with an ETag: `done(tagged(reply, etag))`. */
export class Tagged<R> {
  constructor(readonly reply: R, readonly etag: string) {}
}

export function tagged<R>(reply: R, etag: string): Tagged<R> {
  return new Tagged(reply, etag);
}

export interface Route<P = unknown, Q = unknown, B = unknown, R = unknown> {
  /** `operationId` in the OpenAPI document and the method of `salar call`: `zones.add`. */
  name: string;
  method: Method;
  /** `/v1/zones/{zone}`; parameters in braces. */
  path: string;
  role: Role;
  /** One sentence for people. */
  summary: string;
  params?: z.ZodType<P>;
  query?: z.ZodType<Q>;
  body?: z.ZodType<B>;
  /** The reply is passed through it: a field that it does not name does not leave. */
  reply: z.ZodType<R>;
  /** Status of `done`. @default 200 */
  status?: 200 | 201 | 202;
  /** A long poll: a drain ends it at once with 503 and `Retry-After: 0`, so the caller asks another replica. */
  waits?: true;
  /** The reply holds a secret, so it is never kept: a repeat of its `Idempotency-Key` is a `conflict`. */
  secretReply?: true;
  run(context: Context, input: RouteInput<P, Q, B>): Promise<Outcome<R | Tagged<R>>>;
}

/** A route outside the JSON world (XML-RPC, files). Size-capped and role-checked like any other; not in OpenAPI. */
export interface RawRoute {
  name: string;
  method: Method;
  /** May end in `/*`. */
  path: string;
  role: Role;
  summary: string;
  /** As in `Route`. */
  waits?: true;
  handle(context: Context, request: Request, principal: Principal): Promise<Response>;
}

export function route<P, Q, B, R>(definition: Route<P, Q, B, R>): Route {
  return definition as unknown as Route;
}

export function isRaw(candidate: Route | RawRoute): candidate is RawRoute {
  return "handle" in candidate;
}
