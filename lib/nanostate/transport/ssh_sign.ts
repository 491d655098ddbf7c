/**
 * Signatures of private keys, also of those that ssh2 has read.
 *
 * ssh2 hands on a curve's number with a zero before it, which OpenSSL takes and Deno does not. Here it is put right.
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, type KeyObject, sign } from "node:crypto";
// @ts-types="@types/ssh2"
import type ssh2 from "ssh2";
import { WireReader } from "./ssh_key.ts";

/** @param hash of RSA; other keys have their own. @returns as OpenSSL has it: of a curve, a sequence of two integers */
export type Sign = (data: Buffer, hash: string | undefined) => Buffer;

/** @param type as SSH names it */
export function signer(type: string, key: KeyObject): Sign {
  return (data, hash) => sign(HASHES[type] ?? hash ?? null, data, key);
}

const HASHES: Readonly<Record<string, string>> = {
  "ecdsa-sha2-nistp256": "sha256",
  "ecdsa-sha2-nistp384": "sha384",
  "ecdsa-sha2-nistp521": "sha512",
};

/** @throws when it is no private key, such as one read with a wrong passphrase */
export function privateKeyOf(key: ssh2.ParsedKey): KeyObject {
  const pem = key.getPrivatePEM();
  const [, base64] = /-----BEGIN EC PRIVATE KEY-----([^-]+)-/.exec(pem) ?? [];
  return base64 === undefined ? createPrivateKey(pem) : curveKey(key, Buffer.from(base64, "base64"));
}

/** @param der SEC 1: a sequence of the number 1, the private number, and what we know already */
function curveKey(key: ssh2.ParsedKey, der: Buffer): KeyObject {
  const version = element(der, element(der, 0).start);
  const secret = element(der, version.end);
  const reader = new WireReader(key.getPublicSSH());
  reader.string(); // type
  const curve = reader.text();
  const point = reader.string().subarray(1); // 4 is "both numbers follow"
  const length = point.length / 2;
  const digits = der.subarray(secret.start, secret.end);
  const fixed = Buffer.concat([Buffer.alloc(length), digits]).subarray(-length);
  const text = (bytes: Buffer) => bytes.toString("base64url");
  return createPrivateKey({
    format: "jwk",
    key: {
      kty: "EC",
      crv: curve.replace("nistp", "P-"),
      x: text(point.subarray(0, length)),
      y: text(point.subarray(length)),
      d: text(fixed),
    },
  });
}

/** Where the content of a DER element begins and ends. */
function element(der: Buffer, at: number): { start: number; end: number } {
  const first = der[at + 1] ?? 0;
  if (first < 0x80) return { start: at + 2, end: at + 2 + first };
  const bytes = first & 0x7f;
  const start = at + 2 + bytes;
  return { start, end: start + der.readUIntBE(at + 2, bytes) };
}
