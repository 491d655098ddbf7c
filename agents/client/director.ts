/**
 * The director as the client agent sees it: five requests over HTTPS.
 *
 * C1. Every request but the two of enrolment proves the identity key (`Authorization: Salar-Proof …`).
 * C2. Answers are checked by their schema; a refusal becomes the code whose status it has.
 */
import type { z } from "zod";
import {
  Directives,
  EnrolAnswer,
  EnrolChallenge,
  type MoveReport,
  type SystemBeat,
} from "../../lib/cluster/protocol.ts";
import { type ErrorCode, SalarError } from "../../lib/errors.ts";
import { CLIENT_REQUEST_MS } from "../../lib/limits.ts";
import type { Net, Scope } from "../../lib/seams.ts";
import { NONCE_BYTES } from "../../lib/secure/proof.ts";
import type { ClientTrust } from "./trust.ts";

/** All reject with a `SalarError`: `unavailable`, `deadline`, `bad-peer`, or the refusal. */
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

interface Call {
  method: "GET" | "POST";
  /** Path and query. */
  target: string;
  body?: unknown;
  /** Without proof: the director does not know this agent yet. */
  open?: boolean;
  waitMs?: number;
}

const REFUSALS: Record<number, ErrorCode> = {
  400: "bad-input",
  401: "unauthenticated",
  403: "forbidden",
  404: "not-found",
  409: "conflict",
  413: "too-large",
  422: "key-reused",
  429: "rate-limited",
};
const REASON_CHARS_MAX = 300;

export function directorAt({ url, net, trust }: DirectorOptions): Director {
  async function call(scope: Scope, { method, target, body, open, waitMs = 0 }: Call): Promise<Response> {
    const bytes = new TextEncoder().encode(body === undefined ? "" : JSON.stringify(body));
    const headers = new Headers({ accept: "application/json" });
    if (body !== undefined) headers.set("content-type", "application/json");
    if (!open) {
      const at = { nowMs: scope.nowMs(), nonce: scope.random.bytes(NONCE_BYTES) };
      headers.set("authorization", trust.prove({ method, target, body: bytes }, at));
    }
    const init = { method, headers, ...(body === undefined ? {} : { body: bytes }) };
    return await scope.timeout(CLIENT_REQUEST_MS + waitMs, async (limited) => {
      const answer = await net.request(limited, new Request(new URL(target, url), init));
      if (!answer.ok) throw await refusalOf(answer, `${method} ${target.replace(/\?.*/, "")}`);
      // Read within the limit: an answer that never ends is no answer.
      return new Response(await answer.arrayBuffer(), { status: 200 });
    });
  }

  return {
    challenge: async (scope) =>
      parse(EnrolChallenge, await call(scope, { method: "GET", target: "/v1/enrol/challenge", open: true })),
    enrol: async (scope, statement) =>
      parse(
        EnrolAnswer,
        await call(scope, { method: "POST", target: "/v1/enrol/system", body: { statement }, open: true }),
      ),
    directives: async (scope, { after, waitMs }) =>
      parse(
        Directives,
        await call(scope, {
          method: "GET",
          target: `/v1/directives?after=${after}&waitMs=${waitMs}`,
          waitMs,
        }),
      ),
    report: async (scope, report) => {
      await call(scope, { method: "POST", target: "/v1/reports", body: report });
    },
    beat: async (scope, beat) => {
      await call(scope, { method: "POST", target: "/v1/beat", body: beat });
    },
  };
}

async function parse<T>(schema: z.ZodType<T>, answer: Response): Promise<T> {
  try {
    return schema.parse(await answer.json());
  } catch (cause) {
    throw new SalarError("bad-peer", "Cannot read the director's answer: it is not of the agreed form", {
      cause,
    });
  }
}

async function refusalOf(answer: Response, call: string): Promise<SalarError> {
  const code = REFUSALS[answer.status] ?? (answer.status >= 500 ? "unavailable" : "bad-peer");
  const reason = reasonIn(await answer.text());
  return new SalarError(code, `Cannot ${call}: the director answered ${answer.status}${reason}`);
}

/** The `detail` of a problem document (RFC 9457); nothing for any other text, such as a proxy's page. */
function reasonIn(text: string): string {
  try {
    const { detail } = JSON.parse(text);
    return typeof detail === "string" ? `, ${detail.slice(0, REASON_CHARS_MAX)}` : "";
  } catch {
    return "";
  }
}
