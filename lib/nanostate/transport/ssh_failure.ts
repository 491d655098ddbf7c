/** What ssh2 and sockets say went wrong, as what it means for a host and what to do. */
import { HostError } from "./transport.ts";

/** An error as ssh2 and node:net raise it. */
export type SshError = Error & { level?: string; code?: string | number };

export type Stage = "key exchange" | "login";

/** No connection came to be. */
export function tcpFailure(cause: SshError, address: string, hostName: string): HostError {
  const code = String(cause.code ?? "");
  const what = `Cannot connect to ${address}`;
  if (code === "ETIMEDOUT") {
    return new HostError("timed-out", `${what}: ${hostName} does not answer`, { cause });
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    return new HostError("refused", `${what}: the name ${hostName} is unknown; check it, or set HostName`, {
      cause,
    });
  }
  const reason = code === "ECONNREFUSED" ? "nothing listens there" : cause.message;
  return new HostError("refused", `${what}: ${reason}; check address, port and firewall`, { cause });
}

/** A connection that broke, or was ended, before we were logged in. @param cause null when it was only closed */
export function stageFailure(
  cause: SshError | null,
  { stage, address, login }: { stage: Stage; address: string; login: string },
): HostError {
  const options = cause === null ? {} : { cause };
  const message = cause?.message ?? "";
  if (cause?.level === "client-authentication") {
    return new HostError("login", `Cannot log in to ${address}: ${login}`, options);
  }
  if (/too many authentication failures/i.test(message)) {
    const advice =
      "it ended the login before all keys were tried: set IdentityFile and IdentitiesOnly for this host";
    return new HostError("login", `Cannot log in to ${address}: ${advice}; ${login}`, options);
  }
  const closed = cause === null || cause.level === "client-socket" || /connection lost/i.test(message);
  if (closed && stage === "login") {
    const reason = "it closed the connection during the login; its log says why";
    return new HostError("login", `Cannot log in to ${address}: ${reason}; ${login}`, options);
  }
  if (closed) {
    const reason =
      "it closed the connection at once: too many logins at a time, a firewall, or no SSH server";
    return new HostError("refused", `Cannot connect to ${address}: ${reason}`, options);
  }
  return new HostError("protocol", `Cannot connect to ${address}: ${message}`, options);
}

/** A connection that had worked. @param cause null when it was only closed */
export function lostReason(cause: SshError | null, address: string): HostError {
  const reason = cause?.level === "client-timeout"
    ? "no sign of life from it any more"
    : cause?.message ?? "it was closed by the other side";
  return new HostError(
    "lost",
    `Lost the connection to ${address}: ${reason}`,
    cause === null ? {} : { cause },
  );
}
