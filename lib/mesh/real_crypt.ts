/** Digests and signatures of a real process, by `node:crypto`: synchronous, see docs/simulation.md. */
import { createHash } from "node:crypto";
import type { Crypt, Signer } from "../seams.ts";
import { identityFromPem, verifyEd25519 } from "../secure/keys.ts";
import type { Secret } from "../secure/secret.ts";

export function realCrypt(): Crypt {
  return {
    sha256: (data) => new Uint8Array(createHash("sha256").update(data).digest()),
    verify: verifyEd25519,
  };
}

/** @throws {TrustError} `bad-key` unless `pem` is an Ed25519 private key in PKCS #8. */
export function realSigner(pem: Secret): Signer {
  return identityFromPem(pem);
}
