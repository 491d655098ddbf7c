/**
 * The network of a real process: `fetch` and TCP connects, both ended by the scope they are given.
 *
 * N1. Certificates are always verified; `caPem` adds trust, nothing takes it away.
 * N2. Error messages name scheme, host and port only: a path or query may hold what a log must not.
 */
import { isSalarError, SalarError } from "../errors.ts";
import type { Net, Scope } from "../seams.ts";

export interface RealNetOptions {
  /** PEM certificates that are trusted besides the system's own. */
  caPem?: string | null;
}

export interface RealNet extends Net {
  /** Closes idle connections. Safe to call twice. */
  close(): void;
}

export function realNet({ caPem = null }: RealNetOptions = {}): RealNet {
  const client = Deno.createHttpClient(caPem === null ? {} : { caCerts: [caPem] });
  let closed = false;
  return {
    request: (scope, request) =>
      reach(scope, new URL(request.url).origin, () => fetch(request, { client, signal: scope.signal })),

    connectMs: (scope, { host, port }) =>
      reach(scope, `${host}:${port}`, async () => {
        const beforeMs = scope.monoMs();
        const connection = await Deno.connect({ hostname: host, port, signal: scope.signal });
        connection.close();
        return scope.monoMs() - beforeMs;
      }),

    close() {
      if (!closed) client.close();
      closed = true;
    },
  };
}

async function reach<T>(scope: Scope, target: string, connect: () => Promise<T>): Promise<T> {
  const ended = () =>
    isSalarError(scope.signal.reason) // a `deadline` stays one
      ? scope.signal.reason
      : new SalarError("cancelled", `Cannot reach ${target}: the caller stopped waiting`);
  if (scope.signal.aborted) throw ended();
  try {
    return await connect();
  } catch (cause) {
    if (scope.signal.aborted) throw ended();
    throw new SalarError("unavailable", `Cannot reach ${target}: ${reasonOf(cause)}`, { cause });
  }
}

/** The innermost reason, such as `invalid peer certificate: UnknownIssuer`; what stands before it quotes the whole URL. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause !== undefined) return reasonOf(error.cause);
  const reason = /client error \(\w+\): (.+)$/s.exec(error.message)?.[1] ?? error.message;
  return /https?:\/\//.test(reason) ? "the connection failed" : reason;
}
