/**
 * A signed HTTP request: the sender proves its identity key on every call, through any load balancer.
 *
 *     Authorization: Salar-Proof <kid>,<t>,<n>,<s>
 *     s = Ed25519 over "salar/http/1\n" method "\n" path and query "\n" hex SHA-256 of body "\n" t "\n" n
 *
 * kid: fingerprint · t: epoch seconds · n: 16 random bytes · n and s in base64url
 * P1. The signed text has one reading: no part can hold a newline.
 * P2. Replay within the clock window is the caller's to refuse: remember (kid, n) for twice CLOCK_SKEW_MS_MAX.
 */
import { fromBase64url, sha256Hex, toBase64url } from "./encoding.ts";
import { TrustError, type TrustReason } from "./errors.ts";
import {
  fingerprintOf,
  isFingerprint,
  SIGNATURE_BYTES,
  type Signer,
  type Verify,
  verifyEd25519,
} from "./keys.ts";
import { CLOCK_SKEW_MS_MAX } from "./statement.ts";

export const NONCE_BYTES = 16;

const SCHEME = "Salar-Proof ";
/** More digits than any date needs, few enough to stay an exact number. */
const SECONDS = /^(0|[1-9][0-9]{0,11})$/;

export interface HttpRequest {
  /** Upper case, e.g. `POST`. */
  method: string;
  /** Path and query as on the wire, e.g. `/v1/directives?after=7`. */
  target: string;
  /** Empty where the request has none. */
  body: Uint8Array;
}

export interface Proof {
  kid: string;
  /** Epoch seconds. */
  t: number;
  n: string;
}

/** The value of the `Authorization` header. @throws {TrustError} `malformed` for a nonce or request out of form. */
export function proveRequest(
  request: HttpRequest,
  signer: Signer,
  { nowMs, nonce }: { nowMs: number; nonce: Uint8Array },
): string {
  if (nonce.length !== NONCE_BYTES) refuse("malformed", `its nonce is not ${NONCE_BYTES} bytes`);
  const proof = { kid: signer.fp, t: Math.floor(nowMs / 1000), n: toBase64url(nonce) };
  const signature = signer.sign(signedText(request, proof));
  return `${SCHEME}${proof.kid},${proof.t},${proof.n},${toBase64url(signature)}`;
}

export interface ProofCheck {
  nowMs: number;
  /**
   * The sender's key (SPKI DER) by fingerprint; null for nobody, and for a revoked key. One that is not the key of
   * that fingerprint is refused. Where the look-up is asynchronous, do it first with `proofSender(header)`.
   */
  senderKey(kid: string): Uint8Array | null;
  /** Default: `verifyEd25519`. */
  verify?: Verify;
}

/**
 * Who proved this request, when, and with which nonce.
 * @throws {TrustError} `malformed`, `clock-skew`, `unknown-sender`, `bad-key` or `bad-signature`.
 */
export function checkProof(
  header: string,
  request: HttpRequest,
  { nowMs, senderKey, verify = verifyEd25519 }: ProofCheck,
): Proof {
  const { proof, signature } = parse(header);
  const { kid, t } = proof;
  if (Math.abs(t * 1000 - nowMs) > CLOCK_SKEW_MS_MAX) {
    refuse("clock-skew", `its time is ${t} s and mine ${Math.floor(nowMs / 1000)} s`);
  }
  const spki = senderKey(kid);
  if (spki === null) refuse("unknown-sender", `nobody is known by fingerprint ${kid}`);
  if (fingerprintOf(spki) !== kid) refuse("bad-key", `the key at hand is not that of ${kid}`);
  if (!verify(spki, signedText(request, proof), signature)) {
    refuse("bad-signature", `${kid} did not sign this request`);
  }
  return proof;
}

/** The fingerprint a proof claims: for finding the key, not for trusting it. @throws {TrustError} `malformed`. */
export function proofSender(header: string): string {
  return parse(header).proof.kid;
}

function parse(header: string): { proof: Proof; signature: Uint8Array } {
  const [kid, t, n, s, ...rest] = header.startsWith(SCHEME) ? header.slice(SCHEME.length).split(",", 5) : [];
  const signature = fromBase64url(s ?? "");
  const wellFormed = isFingerprint(kid) && t !== undefined && SECONDS.test(t) && n !== undefined &&
    fromBase64url(n)?.length === NONCE_BYTES && signature?.length === SIGNATURE_BYTES && rest.length === 0;
  if (!wellFormed) refuse("malformed", "its header is not Salar-Proof kid,t,n,s");
  return { proof: { kid, t: Number(t), n }, signature };
}

function signedText({ method, target, body }: HttpRequest, { t, n }: Proof): Buffer {
  // P1. Visible ASCII only: what HTTP allows on its first line.
  if (!/^[A-Z]{1,16}$/.test(method)) refuse("malformed", "its method is not an upper-case word");
  if (!/^\/[\x21-\x7e]*$/.test(target)) refuse("malformed", "its path and query are not visible ASCII");
  return Buffer.from(`salar/http/1\n${method}\n${target}\n${sha256Hex(body)}\n${t}\n${n}`);
}

function refuse(reason: TrustReason, state: string): never {
  throw new TrustError(reason, `Cannot accept request: ${state}`);
}
