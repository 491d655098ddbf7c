/** The listening half of a host: `Deno.serve`, which makes OpenTelemetry spans of requests by itself. */

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

export function listen(
  { hostname, port, tls }: Listen,
  answer: (request: Request) => Promise<Response>,
): Listening {
  const server = Deno.serve({ hostname, port, onListen: () => {}, ...tls }, answer);
  const host = server.addr.hostname.includes(":") ? `[${server.addr.hostname}]` : server.addr.hostname;
  let ending: Promise<void> | null = null;
  return {
    url: `${tls === undefined ? "http" : "https"}://${host}:${server.addr.port}`,
    shutdown: () => ending ??= server.shutdown(),
  };
}
