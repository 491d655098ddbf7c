/** What `deno task dev` prints: where everything is, and three things to try. */

import { resolve } from "node:path";

export interface BannerFacts {
  url: string;
  data: string;
  tokenFile: string;
  startedInMs: number;
}

/** Where `salar` looks when nothing is said. */
const USUAL = { url: "http://127.0.0.1:8480", tokenFile: ".salar/admin.token" };

export function banner({ url, data, tokenFile, startedInMs }: BannerFacts): string {
  const salar = "npx -y deno task salar";
  const usual = url === USUAL.url && tokenFile === USUAL.tokenFile;
  const first = usual ? ":" : `, after this line:

       export SALAR_SERVER=${url} SALAR_TOKEN_FILE=${resolve(tokenFile)}`;
  return `Salar runs on ${url} (up after ${(startedInMs / 1000).toFixed(1)} s, data in ${data})

  ${url}/rpc/api   Uyuni's XML-RPC API for the whole cluster (user admin, password admin)
  ${url}/docs      Salar's own API, with a form for every call
  ${url}/metrics   Prometheus   ·   /healthz   ·   /readyz

A demo cluster of 3 zones, 5 nodes and 500 systems is coming up behind it. Your administrator's token is in
${tokenFile}${usual ? "; the commands below find it there" : ""}.

Three things to try, each in another terminal${first}

  1. Drain a node and watch its systems move:
       ${salar} nodes list
       ${salar} node drain node-2.example
  2. Kill a node; after 30 s it is lost, and a drain brings its systems to the others:
       echo '{"name": "node-3"}' | ${salar} call demo.kill
       ${salar} events --follow
       ${salar} node drain node-3.example
  3. Ask the whole cluster as if it were one Uyuni server:
       python3 -c '
       import xmlrpc.client as x
       api = x.ServerProxy("${url}/rpc/api"); key = api.auth.login("admin", "admin")
       print(len(api.system.listSystems(key)), "systems on Uyuni API", api.api.getVersion())'

Ctrl-C ends it; the next start goes on where this one was (--fresh forgets it).
`;
}
