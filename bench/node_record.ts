/** A node as it lies in the store after its acceptance. */
import type { Node } from "../lib/cluster/types.ts";
import type { Signer } from "../lib/seams.ts";

export const ZONE = "bench";

export function nodeRecord({ fp, spki }: Signer, name: string): Node {
  return {
    v: 1,
    fp,
    identityKey: spki.toBase64(),
    name,
    machineId: fp.slice(0, 32),
    zone: ZONE,
    state: "accepted",
    stateBeforeLost: null,
    capacity: 1_000_000,
    weight: 1,
    apiUrl: `https://${name}.example`,
    master: `${name}.example`,
    masterKey: PUBLIC_PEM,
    versions: {},
    pooledAtMs: 0,
    reason: "bench",
    revision: 1,
  };
}

/** Of the right form; no benchmark has a Salt that would use it. */
export const PUBLIC_PEM = `-----BEGIN PUBLIC KEY-----\n${"A".repeat(392)}\n-----END PUBLIC KEY-----\n`;
