/**
 * NATS in operator mode, as `nsc` sets it up: an operator signs an account, the account signs users by JWT.
 * Source: the JWT chapter of the NATS documentation; claims of version 2.
 */
import { nkeys } from "nats";

type KeyPair = ReturnType<typeof nkeys.createUser>;

export interface NatsOperator {
  /** Lines for the server's configuration: operator, account, and a resolver in memory. */
  config: string;
  /** The text of a credentials file for a new user of the account. */
  credentials(options?: { name?: string; expiresAtMs?: number }): string;
}

/** One operator with two accounts: one with JetStream, and the system's, without which there is no JetStream. */
export function makeOperator(): NatsOperator {
  const operator = nkeys.createOperator();
  const account = nkeys.createAccount();
  const system = nkeys.createAccount();
  const unlimited = { subs: -1, data: -1, payload: -1 };
  const operatorJwt = jwt(operator, operator, { name: "test", nats: { type: "operator", version: 2 } });
  const accountJwt = (key: KeyPair, name: string, storage: Record<string, number>) => {
    const limits = {
      ...unlimited,
      imports: -1,
      exports: -1,
      wildcards: true,
      conn: -1,
      leaf: -1,
      ...storage,
    };
    return jwt(operator, key, { name, nats: { type: "account", version: 2, limits } });
  };
  const accounts = [
    [system, accountJwt(system, "SYS", {})],
    [account, accountJwt(account, "salar", { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 })],
  ] as const;
  return {
    config: [
      `operator: "${operatorJwt}"`,
      "resolver: MEMORY",
      `system_account: ${system.getPublicKey()}`,
      `resolver_preload: { ${accounts.map(([key, text]) => `${key.getPublicKey()}: "${text}"`).join(", ")} }`,
    ].join("\n"),
    credentials({ name = "functions", expiresAtMs } = {}) {
      const user = nkeys.createUser();
      const userJwt = jwt(account, user, {
        name,
        ...(expiresAtMs === undefined ? {} : { exp: Math.floor(expiresAtMs / 1_000) }),
        nats: { type: "user", version: 2, pub: {}, sub: {}, ...unlimited },
      });
      const seed = new TextDecoder().decode(user.getSeed());
      return [
        `-----BEGIN NATS USER JWT-----\n${userJwt}\n------END NATS USER JWT------\n`,
        `-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
      ].join("\n");
    },
  };
}

function jwt(issuer: KeyPair, subject: KeyPair, claims: Record<string, unknown>): string {
  const whole = {
    jti: crypto.randomUUID(),
    iat: Math.floor(Date.now() / 1_000),
    iss: issuer.getPublicKey(),
    sub: subject.getPublicKey(),
    ...claims,
  };
  const signed = [{ typ: "JWT", alg: "ed25519-nkey" }, whole].map((part) =>
    base64(encode(JSON.stringify(part)))
  ).join(".");
  return `${signed}.${base64(issuer.sign(encode(signed)))}`;
}

const encode = (text: string) => new TextEncoder().encode(text);
const base64 = (bytes: Uint8Array) => bytes.toBase64({ alphabet: "base64url", omitPadding: true });
