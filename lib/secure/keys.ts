/**
 * Identity keys and fingerprints.
 *
 * K1. The fingerprint, SHA-256 of the SPKI DER in hex, is the identity; a key file's bytes are not.
 * K2. A Salt minion's or master's key is only ever compared or fingerprinted here, never used as Salar's own.
 * Source: RFC 8410 (Ed25519 in PKCS #8 and SPKI); `salt.utils.crypt.pem_finger` for Salt's formula.
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { sha256Hex } from "./encoding.ts";
import { TrustError } from "./errors.ts";
import { Secret } from "./secret.ts";

export const SEED_BYTES = 32;
export const SIGNATURE_BYTES = 64;

/** RFC 8410: everything of a PKCS #8 Ed25519 key that comes before its 32-byte seed. */
const PKCS8_BEFORE_SEED = Buffer.from("302e020100300506032b657004220420", "hex");
/** The same of an SPKI key. DER has one spelling, so one key has one fingerprint. */
const SPKI_BEFORE_KEY = Buffer.from("302a300506032b6570032100", "hex");
const PUBLIC_KEY_BYTES = 32;
const PEM_LINE_CHARS = 64;
const FINGERPRINT = /^[0-9a-f]{64}$/;

/** A key pair that signs; the secret half may live elsewhere. */
export interface Signer {
  readonly fp: string;
  /** SPKI DER of the public key. */
  readonly spki: Uint8Array;
  sign(data: Uint8Array): Uint8Array;
}

/** An Ed25519 key pair at hand. */
export interface Identity extends Signer {
  readonly privateKey: KeyObject;
}

/** Whether the key (SPKI DER) signed the data. False also for bytes that are no key or no signature. */
export type Verify = (spki: Uint8Array, data: Uint8Array, signature: Uint8Array) => boolean;

export function generateIdentity(): Identity {
  return identityOf(generateKeyPairSync("ed25519").privateKey);
}

/** The identity of a 32-byte seed: same seed, same key. @throws {TrustError} `bad-key` for another length. */
export function identityFromSeed(seed: Uint8Array): Identity {
  if (seed.length !== SEED_BYTES) {
    throw new TrustError(
      "bad-key",
      `Cannot make identity key: seed is ${seed.length} bytes, give ${SEED_BYTES}`,
    );
  }
  const der = Buffer.concat([PKCS8_BEFORE_SEED, seed]);
  return identityOf(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
}

/** Reads a PKCS #8 PEM. @throws {TrustError} `bad-key` unless it holds an Ed25519 private key. */
export function identityFromPem(pem: Secret): Identity {
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(pem.reveal());
  } catch {
    // No cause: a parser's message may quote what it read.
    throw new TrustError("bad-key", "Cannot read identity key: it is not a private key in PEM");
  }
  return identityOf(privateKey);
}

/** PKCS #8 PEM, for a file with mode 0600. */
export function identityToPem(identity: Identity): Secret {
  return new Secret(String(identity.privateKey.export({ format: "pem", type: "pkcs8" })));
}

function identityOf(privateKey: KeyObject): Identity {
  if (privateKey.asymmetricKeyType !== "ed25519") {
    throw new TrustError("bad-key", "Cannot use identity key: it is not an Ed25519 key, make a new one");
  }
  const spki = spkiOf(createPublicKey(privateKey));
  return { fp: fingerprintOf(spki), spki, privateKey, sign: (data) => sign(null, data, privateKey) };
}

/** The `Verify` of Ed25519. */
export function verifyEd25519(spki: Uint8Array, data: Uint8Array, signature: Uint8Array): boolean {
  return verifyWith(publicKeyFromSpki, spki, data, signature);
}

/**
 * `verifyEd25519` for who hears the same senders again and again. It remembers the last `keysMax` keys that it has read
 * of their bytes, which takes a fifth of the time of a check; the bytes are the key, so none of them goes stale.
 */
