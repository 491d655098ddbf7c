/**
 * Runs any set of functions in one process. The one file that chooses backends.
 *
 *     deno run -P=functions functions/main.ts run|config --functions director,gateway [--key value …]
 */
import { hostname } from "node:os";
import { join } from "node:path";
import type { Bus } from "../lib/bus/bus.ts";
import { openInProcessBus } from "../lib/bus/in_process.ts";
import { connectNats } from "../lib/bus/nats.ts";
import { natsAccess } from "../lib/bus/nats_config.ts";
import { installNatsGuard } from "../lib/bus/nats_errors.ts";
import { credentials } from "../lib/cluster/credentials.ts";
import { ensureAdminToken } from "../lib/cluster/first_token.ts";
import { configHelp, explain } from "../lib/config.ts";
import { createLog, type Log } from "../lib/log.ts";
import type { MeshFunction } from "../lib/mesh/function.ts";
import { startHost } from "../lib/mesh/host.ts";
import { identityAt } from "../lib/mesh/key_file.ts";
import { realCrypt } from "../lib/mesh/real_crypt.ts";
import { realDisk } from "../lib/mesh/real_disk.ts";
import { realDocs } from "../lib/mesh/real_docs.ts";
import { realNet } from "../lib/mesh/real_net.ts";
import { realProbe } from "../lib/mesh/real_probe.ts";
import { realProcess } from "../lib/mesh/real_process.ts";
import { realScope } from "../lib/mesh/real_scope.ts";
import { nameSpan } from "../lib/mesh/real_spans.ts";
import { readAuthority, readServerTls } from "../lib/mesh/real_tls.ts";
import { ensureFolder, logWriter, print, readConfig, runProgram } from "../lib/mesh/real_program.ts";
import { runUntilSignal } from "../lib/mesh/run.ts";
import { createTrust } from "../lib/mesh/trust.ts";
import type { Scope } from "../lib/seams.ts";
import { refuseHalfImported } from "../lib/store/portable.ts";
import { openStore } from "../lib/store/store_config.ts";
import { VERSION } from "../lib/version.ts";
import { clientBind } from "./client-bind/client_bind.ts";
import { FUNCTION_NAMES, FunctionsConfig } from "./config.ts";
import { director } from "./director/director.ts";
import { gateway } from "./gateway/gateway.ts";
import { nodeEvents } from "./node-events/node_events.ts";

const FUNCTIONS: Record<typeof FUNCTION_NAMES[number], MeshFunction> = {
  director,
  "node-events": nodeEvents,
  "client-bind": clientBind,
  gateway,
};

const HELP = `Run functions of Salar in this process.

  run      run until SIGTERM; a second signal ends at once
  config   what is configured, and where each value comes from

Every key is a flag, an environment variable, or a member of the file:
${configHelp(FunctionsConfig)}
`;

const COMMANDS = new Map<string, (args: string[]) => Promise<void>>([
  ["run", async (args) => run((await readConfig(FunctionsConfig, args)).value)],
  ["config", async (args) => print(explain(await readConfig(FunctionsConfig, args)))],
]);

async function run(config: FunctionsConfig): Promise<void> {
  const log = createLog({ level: config.logLevel, nowMs: Date.now, write: logWriter() });
  installNatsGuard(log);
  const stopping = new AbortController();
  const scope = realScope({ name: "functions", log, signal: stopping.signal });
  const disk = realDisk();
  const tls = await readServerTls(disk, config);
  const caPem = await readAuthority(disk, "nodeCaFile", config.nodeCaFile);
  await ensureFolder(config.dataFolder);
  const inData = (path: string | undefined, file: string) => path ?? join(config.dataFolder, file);

  const name = config.replica ?? replicaName(config.functions);
  const store = await openStore(scope, config, { defaultPath: inData(undefined, "salar.db"), name, log });
  await refuseHalfImported(scope, store);
  const net = realNet({ caPem });
  const bus = await openBus(scope, config, { name, log });
  if (config.functions.includes("director")) {
    await ensureAdminToken(scope, { store, disk, path: inData(config.adminTokenFile, "admin.token") });
  }
  const host = await startHost({
    functions: config.functions.map((name) => FUNCTIONS[name]),
    scope,
    store,
    bus,
    net,
    crypt: realCrypt(),
    signer: await identityAt(disk, inData(config.clusterKeyFile, "cluster.key")),
    probe: realProbe(log),
    log,
    cluster: config.cluster,
    replica: name,
    trust: createTrust(credentials),
    http: { hostname: config.httpHost, port: config.httpPort, ...(tls === null ? {} : { tls }) },
    metricsRole: config.metricsRole,
    docs: realDocs(),
    onRoute: nameSpan,
    version: VERSION,
    processFacts: realProcess(),
  });
  await runUntilSignal([host], {
    log,
    async close() {
      await bus.close();
      await store.close();
      stopping.abort();
      net.close();
    },
  });
}

async function openBus(
  scope: Scope,
  config: FunctionsConfig,
  { name, log }: { name: string; log: Log },
): Promise<Bus> {
  if (config.natsServers === undefined) return openInProcessBus({ scope, log });
  return await connectNats(scope, {
    servers: config.natsServers,
    replicas: config.natsReplicas,
    name,
    log,
    ...await natsAccess(realDisk(), config),
  });
}

/** Two replicas of one function on one host need `--replica`; the audit lanes tell them apart. */
function replicaName(functions: readonly string[]): string {
  const host = hostname().toLowerCase().replace(/[^a-z0-9-]+/g, "-").slice(0, 30);
  return `${host}-${functions.join("-")}`.slice(0, 63).replace(/^-+|-+$/g, "");
}

if (import.meta.main) Deno.exit(await runProgram({ commands: COMMANDS, help: HELP }, Deno.args));
