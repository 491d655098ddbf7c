/**
 * The director as the client agent sees it: five requests over HTTPS.
 *
 * C1. Every request but the two of enrolment proves the identity key (`Authorization: Salar-Proof …`).
 * C2. An answer is what its schema says, or the problem that the director names; any other page is `bad-peer`.
 */
import { z } from "zod";
import {
  Directives,
  EnrolAnswer,
  EnrolChallenge,
  type MoveReport,
  type SystemBeat,
} from "../../lib/cluster/protocol.ts";
import { CLIENT_REQUEST_MS } from "../../lib/limits.ts";
import { decodeReply } from "../../lib/mesh/reply.ts";
import type { Net, Scope } from "../../lib/seams.ts";
import { NONCE_BYTES } from "../../lib/secure/proof.ts";
import type { ClientTrust } from "./trust.ts";

/** All reject with a `SalarError`: `unavailable`, `deadline`, `bad-peer`, or what the director refused with. */
export interface Director {
  challenge(scope: Scope): Promise<z.infer<typeof EnrolChallenge>>;
  enrol(scope: Scope, statement: string): Promise<EnrolAnswer>;
  /** Statements after number `after`; waits up to `waitMs` for the first one. */
  directives(scope: Scope, query: { after: number; waitMs: number }): Promise<Directives>;
  report(scope: Scope, report: MoveReport): Promise<void>;
  beat(scope: Scope, beat: SystemBeat): Promise<void>;
}

export interface DirectorOptions {
  /** Base address, such as `https://salar.example`. */
  url: string;
  net: Net;
  trust: ClientTrust;
}

interface Call<T> {
  method: "GET" | "POST";
  /** Path and query. */
  target: string;
  reply: z.ZodType<T>;
  body?: unknown;
  /** Without proof: the director does not know this agent yet. */
  open?: boolean;
  /** How long the director may wait before it answers. */
  waitMs?: number;
}

const Taken = z.object({ ok: z.literal(true) });

export function directorAt({ url, net, trust }: DirectorOptions): Director {
  async function call<T>(
    scope: Scope,
    { method, target, reply, body, open, waitMs = 0 }: Call<T>,
  ): Promise<T> {
    const bytes = new TextEncoder().encode(body === undefined ? "" : JSON.stringify(body));
    const headers = new Headers();
    if (body !== undefined) headers.set("content-type", "application/json");
    if (!open) {
      const at = { nowMs: scope.nowMs(), nonce: scope.random.bytes(NONCE_BYTES) };
      headers.set("authorization", trust.prove({ method, target, body: bytes }, at));
    }
    const init = { method, headers, ...(body === undefined ? {} : { body: bytes }) };
    return await scope.timeout(CLIENT_REQUEST_MS + waitMs, async (limited) => {
      const answer = await net.request(limited, new Request(new URL(target, url), init));
      return decodeReply(reply, await answer.bytes());
    });
  }

  return {
    challenge: (scope) =>
      call(scope, { method: "GET", target: "/v1/enrol/challenge", reply: EnrolChallenge, open: true }),
    enrol: (scope, statement) => {
      const target = "/v1/enrol/system";
      return call(scope, { method: "POST", target, reply: EnrolAnswer, body: { statement }, open: true });
    },
    directives: (scope, { after, waitMs }) => {
      const target = `/v1/directives?after=${after}&waitMs=${waitMs}`;
      return call(scope, { method: "GET", target, reply: Directives, waitMs });
    },
    report: async (scope, body) => {
      await call(scope, { method: "POST", target: "/v1/reports", reply: Taken, body });
    },
    beat: async (scope, body) => {
      await call(scope, { method: "POST", target: "/v1/beat", reply: Taken, body });
    },
  };
}
