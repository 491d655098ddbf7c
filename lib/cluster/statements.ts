/**
 * Signed statements as functions use them: directives going out, enrolments coming in. (Those of known agents on the
 * bus are opened by the host.)
 *
 * S1. An enrolment brings its own key; that its sender holds it, and that it is fresh, is all that it proves.
 * S2. Challenges are stateless: a nonce is a time and the cluster's signature over it, good for NONCE_MS on any replica.
 */
import { z } from "zod";
import { SalarError } from "../errors.ts";
import { CLOCK_SKEW_MS_MAX, DIRECTIVE_MS, NONCE_MS } from "../limits.ts";
import type { Context } from "../mesh/context.ts";
import { fromBase64url, toBase64url } from "../secure/encoding.ts";
import { TrustError } from "../secure/errors.ts";
import { fingerprintOf } from "../secure/keys.ts";
import { type Claims, openStatement, signStatement } from "../secure/statement.ts";
import { type EnrolAnswer, type OutboxEntry, STATEMENT_KINDS, type StatementKind } from "./protocol.ts";

type Trust = Pick<Context, "signer" | "crypt" | "cluster" | "scope">;

/** An outbox entry as its recipient gets it. */
export function directiveFor({ signer, cluster, scope }: Trust, to: string, entry: OutboxEntry): string {
  const iat = secondsOf(scope.nowMs());
  return signStatement({
    kind: entry.kind,
    cluster,
    to,
    seq: entry.seq,
    iat,
    exp: entry.epoch === null ? iat + DIRECTIVE_MS / 1000 : expiryOf(entry),
    epoch: entry.epoch ?? 0,
    body: entry.body,
  }, signer);
}

/** True for a directive that must not be begun any more; one without an epoch never is. */
export function isExpired(entry: OutboxEntry, nowMs: number): boolean {
  return entry.epoch !== null && expiryOf(entry) <= secondsOf(nowMs);
}

/** Counted from when it was given: asking again does not make it last longer. */
function expiryOf({ atMs }: OutboxEntry): number {
  return secondsOf(atMs + DIRECTIVE_MS);
}

function secondsOf(ms: number): number {
  return Math.floor(ms / 1000);
}

export function newNonce({ signer, scope }: Trust): string {
  const time = String(scope.nowMs());
  return `${time}.${toBase64url(signer.sign(nonceText(time)))}`;
}

/**
 * Opens an enrolment statement whose body has `identityKey` and `nonce`.
 * @throws {SalarError} `unauthenticated` when it is not what it claims, `bad-input` when its body is out of shape.
 */
export function openEnrolment<B extends { identityKey: string; nonce: string }>(
  trust: Trust,
  text: string,
  kind: StatementKind,
  body: z.ZodType<B>,
): { fp: string; body: B } {
  const claims = open(trust, text, kind);
  const parsed = body.safeParse(claims.body);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => ({
      field: path.join("."),
      reason: message,
    }));
    throw new SalarError("bad-input", `Cannot read enrolment: ${problems.length} field(s) are wrong`, {
      detail: { problems },
    });
  }
  requireNonce(trust, parsed.data.nonce);
  return { fp: claims.from, body: parsed.data };
}

/** What an agent is told when it has enrolled; `id` is null for a node. */
export function enrolAnswer(
  { cluster, signer }: Pick<Trust, "cluster" | "signer">,
  answer: Pick<EnrolAnswer, "fp" | "id" | "zone" | "lastSeq">,
): EnrolAnswer {
  return { ...answer, cluster, clusterKey: signer.spki.toBase64() };
}

const BroughtKey = z.object({ body: z.object({ identityKey: z.base64() }) });

function open({ crypt, signer, cluster, scope }: Trust, text: string, kind: StatementKind): Claims {
  try {
    return openStatement(text, {
      me: signer.fp,
      cluster,
      kinds: STATEMENT_KINDS,
      accepts: [kind],
      nowMs: scope.nowMs(),
      verify: (spki, data, signature) => crypt.verify(spki, data, signature),
      sender: (kid, unverified) => {
        const brought = BroughtKey.safeParse(unverified);
        if (!brought.success) return null;
        const spki = Uint8Array.fromBase64(brought.data.body.identityKey);
        return fingerprintOf(spki) === kid ? { spki, role: "newcomer" } : null; // S1
      },
    });
  } catch (error) {
    if (error instanceof TrustError) throw new SalarError("unauthenticated", error.message, { cause: error });
    throw error;
  }
}

function requireNonce({ crypt, signer, scope }: Trust, nonce: string): void {
  const [time = "", signature = ""] = nonce.split(".", 2);
  const bytes = fromBase64url(signature);
  const ageMs = scope.nowMs() - Number(time);
  const holds = /^\d{1,15}$/.test(time) && bytes !== null &&
    crypt.verify(signer.spki, nonceText(time), bytes);
  // The replica that made it may be ahead of this one.
  if (holds && ageMs >= -CLOCK_SKEW_MS_MAX && ageMs <= NONCE_MS) return;
  throw new SalarError(
    "unauthenticated",
    "Cannot enrol: the challenge is not ours or too old; ask for a new one",
  );
}

function nonceText(time: string): Uint8Array {
  return new TextEncoder().encode(`salar/nonce/1\n${time}`);
}
