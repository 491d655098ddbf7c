/** The identity key of a program, kept in a file that only its owner can read; made at the first start. */
import { messageOf, SalarError } from "../errors.ts";
import type { Disk } from "../seams.ts";
import { generateIdentity, type Identity, identityFromPem, identityToPem } from "../secure/keys.ts";
import { Secret } from "../secure/secret.ts";

/** @throws {SalarError} `bad-config` for a file that holds no Ed25519 key; it is never written over. */
export async function identityAt(disk: Disk, path: string): Promise<Identity> {
  const bytes = await disk.read(path);
  if (bytes !== null) return identityIn(bytes, path);
  const identity = generateIdentity();
  await disk.replace(path, new TextEncoder().encode(identityToPem(identity).reveal()), { mode: 0o600 });
  return identity;
}

function identityIn(bytes: Uint8Array, path: string): Identity {
  try {
    return identityFromPem(new Secret(new TextDecoder().decode(bytes)));
  } catch (cause) {
    throw new SalarError(
      "bad-config",
      `${messageOf(cause)}: ${path}; restore it from a backup`,
      {
        cause,
      },
    );
  }
}