export function rememberingVerify({ keysMax }: { keysMax: number }): Verify {
  const read = new Map<string, KeyObject>();
  const keyOf = (spki: Uint8Array): KeyObject => {
    const name = spki.toHex();
    const known = read.get(name);
    if (known !== undefined) return known;
    const key = publicKeyFromSpki(spki);
    const [oldest] = read.keys();
    if (oldest !== undefined && read.size >= keysMax) read.delete(oldest);
    read.set(name, key);
    return key;
  };
  return (spki, data, signature) => verifyWith(keyOf, spki, data, signature);
}

function verifyWith(
  keyOf: (spki: Uint8Array) => KeyObject,
  spki: Uint8Array,
  data: Uint8Array,
  signature: Uint8Array,
): boolean {
  if (signature.length !== SIGNATURE_BYTES) return false;
  try {
    return verify(null, data, keyOf(spki), signature);
  } catch (error) {
    if (error instanceof TrustError) return false;
    throw error;
  }
}

/** The public key as SPKI DER. */
export function spkiOf(publicKey: KeyObject): Buffer {
  return publicKey.export({ format: "der", type: "spki" });
}

/** Salar's fingerprint of a public key given as SPKI DER: 64 lower-case hex digits. */
export function fingerprintOf(spki: Uint8Array): string {
  return sha256Hex(spki);
}

export function isFingerprint(value: unknown): value is string {
  return typeof value === "string" && FINGERPRINT.test(value);
}

/** Reads an SPKI DER as agents send it. @throws {TrustError} `bad-key` unless it is exactly one Ed25519 key. */
export function publicKeyFromSpki(spki: Uint8Array): KeyObject {
  const start = spki.subarray(0, SPKI_BEFORE_KEY.length);
  if (spki.length !== SPKI_BEFORE_KEY.length + PUBLIC_KEY_BYTES || !SPKI_BEFORE_KEY.equals(start)) {
    throw new TrustError("bad-key", "Cannot read public key: it is not exactly one Ed25519 key as SPKI DER");
  }
  try {
    return createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" });
  } catch (cause) {
    throw new TrustError("bad-key", "Cannot read public key: its bytes are no Ed25519 key", { cause });
  }
}

/** Reads a public key of any kind, RSA included. @throws {TrustError} `bad-key`, also for a private key. */
export function publicKeyFromPem(pem: string): KeyObject {
  // Node would quietly derive a public key from a private one or a certificate.
  if (!/^\s*-----BEGIN (RSA )?PUBLIC KEY-----/.test(pem)) {
    throw new TrustError("bad-key", "Cannot read public key: it is not a public key in PEM");
  }
  try {
    return createPublicKey(pem);
  } catch (cause) {
    throw new TrustError("bad-key", "Cannot read public key: its PEM is damaged", { cause });
  }
}

/** Salar's fingerprint of a PEM public key. @throws {TrustError} `bad-key`. */
export function fingerprintOfPem(pem: string): string {
  return fingerprintOf(spkiOf(publicKeyFromPem(pem)));
}

/**
 * What Salt calls the fingerprint of the same key (`master_finger`, `key.finger`): colon-separated hex pairs.
 * Computed from the key, not from the file: files differ in their last newline. @throws {TrustError} `bad-key`.
 */
export function saltFingerprintOfPem(pem: string): string {
  const base64 = spkiOf(publicKeyFromPem(pem)).toString("base64");
  let body = "";
  for (let at = 0; at < base64.length; at += PEM_LINE_CHARS) {
    body += base64.slice(at, at + PEM_LINE_CHARS) + "\n";
  }
  return sha256Hex(body).replace(/..(?=.)/g, "$&:");
}

/** True where both PEM texts hold the same key, whatever their line ends. @throws {TrustError} `bad-key`. */
export function samePublicKey(pemA: string, pemB: string): boolean {
  return fingerprintOfPem(pemA) === fingerprintOfPem(pemB);
}
