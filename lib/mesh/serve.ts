/** The listening half of a host: `Deno.serve`, which makes OpenTelemetry spans of requests by itself. */
import { messageOf, SalarError } from "../errors.ts";

export interface Listen {
  hostname: string;
  /** 0 takes a free one. */
  port: number;
  /** PEM texts; without them it speaks plain HTTP. */
  tls?: { cert: string; key: string };
}

export interface Listening {
  url: string;
  /** Takes no new connection, lets requests under way end. Safe to call twice. */
  shutdown(): Promise<void>;
}

/** @throws {SalarError} `bad-config` when it cannot listen there. */
export function listen(
  { hostname, port, tls }: Listen,
  answer: (request: Request) => Promise<Response>,
): Listening {
  const server = serve({ hostname, port, onListen: () => {}, ...tls }, answer);
  const host = server.addr.hostname.includes(":") ? `[${server.addr.hostname}]` : server.addr.hostname;
  let ending: Promise<void> | null = null;
  return {
    url: `${tls === undefined ? "http" : "https"}://${host}:${server.addr.port}`,
    shutdown: () => ending ??= server.shutdown(),
  };
}

function serve(
  options: Deno.ServeTcpOptions,
  answer: (request: Request) => Promise<Response>,
): Deno.HttpServer<Deno.NetAddr> {
  try {
    return Deno.serve(options, answer);
  } catch (cause) {
    const action = `Cannot listen on ${options.hostname} port ${options.port}`;
    throw new SalarError("bad-config", `${action}: ${reasonOf(cause)}`, { cause });
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.AddrInUse) {
    return "another program listens there; end it or choose another port";
  }
  if (error instanceof Deno.errors.AddrNotAvailable) return "this machine has no such address";
  return messageOf(error);
}
