/**
 * A box that one secret opens: what is stored in it is safe from whoever has the store and not the secret.
 *
 * B1. AES-256-GCM under a key of its own, HKDF-SHA-256 of the secret and the purpose: a box of one purpose does not
 *     open as another's, and the secret may serve for more than boxes.
 * B2. The secret is random, of 128 bits or more: nothing here slows a guesser of passwords down.
 * Format: nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes). Source: RFC 5869, NIST SP 800-38D.
 */
import { createCipheriv, createDecipheriv, hkdfSync } from "node:crypto";
import { TrustError } from "./errors.ts";
import type { Secret } from "./secret.ts";

export const BOX_NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const CIPHER = "aes-256-gcm";

export interface BoxKey {
  secret: Secret;
  /** What the box is for and whose it is, such as `salar/gateway-session/1/4711`. */
  purpose: string;
}

/**
 * Seals `plain`.
 * @param nonce Random, never used twice with the same secret and purpose.
 * @throws {TrustError} `malformed` unless the nonce has BOX_NONCE_BYTES.
 */
export function sealBox(plain: Uint8Array, key: BoxKey, nonce: Uint8Array): Uint8Array {
  if (nonce.length !== BOX_NONCE_BYTES) {
    throw new TrustError(
      "malformed",
      `Cannot seal box: nonce is ${nonce.length} bytes, give ${BOX_NONCE_BYTES}`,
    );
  }
  const cipher = createCipheriv(CIPHER, keyOf(key), nonce, { authTagLength: TAG_BYTES });
  const sealed = [nonce, cipher.update(plain), cipher.final()];
  return new Uint8Array(Buffer.concat([...sealed, cipher.getAuthTag()]));
}

/** What was sealed; null for another secret or purpose, and for bytes that are no box or were changed. */
export function openBox(box: Uint8Array, key: BoxKey): Uint8Array | null {
  if (box.length < BOX_NONCE_BYTES + TAG_BYTES) return null;
  const nonce = box.subarray(0, BOX_NONCE_BYTES);
  const decipher = createDecipheriv(CIPHER, keyOf(key), nonce, { authTagLength: TAG_BYTES });
  decipher.setAuthTag(box.subarray(-TAG_BYTES));
  const plain = decipher.update(box.subarray(BOX_NONCE_BYTES, -TAG_BYTES));
  try {
    return new Uint8Array(Buffer.concat([plain, decipher.final()]));
  } catch {
    return null; // the tag does not fit
  }
}

/** B1. */
function keyOf({ secret, purpose }: BoxKey): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret.reveal(), "", purpose, KEY_BYTES));
}
