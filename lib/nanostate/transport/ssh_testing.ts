/** Keys and certificates for tests, without a program that makes them. */
import { Buffer } from "node:buffer";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { wireStrings } from "./ssh_key.ts";

export interface TestKey {
  /** SSH's form of the public half. */
  blob: Buffer;
  private: KeyObject;
}

/** A new Ed25519 key. */
export function newKey(): TestKey {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
  return { blob: wireStrings("ssh-ed25519", raw), private: privateKey };
}

export interface CertificateFields {
  kind?: number;
  principals?: readonly string[];
  validAfterS?: bigint;
  validBeforeS?: bigint;
  critical?: readonly string[];
}

/** A certificate for `host`. @param signer who signs in the authority's name, if not itself */
export function certificateOf(
  host: TestKey,
  authority: TestKey,
  fields: CertificateFields = {},
  signer: TestKey = authority,
): Buffer {
  const { kind = 2, principals = ["web.example"], critical = [] } = fields;
  const numbers = Buffer.alloc(12);
  numbers.writeUInt32BE(kind, 8); // after a serial number of zero
  const times = Buffer.alloc(16);
  times.writeBigUInt64BE(fields.validAfterS ?? 0n);
  times.writeBigUInt64BE(fields.validBeforeS ?? 2n ** 64n - 1n, 8);
  const signed = Buffer.concat([
    wireStrings("ssh-ed25519-cert-v01@openssh.com", "a nonce", host.blob.subarray(-32)),
    numbers,
    wireStrings("an id", wireStrings(...principals)),
    times,
    wireStrings(wireStrings(...critical.flatMap((name) => [name, ""])), "", "", authority.blob),
  ]);
  const signature = wireStrings("ssh-ed25519", sign(null, signed, signer.private));
  return Buffer.concat([signed, wireStrings(signature)]);
}
