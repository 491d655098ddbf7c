/**
 * Private keys in PEM as `openssl` and `ssh-keygen -m` write them: PKCS#8, PKCS#1, SEC 1. OpenSSH's own format is ssh2's.
 *
 * Source: RFC 7468, RFC 5958; of the public half's form RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4.
 */
import { Buffer } from "node:buffer";
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { wireStrings } from "./ssh_key.ts";

export interface PemKey {
  key: KeyObject;
  /** As SSH writes it. */
  publicBlob: Buffer;
}

export function isPem(text: string): boolean {
  return /-----BEGIN ((RSA|EC|ENCRYPTED) )?PRIVATE KEY-----/.test(text);
}

/** @throws when it is none, is of a kind that SSH has not, or is encrypted otherwise */
export function readPem(text: string, passphrase: string | undefined): PemKey {
  if (passphrase === undefined && /BEGIN ENCRYPTED|^Proc-Type: 4,ENCRYPTED/m.test(text)) {
    throw new Error("the key is encrypted");
  }
  const key = createPrivateKey({ key: text, format: "pem", ...passphrase !== undefined && { passphrase } });
  return { key, publicBlob: publicBlob(createPublicKey(key).export({ format: "jwk" })) };
}

function publicBlob({ kty, crv = "", x = "", y = "", e = "", n = "" }: JsonWebKey): Buffer {
  const bytes = (text: string) => Buffer.from(text, "base64url");
  if (kty === "RSA") return wireStrings("ssh-rsa", integer(bytes(e)), integer(bytes(n)));
  if (crv === "Ed25519") return wireStrings("ssh-ed25519", bytes(x));
  const curve = /^P-(256|384|521)$/.exec(crv)?.[1];
  if (curve === undefined) throw new Error(`SSH has no keys of ${crv || kty}`);
  const point = Buffer.concat([Buffer.of(4), bytes(x), bytes(y)]); // 4 is "both numbers follow"
  return wireStrings(`ecdsa-sha2-nistp${curve}`, `nistp${curve}`, point);
}

/** A first bit of 1 would make it negative. */
function integer(bytes: Buffer): Buffer {
  return (bytes[0] ?? 0) < 0x80 ? bytes : Buffer.concat([Buffer.of(0), bytes]);
}
