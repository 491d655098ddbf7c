/**
 * `salar-node`: the node agent of one Uyuni server. The only file here that chooses real parts.
 *
 *     deno run -P=node-agent agents/node/main.ts run|setup|uninstall|status|config [--key value …]
 * X1. One agent per folder: a lock that the kernel drops with its holder, whatever ends it.
 */
import { hostname, loadavg } from "node:os";
import type { Bus } from "../../lib/bus/bus.ts";
import { connectNats } from "../../lib/bus/nats.ts";
import { natsAccess } from "../../lib/bus/nats_config.ts";
import { installNatsGuard } from "../../lib/bus/nats_errors.ts";
import { CAPTURE_TABLES } from "../../lib/cluster/capture_tables.ts";
import { configHelp, explain, readSecret } from "../../lib/config.ts";
import { SalarError } from "../../lib/errors.ts";
import { createLog, type Log } from "../../lib/log.ts";
import { identityAt } from "../../lib/mesh/key_file.ts";
import { realCrypt } from "../../lib/mesh/real_crypt.ts";
import { realDisk } from "../../lib/mesh/real_disk.ts";
import { realNet } from "../../lib/mesh/real_net.ts";
import { realProbe } from "../../lib/mesh/real_probe.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { readAuthority } from "../../lib/mesh/real_tls.ts";
import { lockFolder, logWriter, print, readConfig, runProgram } from "../../lib/mesh/real_program.ts";
import { runUntilSignal } from "../../lib/mesh/run.ts";
import type { Disk, Net, Scope } from "../../lib/seams.ts";
import { uyuniClient } from "../../lib/uyuni/client.ts";
import { VERSION } from "../../lib/version.ts";
import { postgresCapture } from "./capture.ts";
import { DatabaseConfig, NodeConfig } from "./config.ts";
import { enrolNode } from "./enrol.ts";
import { runNodeAgent } from "./logic.ts";
import { printPlan, setup, uninstall } from "./setup_run.ts";
import { connectSql, type DatabaseOptions, lazySql } from "./sql.ts";
import { type NanostateOptions, nanostateRunner } from "./real_state_runner.ts";
import { readState } from "./state.ts";
import { type NodeTrust, nodeTrust } from "./trust.ts";
import { uyuniApi } from "./uyuni_api.ts";

const SQL_NAME = "salar-node";

const HELP =
  `salar-node: reports a Uyuni server's changes to Salar, and carries out what Salar decides for it.

  run                     enrol where needed, then work until a signal
  setup [--dry-run]       prepare the database for change capture; --dry-run prints the SQL
  uninstall [--dry-run]   take all of that away again
  status                  whether this node is enrolled, and how far it is
  config                  what is configured, and where each value comes from

Keys of the configuration, as flag and in the environment:
${configHelp(NodeConfig)}
`;

const COMMANDS = new Map<string, (args: string[]) => Promise<void>>([
  ["run", run],
  ["setup", (args) => prepare(args, setup)],
  ["uninstall", (args) => prepare(args, uninstall)],
  ["status", status],
  ["config", async (args) => print(explain(await readConfig(NodeConfig, args)))],
]);

async function run(args: string[]): Promise<void> {
  const config = (await readConfig(NodeConfig, args)).value;
  const log = createLog({ level: config.logLevel, nowMs: Date.now, write: logWriter() });
  installNatsGuard(log);
  using _lock = await lockFolder(config.folder);
  const stopping = new AbortController();
  const scope = realScope({ name: "node-agent", log, signal: stopping.signal });
  const disk = realDisk();
  const crypt = realCrypt();
  const net = realNet({ caPem: await readAuthority(disk, "caFile", config.caFile) });
  const trust = nodeTrust(await identityAt(disk, `${config.folder}/identity.pem`), crypt);
  const database = await databaseOf(disk, config);
  const sql = lazySql(database, SQL_NAME);

  if (config.setup) await prepareDatabase(database, log);
  if (await readState(disk, config.folder) === null) await enrol(scope, { config, disk, net, trust });
  const bus = await openBus(scope, config, { disk, log, fp: trust.fp });
  const agent = runNodeAgent(scope, {
    bus,
    disk,
    folder: config.folder,
    trust,
    log,
    probe: realProbe(log),
    runner: nanostateRunner({ disk, ...statesOf(config) }),
    source: postgresCapture({ database, facts: sql, disk, originPath: `${config.folder}/origin.json`, log }),
    api: uyuniApi({
      uyuni: uyuniClient({
        url: new URL("/rpc/api", config.uyuniUrl).href,
        user: config.uyuniUser,
        password: (await readSecret(disk, "uyuniPasswordFile", config.uyuniPasswordFile)).reveal(),
        request: (request) => net.request(scope, request),
        signal: stopping.signal,
      }),
      folder: config.folder,
      pki: config.pkiFolder,
      disk,
      sql,
      loadAverage: () => loadavg()[1] ?? 0,
      agentVersion: VERSION,
    }),
  });
  const ended = agent.catch((error) => {
    if (!stopping.signal.aborted) throw error;
  });
  const drain = () => {
    stopping.abort();
    return ended;
  };
  const close = async () => {
    await bus.close();
    await sql.close();
    net.close();
  };
  await Promise.race([ended, runUntilSignal([{ drain }], { log, close })]);
}

