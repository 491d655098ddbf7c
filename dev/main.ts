/**
 * `deno task dev`: the whole mesh in one process on embedded defaults (SQLite, in-process bus), one HTTP port for
 * everything, and a demo cluster to look at. State stays in the data folder for the next start.
 */
import { join } from "node:path";
import { clientBind } from "../functions/client-bind/client_bind.ts";
import { director } from "../functions/director/director.ts";
import { gateway } from "../functions/gateway/gateway.ts";
import { nodeEvents } from "../functions/node-events/node_events.ts";
import { openInProcessBus } from "../lib/bus/in_process.ts";
import { credentials } from "../lib/cluster/credentials.ts";
import { ensureAdminToken } from "../lib/cluster/first_token.ts";
import { messageOf } from "../lib/errors.ts";
import { createLog } from "../lib/log.ts";
import { type Host, startHost } from "../lib/mesh/host.ts";
import { identityAt } from "../lib/mesh/key_file.ts";
import { realCrypt } from "../lib/mesh/real_crypt.ts";
import { realDisk } from "../lib/mesh/real_disk.ts";
import { realDocs } from "../lib/mesh/real_docs.ts";
import { realNet } from "../lib/mesh/real_net.ts";
import { realProbe } from "../lib/mesh/real_probe.ts";
import { realProcess } from "../lib/mesh/real_process.ts";
import { realScope } from "../lib/mesh/real_scope.ts";
import { ensureFolder, print, printError } from "../lib/mesh/real_program.ts";
import { runUntilSignal } from "../lib/mesh/run.ts";
import { createTrust } from "../lib/mesh/trust.ts";
import type { Net, Scope } from "../lib/seams.ts";
import { openSqliteStore } from "../lib/store/sqlite.ts";
import { VERSION } from "../lib/version.ts";
import { banner } from "./banner.ts";
import { type Demo, startDemo, withTwins } from "./demo.ts";
import { demoFunction } from "./demo_function.ts";
import { DEV_HELP, type DevOptions, devOptions } from "./options.ts";
import { openSqliteDisk } from "./sqlite_disk.ts";

/** Files of the data folder that `--fresh` forgets; nothing else in it is ever touched. */
const FILES = ["salar.db", "demo.db"].flatMap((name) => [name, `${name}-wal`, `${name}-shm`]);
const KEY_FILES = ["cluster.key", "admin.token"];

async function main(): Promise<void> {
  const options = devOptions(Deno.args);
  if (options.help) return print(DEV_HELP);
  await ensureFolder(options.data);
  if (options.fresh) await forget(options.data);
  await run(options);
}

async function run({ data, port, verbose }: DevOptions): Promise<void> {
  const log = createLog({
    level: verbose ? "debug" : "warn",
    nowMs: Date.now,
    write: printError,
  });
  const stopping = new AbortController();
  const scope = realScope({ name: "dev", log, signal: stopping.signal });
  const [crypt, probe, disk, outside] = [realCrypt(), realProbe(log), realDisk(), realNet()];
  const store = openSqliteStore({ path: join(data, "salar.db"), sync: "normal" });
  const bus = openInProcessBus({ scope, log });
  const demoDisk = openSqliteDisk(join(data, "demo.db"));
  const tokenFile = join(data, "admin.token");
  await ensureAdminToken(scope, { store, disk, path: tokenFile });

  let demo: Demo | null = null;
  let host: Host | null = null;
  const shared = { bus, crypt, probe, log };
  host = await startHost({
    ...shared,
    functions: [director, nodeEvents, clientBind, gateway, demoFunction(() => demo)],
    scope,
    store,
    net: withTwins(outside, (name) => demo?.node(name.replace(/\.example$/, "")) ?? null),
    signer: await identityAt(disk, join(data, "cluster.key")),
    cluster: "c-demo",
    replica: "dev",
    trust: createTrust(credentials),
    http: { hostname: "127.0.0.1", port },
    metricsRole: "public", // of this machine only, and nothing in it is secret
    docs: realDocs(),
    version: VERSION,
    processFacts: realProcess(),
  });
  const { url = "" } = host;
  // Counted from the start of the process: loading the modules is most of it.
  print(banner({ url: url ?? "", data, tokenFile, startedInMs: performance.now() }));

  const token = (await Deno.readTextFile(tokenFile)).trim();
  const agents = new AbortController();
  const agentsScope = scope.child("demo", agents.signal);
  agentsScope.spawn("demo", async () => {
    demo = await startDemo(agentsScope, {
      ...shared,
      net: throughHost(host, url ?? "", outside),
      disk: demoDisk,
      directorUrl: url ?? "",
      asAdmin: (path, body) => host.fetch(adminRequest(`${url}${path}`, token, body)),
    });
  });

  // The agents first: their polls would only be sent away by a host that drains.
  const drain = async () => {
    agents.abort();
    await host.drain();
  };
  await runUntilSignal([{ drain }], {
    log,
    async close() {
      await demo?.save();
      await bus.close();
      await store.close();
      stopping.abort();
      demoDisk.close();
      outside.close();
    },
  });
}

/** A thousand agents of one process need no sockets to reach the host beside them. */
function throughHost(host: Host, url: string, outside: Net): Net {
  return {
    ...outside,
    request: (scope: Scope, request) => {
      if (!request.url.startsWith(url)) return outside.request(scope, request);
      return host.fetch(new Request(request, { signal: scope.signal }));
    },
  };
}

function adminRequest(url: string, token: string, body: unknown): Request {
  return new Request(url, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function forget(data: string): Promise<void> {
  for (const name of [...FILES, ...KEY_FILES]) {
    await Deno.remove(join(data, name)).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}

try {
  await main();
  Deno.exit(0); // agents of a demo may still wait for what nobody will answer
} catch (error) {
  printError(messageOf(error));
  Deno.exit(1);
}
