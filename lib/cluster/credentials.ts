/** Whose token, which agent: the look-ups that the host's trust layer asks for (`lib/mesh/trust.ts`). */
import type { Context } from "../mesh/context.ts";
import type { Principal } from "../mesh/handler.ts";
import type { Agent, TrustOptions } from "../mesh/trust.ts";
import { parseToken, secretMatches } from "../secure/token.ts";
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
async function identify({ store, scope }: Context, fp: string): Promise<Agent | null> {
  return await store.read(scope, async (tx): Promise<Agent | null> => {
    const node = await nodes.get(tx, fp);
    if (node !== null) return node.state === "removed" ? null : agent(node.identityKey, "node");
    const system = await systemAt(tx, keys.systemByFp(fp));
    if (system === null || system.fp !== fp || system.identityKey === null || system.state === "deleted") {
      return null;
    }
    return agent(system.identityKey, "system");
  });
}

function agent(identityKey: string, role: Agent["role"]): Agent {
  return { spki: Uint8Array.fromBase64(identityKey), role };
}
