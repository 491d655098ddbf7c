/**
 * Keys that cost little: a signature is a keyed hash which anybody can make, so forgery is not what this simulates.
 *
 * S1. Fingerprints and digests are the real ones: they are stored, compared and chained.
 * S2. A signature holds for its key and its bytes only.
 */
import { hash } from "node:crypto";
import type { Crypt, Signer } from "../../lib/seams.ts";
import { hashText, mix } from "./random.ts";

const SIGNATURE_BYTES = 64;
const SALT = hashText("signature");
/** RFC 8410: what comes before the key in an Ed25519 SPKI; others look for it. */
const SPKI_BEFORE_KEY = "302a300506032b6570032100";

export function cheapSigner(name: string): Signer {
  const key = sha256(new TextEncoder().encode(name));
  const spki = new Uint8Array([...Uint8Array.fromHex(SPKI_BEFORE_KEY), ...key]);
  return { fp: sha256(spki).toHex(), spki, sign: (data) => signature(spki, data) };
}

/** PEM of a key that is only ever compared. */
export function cheapPem(name: string): string {
  return `-----BEGIN PUBLIC KEY-----\n${cheapSigner(name).spki.toBase64()}\n-----END PUBLIC KEY-----\n`;
}

export function cheapCrypt(): Crypt {
  return {
    sha256,
    verify: (spki, data, given) => {
      const expected = signature(spki, data);
      return given.length === expected.length && given.every((byte, at) => byte === expected[at]);
    },
  };
}

function sha256(data: Uint8Array): Uint8Array {
  return Uint8Array.fromHex(hash("sha256", data, "hex")); // half the price of a digest in a Buffer
}

function signature(spki: Uint8Array, data: Uint8Array): Uint8Array {
  let mixed = 0x811c9dc5;
  for (let at = 12; at < spki.length; at++) mixed = Math.imul(mixed ^ (spki[at] as number), 0x01000193);
  for (let at = 0; at < data.length; at++) mixed = Math.imul(mixed ^ (data[at] as number), 0x01000193);
  const words = new Uint32Array(SIGNATURE_BYTES / 4);
  for (let at = 0; at < words.length; at++) words[at] = mix(mixed, at + SALT);
  return new Uint8Array(words.buffer);
}
