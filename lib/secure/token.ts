/**
 * Opaque credentials for people and automation, and the ones with which an agent joins.
 *
 *     sa1.<id>.<secret>             API token
 *     sj1.<id>.<secret>.<CA pin>    join token: the pin is the SHA-256 of the CA's SPKI DER, in hex
 *
 * T1. At rest there is the id and the SHA-256 of the secret, never the secret: a copied store opens nothing.
 *     A plain hash is enough because the secret is 256 random bits, not a password.
 * T2. Random bytes come from the caller, which decides where randomness comes from.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { fromBase64url, toBase64url } from "./encoding.ts";
import { TrustError } from "./errors.ts";
import { isFingerprint } from "./keys.ts";
import { Secret } from "./secret.ts";

const ID_BYTES = 12;
const SECRET_BYTES = 32;

/** How many random bytes a token is made from. */
export const TOKEN_RANDOM_BYTES = ID_BYTES + SECRET_BYTES;

export interface MintedToken {
  /** 16 base64url characters, the first a letter; may be stored, shown and logged. */
  id: string;
  /** What to store: SHA-256 of the secret, in hex. */
  secretHash: string;
  /** The whole token, shown to its owner once. */
  token: Secret;
}

export interface ParsedToken {
  id: string;
  secret: Secret;
}

export interface ParsedJoinToken extends ParsedToken {
  /** Fingerprint of the CA that the server's certificate must come from. */
  caPin: string;
}

/** @throws {TrustError} `malformed` unless given TOKEN_RANDOM_BYTES. */
export function mintToken(random: Uint8Array): MintedToken {
  return mint("sa1", random, "");
}

/** @throws {TrustError} `malformed` unless given TOKEN_RANDOM_BYTES and a fingerprint. */
export function mintJoinToken(random: Uint8Array, caPin: string): MintedToken {
  if (!isFingerprint(caPin)) {
    throw new TrustError("malformed", "Cannot mint join token: CA pin is no fingerprint");
  }
  return mint("sj1", random, "." + caPin);
}

function mint(version: string, random: Uint8Array, tail: string): MintedToken {
  if (random.length !== TOKEN_RANDOM_BYTES) {
    throw new TrustError(
      "malformed",
      `Cannot mint token: got ${random.length} random bytes, give ${TOKEN_RANDOM_BYTES}`,
    );
  }
  const [first = 0, ...others] = random.subarray(0, ID_BYTES);
  // A bit less: an id that begins with a dash would be an option where it is given on a command line.
  const id = toBase64url(Uint8Array.of(first & 0x7f, ...others));
  const secret = toBase64url(random.subarray(ID_BYTES));
  return {
    id,
    secretHash: hashSecret(new Secret(secret)),
    token: new Secret(`${version}.${id}.${secret}${tail}`),
  };
}

/** The parts of an API token; null where the text is anything else. */
export function parseToken(text: string): ParsedToken | null {
  const [version, id, secret, ...rest] = text.split(".", 4);
  return version === "sa1" && rest.length === 0 ? idAndSecret(id, secret) : null;
}

/** The parts of a join token; null where the text is anything else. */
export function parseJoinToken(text: string): ParsedJoinToken | null {
  const [version, id, secret, caPin, ...rest] = text.split(".", 5);
  if (version !== "sj1" || rest.length > 0 || !isFingerprint(caPin)) return null;
  const parsed = idAndSecret(id, secret);
  return parsed && { ...parsed, caPin };
}

function idAndSecret(id = "", secret = ""): ParsedToken | null {
  const whole = fromBase64url(id)?.length === ID_BYTES && fromBase64url(secret)?.length === SECRET_BYTES;
  return whole ? { id, secret: new Secret(secret) } : null;
}

/** SHA-256 of the secret's base64url text, in hex. */
export function hashSecret(secret: Secret): string {
  return digest(secret).toString("hex");
}

/** Compares in constant time. False also where the stored hash is not one. */
export function secretMatches(secret: Secret, storedHash: string): boolean {
  const stored = Buffer.from(storedHash, "hex");
  const given = digest(secret);
  return stored.length === given.length && timingSafeEqual(stored, given);
}

function digest(secret: Secret): Buffer {
  return createHash("sha256").update(secret.reveal()).digest();
}
