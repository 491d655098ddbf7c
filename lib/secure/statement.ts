/**
 * Signed statements: what agents and functions say to each other, on any channel. Format v1 is a compact JWS:
 *
 *     {"alg":"EdDSA","typ":"salar+jws","kid":<sender fp>}
 *     {"v":1,"kind":…,"cluster":…,"from":<fp>,"to":<fp>|"*","seq":…,"iat":s,"exp":s,"epoch":…,"body":{…}}
 *
 * In: the text as it came and what the receiver knows. Out: the claims, or a `TrustError` naming the first check
 * that failed, in the order of `openStatement`.
 * J1. The signature is over the received bytes: nothing is re-serialised, there is no canonical JSON.
 * J2. One suite. The header is exactly the three fields above; a sender can choose nothing.
 * J3. Trust comes from the key: never from the subject, the address or the connection a statement came by.
 * J4. `seq` and `epoch` are for the receiver's transaction, together with the effect; replays are refused there.
 * A private message wraps this text in a JWE for one recipient; that layer knows nothing of these claims.
 * Source: RFC 7515, RFC 8037; restricted as RFC 8725 advises.
 */
import {
  fromBase64url,
  fromUtf8,
  hasDuplicateKeys,
  hasExactKeys,
  isObject,
  parseJsonObject,
  toBase64url,
} from "./encoding.ts";
import { TrustError, type TrustReason } from "./errors.ts";
import {
  fingerprintOf,
  isFingerprint,
  SIGNATURE_BYTES,
  type Signer,
  type Verify,
  verifyEd25519,
} from "./keys.ts";

export const STATEMENT_BYTES_MAX = 256 * 1024;
/** How far ahead of ours a sender's clock may be. */
export const CLOCK_SKEW_MS_MAX = 120_000;

const HEADER_KEYS = ["alg", "typ", "kid"];
const KIND = /^[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*){0,7}$/;
const CLUSTER = /^[a-z0-9][a-z0-9-]{0,62}$/;

export interface Claims {
  v: 1;
  /** What is said, e.g. `directive.move`. */
  kind: string;
  cluster: string;
  /** Fingerprint of the sender, always the key that signed. */
  from: string;
  /** Fingerprint of the one recipient, or `*` for everybody. */
  to: string;
  /** Number in the sender's order for this recipient. */
  seq: number;
  /** Issued at, epoch seconds. */
  iat: number;
  /** Not to be acted on from this moment, epoch seconds. */
  exp: number;
  /** Fencing token of the ownership that this speaks for. */
  epoch: number;
  body: Record<string, unknown>;
}

/** Role by kind of statement: who may send it. A kind that is not listed is refused. */
export type KindTable = Readonly<Record<string, string>>;

export interface Sender {
  /** SPKI DER. One that is not the key of that fingerprint is refused. */
  spki: Uint8Array;
  role: string;
}

export interface Receiver {
  /** Own fingerprint. */
  me: string;
  cluster: string;
  /** The one table of the cluster. */
  kinds: KindTable;
  /** The kinds that may come by this door. */
  accepts: readonly string[];
  nowMs: number;
  /**
   * The sender by fingerprint; null for nobody, and for a revoked key. `unverified` is the payload as it came, for
   * an enrolment, whose body brings the key. Where the look-up is asynchronous, do it first with `statementSender`.
   */
  sender(kid: string, unverified: Record<string, unknown>): Sender | null;
  /** Default: `verifyEd25519`. */
  verify?: Verify;
}

/** Signs as `signer`. @throws {TrustError} `bad-claims` or `too-large`, as the receiver would. */
export function signStatement(claims: Omit<Claims, "v" | "from">, signer: Signer): string {
  const { kind, cluster, to, seq, iat, exp, epoch, body } = claims;
  const all: Claims = { v: 1, kind, cluster, from: signer.fp, to, seq, iat, exp, epoch, body };
  requireClaims(all);
  const header = { alg: "EdDSA", typ: "salar+jws", kid: signer.fp };
  const signed = `${toBase64url(JSON.stringify(header))}.${toBase64url(JSON.stringify(all))}`;
  const text = `${signed}.${toBase64url(signer.sign(Buffer.from(signed)))}`;
  requireSize(text);
  return text;
}

/**
 * Who a statement claims to come from, for finding the key: it may be anybody, and the rest may be anything.
 * @throws {TrustError} `too-large`, `malformed` or `bad-header`.
 */
export function statementSender(text: string): string {
  requireSize(text);
  const header = fromBase64url(text.split(".", 1)[0] ?? "");
  if (header === null) refuse("malformed", "its header is not base64url");
  return kidOf(header);
}

/**
 * The claims of a statement that passed every check, in this order: size, form, exact header, known sender, kind
 * allowed to the sender's role and at this door, signature, duplicate keys, claims' shape, cluster, `from` = kid,
 * `to` = me or `*`, `exp`, `iat`. Still to check, in the transaction of the effect: `seq` and `epoch`.
 *
 * @throws {TrustError} with the reason of the first check that failed.
 */
