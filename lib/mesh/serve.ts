/**
 * The listening half of a host: `Deno.serve`, which makes OpenTelemetry spans of requests by itself.
 *
 * L1. It listens until `shutdown`. Without file descriptors left the system refuses to accept, which ends `Deno.serve` and,
 *     unheard, the process: here the requests under way go on, and the port is taken again every HTTP_LISTEN_MS.
 * L2. Deno sets no limit to how long a request's head may take or how many connections there are. A host that strangers
 *     can reach stands behind a proxy that does: deploy/haproxy.
 */
import { messageOf, SalarError } from "../errors.ts";
import { HTTP_LISTEN_MS } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Scope } from "../seams.ts";

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

type Answering = (request: Request) => Promise<Response>;
type Server = Deno.HttpServer<Deno.NetAddr>;

/** @throws {SalarError} `bad-config` when it cannot listen there. */
export function listen(scope: Scope, log: Log, listen: Listen, answer: Answering): Listening {
  let server = serve(listen, answer);
  let ending: Promise<void> | null = null;
  const closing = new AbortController();
  const life = scope.child("listener", closing.signal);
  const { hostname, port } = server.addr;

  const listenAgain = async (): Promise<Server> => {
    for (;;) { // L1: until the end of its scope
      await life.sleep(HTTP_LISTEN_MS);
      try {
        return serve({ ...listen, port }, answer);
      } catch (error) {
        log.warn("not listening", { error });
      }
    }
  };
  life.spawn("listener", async () => {
    while (!closing.signal.aborted) {
      try {
        return await server.finished;
      } catch (error) {
        log.error("listener ended", { error });
      }
      server = await listenAgain();
      log.info("listening again", { port });
    }
  });

  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return {
    url: `${listen.tls === undefined ? "http" : "https"}://${host}:${port}`,
    shutdown() {
      closing.abort();
      return ending ??= server.shutdown();
    },
  };
}

function serve({ hostname, port, tls }: Listen, answer: Answering): Server {
  try {
    return Deno.serve({ hostname, port, onListen: () => {}, ...tls }, answer);
  } catch (cause) {
    throw new SalarError("bad-config", `Cannot listen on ${hostname} port ${port}: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof Deno.errors.AddrInUse) {
    return "another program listens there; end it or choose another port";
  }
  if (error instanceof Deno.errors.AddrNotAvailable) return "this machine has no such address";
  return messageOf(error);
}
