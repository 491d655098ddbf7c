/** Whose token, which agent: the look-ups that the host's trust layer asks for (`lib/mesh/trust.ts`). */
import type { Context } from "../mesh/context.ts";
import type { Principal } from "../mesh/handler.ts";
import type { Agent, TrustOptions } from "../mesh/trust.ts";
import { parseToken, secretMatches } from "../secure/token.ts";
import type { Read } from "../store/store.ts";
import { keys } from "./keys.ts";
import { apiTokens, nodes, systemAt } from "./records.ts";

export const credentials: TrustOptions = { authenticate, identify };

/** Null for a token that is unknown, revoked or expired. */
async function authenticate({ store, scope }: Context, text: string): Promise<Principal | null> {
  const parsed = parseToken(text);
  if (parsed === null) return null;
  const token = await store.read(scope, (tx) => apiTokens.get(tx, parsed.id));
  if (token === null || token.expiresAtMs <= scope.nowMs()) return null;
  return secretMatches(parsed.secret, token.secretHash)
    ? { id: `token:${token.id}`, role: token.role, fp: null }
    : null;
}

/** Null for a fingerprint that nobody enrolled, for a removed node and for a deleted system. */
async function identify({ store, scope }: Context, fps: readonly string[]): Promise<(Agent | null)[]> {
  return await store.read(scope, async (tx) => {
    const found = await nodes.getMany(tx, fps.map((fp): [string] => [fp]));
    return await Promise.all(fps.map((fp, at) => {
      const node = found[at] ?? null;
      if (node === null) return systemAgent(tx, fp); // one at a time: only nodes' statements come in batches
      return node.state === "removed" ? null : agent(node.identityKey, "node");
    }));
  });
}

async function systemAgent(tx: Read, fp: string): Promise<Agent | null> {
  const system = await systemAt(tx, keys.systemByFp(fp));
  if (system === null || system.fp !== fp || system.identityKey === null || system.state === "deleted") {
    return null;
  }
  return agent(system.identityKey, "system");
}

function agent(identityKey: string, role: Agent["role"]): Agent {
  return { spki: Uint8Array.fromBase64(identityKey), role };
}