export function openStatement(text: string, receiver: Receiver): Claims {
  const { kid, signed, json, payload, signature } = split(text);
  const sender = receiver.sender(kid, payload);
  if (sender === null) refuse("unknown-sender", `nobody is known by fingerprint ${kid}`);
  requireKind(payload["kind"], sender, receiver);

  const { verify = verifyEd25519 } = receiver;
  if (fingerprintOf(sender.spki) !== kid) refuse("bad-key", `the key at hand is not that of ${kid}`);
  if (!verify(sender.spki, Buffer.from(signed), signature)) refuse("bad-signature", `${kid} did not sign it`);
  if (hasDuplicateKeys(json)) refuse("duplicate-key", "its payload names a key twice");
  requireClaims(payload);
  requireAddress(payload, kid, receiver);
  return payload;
}

const CLAIM_FORMS: Record<keyof Claims, (value: unknown) => boolean> = {
  v: (value) => value === 1,
  kind: (value) => typeof value === "string" && KIND.test(value),
  cluster: (value) => typeof value === "string" && CLUSTER.test(value),
  from: isFingerprint,
  to: (value) => value === "*" || isFingerprint(value),
  seq: isCount,
  iat: isCount,
  exp: isCount,
  epoch: isCount,
  body: isObject,
};

interface Parts {
  kid: string;
  /** Header and payload as received: what the signature is over. */
  signed: string;
  /** The payload's text, and what it says. */
  json: string;
  payload: Record<string, unknown>;
  signature: Uint8Array;
}

function split(text: string): Parts {
  requireSize(text);
  const parts = text.split(".", 4);
  const [header, payload, signature] = parts.map(fromBase64url);
  if (parts.length !== 3 || !header || !payload || signature?.length !== SIGNATURE_BYTES) {
    refuse("malformed", "it is not three base64url parts with a 64-byte signature");
  }
  const kid = kidOf(header);
  const json = fromUtf8(payload) ?? "";
  const object = parseJsonObject(json);
  if (object === null) refuse("malformed", "its payload is not a JSON object in UTF-8");
  return { kid, signed: text.slice(0, text.lastIndexOf(".")), json, payload: object, signature };
}

function kidOf(bytes: Buffer): string {
  const json = fromUtf8(bytes) ?? "";
  const header = parseJsonObject(json);
  const exact = header !== null && hasExactKeys(header, HEADER_KEYS) && !hasDuplicateKeys(json) &&
    header["alg"] === "EdDSA" && header["typ"] === "salar+jws";
  if (!exact || !isFingerprint(header["kid"])) {
    refuse("bad-header", "its header is not exactly that of format v1");
  }
  return header["kid"];
}

function requireSize(text: string): void {
  // Characters are bytes here: any that is not ASCII is refused with the alphabet.
  if (text.length > STATEMENT_BYTES_MAX) {
    refuse("too-large", `it has ${text.length} bytes, at most ${STATEMENT_BYTES_MAX} are allowed`);
  }
}

function requireKind(kind: unknown, { role }: Sender, { kinds, accepts }: Receiver): void {
  // hasOwn: a kind named `constructor` must not find what every object has.
  if (typeof kind !== "string" || !Object.hasOwn(kinds, kind) || kinds[kind] !== role) {
    refuse("kind-not-allowed", `role ${role} may not send its kind`);
  }
  if (!accepts.includes(kind)) refuse("kind-not-allowed", `its kind ${kind} is not accepted here`);
}

function requireClaims(claims: object): asserts claims is Claims {
  const given: Record<string, unknown> = { ...claims };
  if (!hasExactKeys(given, Object.keys(CLAIM_FORMS))) {
    refuse("bad-claims", "its claims are not exactly those of v1");
  }
  for (const [claim, holds] of Object.entries(CLAIM_FORMS)) {
    if (!holds(given[claim])) refuse("bad-claims", `its ${claim} is not of the form that v1 has`);
  }
  if (Number(given["exp"]) <= Number(given["iat"])) refuse("bad-claims", "its exp is not after its iat");
}

function requireAddress(claims: Claims, kid: string, { me, cluster, nowMs }: Receiver): void {
  if (claims.cluster !== cluster) refuse("wrong-cluster", `it is for another cluster than ${cluster}`);
  if (claims.from !== kid) refuse("wrong-sender", "its from is not the key that signed it");
  if (claims.to !== me && claims.to !== "*") {
    refuse("wrong-recipient", `it is for ${claims.to}, not for me`);
  }
  if (claims.exp * 1000 <= nowMs) refuse("expired", `it was valid until ${claims.exp} s`);
  if (claims.iat * 1000 > nowMs + CLOCK_SKEW_MS_MAX) {
    refuse("not-yet-valid", `it is dated ahead, ${claims.iat} s`);
  }
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function refuse(reason: TrustReason, state: string): never {
  throw new TrustError(reason, `Cannot accept statement: ${state}`);
}
