/**
 * What npm:nats throws, in the codes of Salar; and the one error of it that no caller can catch.
 */
import { NatsError } from "nats";
import { messageOf, SalarError } from "../errors.ts";
import type { Log } from "../log.ts";

/** Errors of the first connect. */
export function connectError(action: string, error: unknown): SalarError {
  if (error instanceof NatsError && (error.isAuthError() || error.isAuthTimeout())) {
    return new SalarError("unauthenticated", `${action}: the server refuses our credentials`, {
      cause: error,
    });
  }
  const reason = error instanceof NatsError && error.code === "CONNECTION_REFUSED"
    ? "nobody answers there"
    : error instanceof NatsError && error.code === "SERVER_OPT_NA"
    ? "the server offers no TLS"
    : error instanceof NatsError && error.code === "TIMEOUT"
    ? "no answer in time; a server that wants a client certificate (tls.certFile) ends the connection like this"
    : messageOf(error ?? "the connection ended at once");
  return new SalarError("unavailable", `${action}: ${reason}`, { cause: error });
}

/** Errors of a live connection. */
export function natsError(action: string, error: unknown): SalarError {
  if (error instanceof NatsError && error.isPermissionError()) {
    return new SalarError("forbidden", `${action}: the server does not allow it`, { cause: error });
  }
  return new SalarError("unavailable", `${action}: ${messageOf(error)}`, { cause: error });
}

/**
 * Keeps a process alive that a NATS server refuses.
 *
 * On Deno a refused or revoked connection raises, in some of the cases, an uncaught socket error after npm:nats has
 * taken its own listeners off the socket (2.29.3; on Node never). `main.ts` of each program on the bus installs this
 * once. It swallows only errors of a connection (reset, broken pipe, a TLS alert) whose stack lies wholly inside the
 * runtime, so that no code of ours or of a library could have caught them; anything else ends the process as before.
 * Answers how to take it away again.
 */
export function installNatsGuard(log: Log): () => void {
  const onError = (event: ErrorEvent) => guard(event, event.error);
  const onRejection = (event: PromiseRejectionEvent) => guard(event, event.reason);
  const guard = (event: Event, error: unknown) => {
    if (!isStraySocketError(error)) return;
    event.preventDefault();
    log.warn("bus socket ended late", { error });
  };
  globalThis.addEventListener("error", onError);
  globalThis.addEventListener("unhandledrejection", onRejection);
  return () => {
    globalThis.removeEventListener("error", onError);
    globalThis.removeEventListener("unhandledrejection", onRejection);
  };
}

/** True for an error of a socket that was raised by the runtime itself, with no other code on the stack. */
export function isStraySocketError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const ofSocket = /\b(ECONNRESET|EPIPE|ECONNABORTED)\b|received fatal alert/.test(error.message);
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  return ofSocket && frames.length > 0 && frames.every((frame) => /\b(ext|node|deno):/.test(frame));
}
