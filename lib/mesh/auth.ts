/**
 * From an `Authorization` header to a principal with the role that the route names; and the body, read under its cap.
 *
 * A1. Nobody without a credential, or with one that does not hold, gets a body parsed: 401 comes first.
 * A2. viewer < operator < admin, each including those before. An agent's role includes no other and is in no other.
 * A3. A body is read to HTTP_BODY_BYTES_MAX and not a byte further, whatever its `Content-Length` says.
 */
import { SalarError } from "../errors.ts";
import { HTTP_BODY_BYTES_MAX } from "../limits.ts";
import type { Context } from "./context.ts";
import type { Principal, Role } from "./handler.ts";
import type { Trust } from "./trust.ts";

export const PUBLIC: Principal = { id: "public", role: "public", fp: null };

export interface Admitted {
  principal: Principal;
  body: Uint8Array<ArrayBuffer>;
}

/** @throws `unauthenticated`, `forbidden`, `too-large`. */
export async function admit(context: Context, trust: Trust, role: Role, request: Request): Promise<Admitted> {
  if (role === "public") return { principal: PUBLIC, body: await readBody(context, request) };

  const header = request.headers.get("authorization") ?? "";
  const bearer = /^bearer +(\S+)$/i.exec(header)?.[1];
  if (bearer !== undefined) {
    const principal = await trust.token(context, bearer);
    if (principal === null) throw refusal("its token is unknown, expired or revoked");
    requireRole(principal, role);
    return { principal, body: await readBody(context, request) };
  }
  if (header.startsWith("Salar-Proof ")) {
    const body = await readBody(context, request); // the proof is over it
    const { pathname, search } = new URL(request.url);
    const principal = await trust.proof(context, header, {
      method: request.method,
      target: pathname + search,
      body,
    });
    requireRole(principal, role);
    return { principal, body };
  }
  throw refusal(
    header === "" ? "it has no Authorization header" : "its Authorization scheme is not one of ours",
  );
}

/** A2. @throws `forbidden` */
export function requireRole(principal: Principal, role: Role): void {
  if (includes(principal.role, role)) return;
  const state = `${principal.id} has role ${principal.role}, this needs ${role}`;
  throw new SalarError("forbidden", `Cannot allow request: ${state}`);
}

const PEOPLE: readonly Role[] = ["viewer", "operator", "admin"];

function includes(has: Role, needs: Role): boolean {
  return has === needs || needs === "public" ||
    (PEOPLE.includes(needs) && PEOPLE.indexOf(has) > PEOPLE.indexOf(needs));
}

function refusal(state: string): SalarError {
  return new SalarError("unauthenticated", `Cannot accept request: ${state}`);
}

/** A3, and not beyond the time of the request: who trickles a body is answered, and the rest is not kept. @throws `too-large` */
async function readBody({ scope }: Context, request: Request): Promise<Uint8Array<ArrayBuffer>> {
  if (Number(request.headers.get("content-length") ?? 0) > HTTP_BODY_BYTES_MAX) throw tooLarge();
  if (request.body === null) return new Uint8Array(0);
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request.body) { // leaving the loop cancels the rest
    size += chunk.length;
    if (size > HTTP_BODY_BYTES_MAX) throw tooLarge();
    if (scope.signal.aborted) throw refusal("it was given up before its body was whole"); // nobody waits for this
    chunks.push(chunk);
  }
  const body = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}

function tooLarge(): SalarError {
  return new SalarError(
    "too-large",
    `Cannot accept request: its body has more than ${HTTP_BODY_BYTES_MAX} bytes`,
  );
}
