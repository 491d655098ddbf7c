/** A load balancer as sites have one in front of Salar: by path to the function, round robin over its replicas. */

export interface Balancer {
  url: string;
  stop(): Promise<void>;
}

/** The first rule whose prefix fits decides; each names the base addresses of the replicas. */
export type Rules = readonly (readonly [prefix: string, replicas: readonly string[]])[];

export function startBalancer(rules: Rules): Balancer {
  let turn = 0;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const { pathname, search } = new URL(request.url);
    const replicas = rules.find(([prefix]) => pathname.startsWith(prefix))?.[1] ?? [];
    const body = request.body === null ? null : await request.bytes();
    for (let attempt = 0; attempt < replicas.length; attempt++) {
      const replica = replicas[turn++ % replicas.length] ?? "";
      try {
        return await fetch(`${replica}${pathname}${search}`, {
          method: request.method,
          headers: request.headers,
          body,
          signal: request.signal,
          redirect: "manual",
        });
      } catch {
        // This replica is down. What it had begun is safe to repeat: every change of Salar is.
      }
    }
    return Response.json({ detail: "no replica answers" }, { status: 503 });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    stop: () => server.shutdown(),
  };
}
