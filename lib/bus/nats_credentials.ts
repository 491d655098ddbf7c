/** How a client proves itself to nats-server. Files are read at each connect, so that renewed ones count. */
import {
  type Authenticator,
  credsAuthenticator,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "nats";
import type { Secret } from "../secure/secret.ts";

export type NatsCredentials =
  | { user: string; password: Secret }
  | { token: Secret }
  /** A file with a user JWT and its seed, as `nsc` writes it. */
  | { credsFile: string }
  /** `SU…`: the seed of a user nkey. */
  | { nkeySeed: Secret };

export function authenticatorOf(credentials: NatsCredentials): Authenticator {
  if ("user" in credentials) {
    const { user, password } = credentials;
    return usernamePasswordAuthenticator(user, () => password.reveal());
  }
  if ("token" in credentials) return tokenAuthenticator(() => credentials.token.reveal());
  if ("credsFile" in credentials) return credsFileAuthenticator(credentials.credsFile);
  return nkeyAuthenticator(() => new TextEncoder().encode(credentials.nkeySeed.reveal()));
}

/** An authenticator that throws ends the connection for good: while the file is gone or half written, the last one counts. */
function credsFileAuthenticator(path: string): Authenticator {
  let last: Authenticator | null = null;
  return (nonce) => {
    try {
      const fresh = credsAuthenticator(Deno.readFileSync(path));
      const proof = fresh(nonce);
      last = fresh;
      return proof;
    } catch (error) {
      if (last === null) throw error;
      return last(nonce);
    }
  };
}
