/**
 * Who is it? The host's questions to the trust layer: whose token, whose request proof, whose statement.
 *
 * In: the look-ups of the functions' records (`authenticate`, `identify`). Out: a `Trust` for one host.
 * U1. What was found is remembered for CREDENTIAL_CACHE_MS; so long may a revoked credential still work.
 *     What was not found is not remembered: the next token or agent works at once, and strangers fill no memory.
 *     Agents whose statements came together are found in one look-up (`meet`): of 50,000 nodes none is remembered from
 *     one heartbeat to the next.
 * U2. A proof's nonce is used once per replica. Behind a load balancer a thief of a whole signed request (who broke
 *     TLS) has one more try per replica within the clock window: what agents ask for does no harm when repeated.
 */
import { SalarError } from "../errors.ts";
import { CLOCK_SKEW_MS_MAX, CREDENTIAL_CACHE_MAX, CREDENTIAL_CACHE_MS, PROOF_NONCES_MAX } from "../limits.ts";
import type { Scope } from "../seams.ts";
import { checkProof, type HttpRequest, proofSender } from "../secure/proof.ts";
import { type Claims, openStatement, statementSender } from "../secure/statement.ts";
import type { Context } from "./context.ts";
import type { Principal } from "./handler.ts";

export interface Agent {
  /** SPKI DER of its identity key. */
  spki: Uint8Array;
  role: "node" | "system";
}

export interface Trust {
  /** Null for a token that is unknown, expired or revoked. */
  token(context: Context, token: string): Promise<Principal | null>;
  /** @throws {TrustError} or `unauthenticated` when the proof does not hold. */
  proof(context: Context, header: string, request: HttpRequest): Promise<Principal>;
  /** Finds these agents in one look-up, so that what they say is checked without one for each. */
  meet(context: Context, fps: readonly string[]): Promise<void>;
  /** @throws {TrustError} when the statement does not hold. `atMs`: when it reached us, epoch milliseconds. */
  statement(
    context: Context,
    text: string,
    expected: { role: Agent["role"]; kind: string; atMs: number },
  ): Promise<{ claims: Claims; from: Principal }>;
}

export interface TrustOptions {
  /** Whose opaque token it is; null for nobody's. Compares in constant time (lib/secure/token.ts). */
  authenticate(context: Context, token: string): Promise<Principal | null>;
  /** The agents of these fingerprints, in their order; null where there is none or it was revoked. */
  identify(context: Context, fps: readonly string[]): Promise<(Agent | null)[]>;
}

export function createTrust({ authenticate, identify }: TrustOptions): Trust {
  const tokens = new Cache<Principal>();
  const agents = new Cache<Agent>();
  const nonces = new Nonces();
  const agentOf = (context: Context, fp: string) => agents.get(context, fp, (fps) => identify(context, fps));

  return {
    token: (context, token) => {
      // By its hash: a heap dump of the host should hold no token.
      const hash = context.crypt.sha256(new TextEncoder().encode(token)).toHex();
      return tokens.get(context, hash, async () => [await authenticate(context, token)]);
    },

    async proof(context, header, request) {
      const agent = await agentOf(context, proofSender(header));
      const { kid, n } = checkProof(header, request, {
        nowMs: context.scope.nowMs(),
        senderKey: () => agent?.spki ?? null,
        verify: context.crypt.verify,
      });
      if (agent === null || !nonces.use(`${kid} ${n}`, context.scope.monoMs())) {
        throw new SalarError(
          "unauthenticated",
          "Cannot accept request: its proof was used before, sign afresh",
        );
      }
      return principalOf(agent, kid);
    },

    meet: (context, fps) => agents.fill(context, fps, (missing) => identify(context, missing)),

    async statement(context, text, { role, kind, atMs }) {
      const kid = statementSender(text);
      const agent = await agentOf(context, kid);
      const claims = openStatement(text, {
        me: context.signer.fp,
        cluster: context.cluster,
        kinds: { [kind]: role },
        accepts: [kind],
        nowMs: atMs,
        sender: () => agent,
        verify: context.crypt.verify,
      });
      return { claims, from: principalOf({ role }, kid) };
    },
  };
}

function principalOf({ role }: Pick<Agent, "role">, fp: string): Principal {
  return { id: `${role}:${fp}`, role, fp };
}

/** The values of these keys, in their order. */
type Find<V> = (keys: readonly string[]) => Promise<(V | null)[]>;

/** Remembers what was found for CREDENTIAL_CACHE_MS, the last CREDENTIAL_CACHE_MAX of it. */
class Cache<V> {
  readonly #kept = new Map<string, { value: V; untilMs: number }>();

  async get({ scope }: Context, key: string, find: Find<V>): Promise<V | null> {
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.untilMs > scope.monoMs()) return kept.value;
    const [value = null] = await this.#find(scope, [key], find);
    return value;
  }

  async fill({ scope }: Context, keys: readonly string[], find: Find<V>): Promise<void> {
    const nowMs = scope.monoMs();
    const missing = new Set(keys.filter((key) => (this.#kept.get(key)?.untilMs ?? 0) <= nowMs));
    if (missing.size > 0) await this.#find(scope, [...missing], find);
  }

  async #find(scope: Scope, keys: readonly string[], find: Find<V>): Promise<(V | null)[]> {
    const untilMs = scope.monoMs() + CREDENTIAL_CACHE_MS; // before the look-up: a revocation during it counts from then
    const values = await find(keys);
    for (const [at, key] of keys.entries()) {
      const value = values[at] ?? null;
      this.#kept.delete(key); // the newest come last
      if (value !== null) this.#kept.set(key, { value, untilMs });
    }
    forgetOldest(this.#kept, CREDENTIAL_CACHE_MAX);
    return values;
  }
}

class Nonces {
  /** Nonce → when it may be forgotten; in the order of use, so the oldest comes first. */
  readonly #used = new Map<string, number>();

  /** False when it was used before. */
  use(nonce: string, nowMs: number): boolean {
    for (const [old, untilMs] of this.#used) {
      if (untilMs > nowMs) break;
      this.#used.delete(old);
    }
    if (this.#used.has(nonce)) return false;
    this.#used.set(nonce, nowMs + 2 * CLOCK_SKEW_MS_MAX);
    forgetOldest(this.#used, PROOF_NONCES_MAX);
    return true;
  }
}

function forgetOldest(map: Map<string, unknown>, sizeMax: number): void {
  for (const key of map.keys()) {
    if (map.size <= sizeMax) return;
    map.delete(key);
  }
}
