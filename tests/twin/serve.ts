/** Puts a twin on a port of 127.0.0.1, where it can also play dead. */

export interface ServeOptions {
  /** @default a free one */
  port?: number;
  /** PEM; with it the twin speaks HTTPS. */
  tls?: { cert: string; key: string };
  /** Name in the URL; it must resolve to 127.0.0.1 and fit the certificate. @default "127.0.0.1" */
  host?: string;
}

export interface Served {
  /** The XML-RPC endpoint: `http://127.0.0.1:PORT/rpc/api`. */
  url: string;
  port: number;
  /** From now on requests are accepted and never answered, as by a server that hangs. */
  pause(): void;
  /** Answers again, the requests that waited included. */
  resume(): void;
  /** Closes the port and all connections. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export function serve(handle: (request: Request) => Promise<Response>, options: ServeOptions = {}): Served {
  const { tls, host = "127.0.0.1" } = options;
  const stopping = new AbortController();
  let gate: PromiseWithResolvers<void> | undefined;

  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: options.port ?? 0,
    signal: stopping.signal,
    onListen: () => {},
    ...tls,
  }, async (request) => {
    await gate?.promise;
    // What a dead server had not begun it never does.
    return stopping.signal.aborted ? new Response(null, { status: 503 }) : await handle(request);
  });

  function resume(): void {
    gate?.resolve();
    gate = undefined;
  }
  async function stop(): Promise<void> {
    stopping.abort();
    resume(); // else the requests that wait would keep the server from ending
    await server.finished;
  }

  const { port } = server.addr;
  return {
    url: `${tls === undefined ? "http" : "https"}://${host}:${port}/rpc/api`,
    port,
    pause: () => void (gate ??= Promise.withResolvers()),
    resume,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
