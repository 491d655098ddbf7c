/**
 * How an agent that enrols knows whom it may believe: its join token names the fingerprint of the cluster's key.
 */
import { SalarError } from "../errors.ts";
import { fingerprintOf } from "../secure/keys.ts";
import { parseJoinToken } from "../secure/token.ts";

/**
 * @param clusterKey SPKI DER, base64, as the enrolment's answer brings it.
 * @throws {SalarError} `bad-input` for a text that is no join token, `bad-peer` when another cluster answered.
 */
export function requirePinned(joinToken: string, clusterKey: string): void {
  const parsed = parseJoinToken(joinToken.trim());
  if (parsed === null) {
    throw new SalarError("bad-input", "Cannot enrol: the join token is damaged; ask for a new one");
  }
  if (fingerprintOf(Uint8Array.fromBase64(clusterKey)) === parsed.caPin) return;
  throw new SalarError(
    "bad-peer",
    "Cannot enrol: whoever answered is not the cluster that made the join token; check the director's address",
  );
}