interface Enrolment {
  config: NodeConfig;
  disk: Disk;
  net: Net;
  trust: NodeTrust;
}

async function enrol(scope: Scope, { config, disk, net, trust }: Enrolment): Promise<void> {
  const { folder, directorUrl, joinTokenFile, capacity, weight, uyuniUrl, pkiFolder } = config;
  if (directorUrl === undefined) {
    throw new SalarError(
      "bad-config",
      "Cannot enrol: --director-url is needed, this node is not enrolled yet",
    );
  }
  const name = config.name ?? hostname();
  await enrolNode(scope, {
    net,
    disk,
    folder,
    trust,
    directorUrl,
    token: (await readSecret(disk, "joinTokenFile", joinTokenFile)).reveal().trim(),
    facts: {
      name,
      machineId: config.machineId ?? (await Deno.readTextFile("/etc/machine-id")).trim(),
      apiUrl: uyuniUrl,
      master: config.master ?? name,
      masterKey: await Deno.readTextFile(`${pkiFolder}/master.pub`),
      capacity,
      weight,
      versions: { agent: VERSION },
    },
  });
}

function statesOf(config: NodeConfig): Omit<NanostateOptions, "disk"> {
  const { statesFolders, secretsFolder, ansibleFolder = null, stagingKeyFile, knownHostsFile, stagingUser } =
    config;
  const ssh = stagingKeyFile === undefined
    ? null
    : { keyFile: stagingKeyFile, knownHostsFile, user: stagingUser };
  return { statesFolders, secretsFolder, ansibleFolder, ssh };
}

interface BusParts {
  disk: Disk;
  log: Log;
  fp: string;
}

async function openBus(scope: Scope, config: NodeConfig, { disk, log, fp }: BusParts): Promise<Bus> {
  return await connectNats(scope, {
    servers: config.natsServers,
    replicas: 1, // agents make no streams
    name: `node ${config.name ?? hostname()}`,
    inboxPrefix: `_I.${fp}`, // the only one that its account may hear: deploy/nats/accounts.conf
    log,
    ...await natsAccess(disk, config),
  });
}

async function databaseOf(disk: Disk, config: NodeConfig | DatabaseConfig): Promise<DatabaseOptions> {
  const { databaseHost, databasePort, databaseName, databaseUser, databasePasswordFile, databaseCaFile } =
    config;
  return {
    host: databaseHost,
    port: databasePort,
    database: databaseName,
    user: databaseUser,
    password: await readSecret(disk, "databasePasswordFile", databasePasswordFile),
    ca: await readAuthority(disk, "databaseCaFile", databaseCaFile),
  };
}

/** With `--setup`. A plan that cannot be carried out ends the program, with what must be mended. */
async function prepareDatabase(database: DatabaseOptions, log: Log): Promise<void> {
  const sql = await connectSql(database, SQL_NAME);
  try {
    const plan = await setup(sql, CAPTURE_TABLES, { dryRun: false });
    if (plan.problems.length > 0) {
      throw new SalarError("bad-config", `Cannot prepare the database:\n${printPlan(plan)}`);
    }
    log.info("database prepared", { steps: plan.steps.length });
  } finally {
    await sql.close();
  }
}

async function prepare(args: string[], work: typeof setup | typeof uninstall): Promise<void> {
  const config = (await readConfig(DatabaseConfig, args)).value;
  const sql = await connectSql(await databaseOf(realDisk(), config), SQL_NAME);
  try {
    const plan = await work(sql, CAPTURE_TABLES, { dryRun: config.dryRun });
    print(printPlan(plan));
    if (plan.problems.length > 0) {
      throw new SalarError("bad-config", "Nothing was changed: see the problems above");
    }
  } finally {
    await sql.close();
  }
}

async function status(args: string[]): Promise<void> {
  const config = (await readConfig(DatabaseConfig, args)).value;
  const state = await readState(realDisk(), config.folder);
  if (state === null) return print("not enrolled");
  print(`node ${state.fp}\ncluster ${state.cluster}, zone ${state.zone}`);
  print(`directives done: up to number ${state.done}; reports to be sent: ${state.reports.length}`);
}

if (import.meta.main) Deno.exit(await runProgram({ commands: COMMANDS, help: HELP }, Deno.args));
