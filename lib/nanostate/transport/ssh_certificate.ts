/**
 * Host certificates of OpenSSH: a host's key, the names it may go by, and an authority's signature over both.
 *
 * C1. A certificate counts when its signature, kind, time and names are right and nothing in it is unknown to us that
 *     it calls critical. Whether its authority is one to trust is for known_hosts to say.
 * C2. One that names no host counts for none.
 * Source: PROTOCOL.certkeys of OpenSSH.
 */
import { Buffer } from "node:buffer";
import { verify } from "node:crypto";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import { matchesHost } from "./known_hosts.ts";
import { type PublicKey, publicKey, WireReader, wireStrings } from "./ssh_key.ts";

const CERTIFICATE = "-cert-v01@openssh.com";
const KIND_HOST = 2;
/** Fields of the public key itself, between nonce and serial. */
const KEY_FIELDS: Readonly<Record<string, number>> = {
  "ssh-ed25519": 1,
  "ecdsa-sha2-nistp256": 2,
  "ecdsa-sha2-nistp384": 2,
  "ecdsa-sha2-nistp521": 2,
  "ssh-rsa": 2,
};
/** Signature algorithm → hash. SHA-1 is not among them. */
const HASHES: Readonly<Record<string, string | null>> = {
  "ssh-ed25519": null,
  "ecdsa-sha2-nistp256": "sha256",
  "ecdsa-sha2-nistp384": "sha384",
  "ecdsa-sha2-nistp521": "sha512",
  "rsa-sha2-256": "sha256",
  "rsa-sha2-512": "sha512",
};

export interface Certificate {
  /** The host's own key. */
  key: PublicKey;
  authority: PublicKey;
  keyId: string;
  kind: number;
  principals: string[];
  validAfterS: bigint;
  validBeforeS: bigint;
  criticalOptions: string[];
  /** What the authority signed, and its signature. */
  signed: Buffer;
  signature: Buffer;
}

/** Also of the algorithms that prove one: `rsa-sha2-512-cert-v01@openssh.com`. */
export function isCertificateType(type: string): boolean {
  return type.endsWith(CERTIFICATE);
}

/** @returns null when the bytes are no certificate */
export function parseCertificate(blob: Buffer): Certificate | null {
  try {
    const reader = new WireReader(blob);
    const type = reader.text();
    const keyType = type.slice(0, -CERTIFICATE.length);
    const fields = isCertificateType(type) ? KEY_FIELDS[keyType] : undefined;
    if (fields === undefined) return null;

    reader.string(); // nonce
    const parts = Array.from({ length: fields }, () => reader.string());
    reader.uint64(); // serial
    const kind = reader.uint32();
    const keyId = reader.text();
    const principals = texts(reader.string());
    const validAfterS = reader.uint64();
    const validBeforeS = reader.uint64();
    const criticalOptions = texts(reader.string()).filter((_, n) => n % 2 === 0); // name, value, name, value
    reader.string(); // extensions: of none for hosts that we would have to obey
    reader.string(); // reserved
    const authority = publicKey(reader.string());
    const signed = blob.subarray(0, reader.position);
    const signature = reader.string();
    if (authority === null || !reader.isAtEnd) return null;
    const key = { type: keyType, blob: wireStrings(keyType, ...parts) };
    return {
      key,
      authority,
      keyId,
      kind,
      principals,
      validAfterS,
      validBeforeS,
      criticalOptions,
      signed,
      signature,
    };
  } catch {
    return null;
  }
}

/** Why it does not count for this host now; null when it does. */
export function certificateFault(
  certificate: Certificate,
  host: { hostName: string; nowMs: number },
): string | null {
  const nowS = BigInt(Math.floor(host.nowMs / 1000));
  if (certificate.kind !== KIND_HOST) return "it is no host certificate";
  if (certificate.criticalOptions.length > 0) {
    return `it has critical options that are not known: ${certificate.criticalOptions.join(", ")}`;
  }
  if (nowS < certificate.validAfterS) return `it is valid only from ${date(certificate.validAfterS)} on`;
  if (nowS >= certificate.validBeforeS) return `it was valid until ${date(certificate.validBeforeS)}`;
  if (!certificate.principals.some((each) => matchesHost(each, host.hostName))) {
    return `it is for ${certificate.principals.join(", ") || "no host"}`;
  }
  return isSigned(certificate) ? null : "its signature is wrong, or made in a way that is not accepted";
}

function isSigned({ authority, signed, signature }: Certificate): boolean {
  const parsed = ssh2.utils.parseKey(authority.blob);
  if (parsed instanceof Error) return false;
  const reader = new WireReader(signature);
  try {
    const algorithm = reader.text();
    const hash = HASHES[algorithm];
    const fits = algorithm.startsWith("rsa-sha2-")
      ? authority.type === "ssh-rsa"
      : authority.type === algorithm;
    if (hash === undefined || !fits) return false;
    const value = reader.string();
    const key = parsed.getPublicPEM();
    if (!algorithm.startsWith("ecdsa-")) return verify(hash, signed, key, value);
    return verify(hash, signed, { key, dsaEncoding: "ieee-p1363" }, fixedPair(algorithm, value));
  } catch {
    return false;
  }
}

/** SSH's two integers as OpenSSL's plain form wants them: each as long as the curve's. */
function fixedPair(algorithm: string, value: Buffer): Buffer {
  const length = algorithm.endsWith("521") ? 66 : Number(algorithm.slice(-3)) / 8;
  const reader = new WireReader(value);
  const fixed = () => {
    const bytes = reader.string();
    const digits = bytes.subarray(bytes.findIndex((byte) => byte !== 0));
    if (digits.length > length) throw new RangeError("Cannot read a signature: its numbers are too long");
    return Buffer.concat([Buffer.alloc(length - digits.length), digits]);
  };
  return Buffer.concat([fixed(), fixed()]);
}

function texts(blob: Buffer): string[] {
  const reader = new WireReader(blob);
  const found: string[] = [];
  while (!reader.isAtEnd) found.push(reader.text());
  return found;
}

function date(seconds: bigint): string {
  const ms = Number(seconds) * 1000;
  return ms < 8.64e15 ? new Date(ms).toISOString() : "for ever";
}
