/** Digests and signatures of a real process, by `node:crypto`: synchronous, see docs/simulation.md. */
import { createHash } from "node:crypto";
import { VERIFY_KEYS_MAX } from "../limits.ts";
import type { Crypt, Signer } from "../seams.ts";
import { identityFromPem, rememberingVerify } from "../secure/keys.ts";
import type { Secret } from "../secure/secret.ts";

export function realCrypt(): Crypt {
  return {
    sha256: (data) => new Uint8Array(createHash("sha256").update(data).digest()),
    verify: rememberingVerify({ keysMax: VERIFY_KEYS_MAX }),
  };
}

/** @throws {TrustError} `bad-key` unless `pem` is an Ed25519 private key in PKCS #8. */
export function realSigner(pem: Secret): Signer {
  return identityFromPem(pem);
}
