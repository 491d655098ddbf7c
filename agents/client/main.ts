/**
 * `salar-client`: the client agent of one system. The only file here that chooses real parts.
 *
 *     deno run -P=client-agent agents/client/main.ts run|enrol|status|config|move --dry-run …
 * X1. One agent per folder: a lock that the kernel drops with its holder, whatever ends it.
 */
import { PublicPem } from "../../lib/cluster/types.ts";
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
import {
  lockFolder,
  logWriter,
  print,
  printError,
  readConfig,
  runProgram,
} from "../../lib/mesh/real_program.ts";
import { runUntilSignal } from "../../lib/mesh/run.ts";
import { ClientConfig, LocalConfig, PreviewConfig } from "./config.ts";
import { directorAt } from "./director.ts";
import { type ClientAgentDeps, enrolled, runClientAgent } from "./logic.ts";
import { previewMove, readJournal } from "./repoint.ts";
import { realCommands } from "./real_commands.ts";
import { findSalt, restartBySystemd, saltMinion } from "./salt_minion.ts";
import { readState } from "./state.ts";
import { clientTrust } from "./trust.ts";

const HELP = `salar-client: keeps the Salt minion of this system with the node that Salar chose for it.

  run                                   enrol where needed, then follow the director until a signal
  enrol                                 enrol only, and say under which id
  status                                who this system is, which master it follows, what its last move came to
  config                                what is configured, and where each value comes from
  move --dry-run --to HOST --key FILE   what a move to that master would change; nothing is touched

Keys of the configuration, as flag and in the environment:
${configHelp(ClientConfig)}

move --dry-run takes besides:
${configHelp(PreviewConfig.pick({ dryRun: true, to: true, key: true }))}
`;

const COMMANDS = new Map<string, (args: string[]) => Promise<void>>([
  ["run", run],
  ["enrol", enrol],
  ["status", status],
  ["config", showConfig],
  ["move", preview],
]);

async function run(args: string[]): Promise<void> {
  const config = (await readConfig(ClientConfig, args)).value;
  const log = createLog({ level: config.logLevel, nowMs: Date.now, write: logWriter() });
  using _lock = await lockFolder(config.folder);
  const stopping = new AbortController();
  const scope = realScope({ name: "client-agent", log, signal: stopping.signal });
  const { deps, net } = await realDeps(config, log);
  const agent = runClientAgent(scope, deps);
  const ended = agent.catch((error) => {
    if (!stopping.signal.aborted) throw error;
  });
  const drain = () => {
    stopping.abort();
    return ended;
  };
  await Promise.race([
    ended,
    runUntilSignal([{ drain }], { log, close: () => Promise.resolve(net.close()) }),
  ]);
}

async function enrol(args: string[]): Promise<void> {
  const config = (await readConfig(ClientConfig, args)).value;
  using _lock = await lockFolder(config.folder);
  const log = createLog({ level: config.logLevel, nowMs: Date.now, write: printError });
  const { deps, net } = await realDeps(config, log);
  const director = directorAt({ url: deps.directorUrl, net, trust: deps.trust });
  const { id, zone, cluster } = await enrolled(realScope({ name: "enrol", log }), deps, director);
  print(`system ${id} of cluster ${cluster}, zone ${zone}`);
  net.close();
}

async function status(args: string[]): Promise<void> {
  const config = (await readConfig(LocalConfig, args)).value;
  const disk = realDisk();
  const { minion, net } = await realMinion(config);
  const state = await readState(disk, config.folder);
  const journal = await readJournal({ disk, crypt: realCrypt(), minion, folder: config.folder });
  const { master, problems } = await minion.setting();
  net.close();
  print(
    state === null ? "not enrolled" : `system ${state.id} of cluster ${state.cluster}, zone ${state.zone}`,
  );
  print(`master: ${master ?? "none named"}`);
  for (const problem of problems) print(`cannot be moved: ${problem}`);
  if (journal !== null) {
    const { order, step, reason } = journal;
    print(`last move: number ${order.seq} to ${order.master}: ${step}${reason && ` (${reason})`}`);
  }
  if (state !== null && state.reports.length > 0) print(`reports to be sent: ${state.reports.length}`);
}

async function showConfig(args: string[]): Promise<void> {
  print(explain(await readConfig(ClientConfig, args)));
}

async function preview(args: string[]): Promise<void> {
  const config = (await readConfig(PreviewConfig, args)).value;
  const { minion, net } = await realMinion(config);
  const masterKey = PublicPem.safeParse(await Deno.readTextFile(config.key));
  if (!masterKey.success) {
    throw new SalarError("bad-config", `Cannot show move: ${config.key} holds no public key in PEM`);
  }
  const deps = { disk: realDisk(), crypt: realCrypt(), minion, folder: config.folder };
  print(await previewMove(deps, { master: config.to, masterKey: masterKey.data }));
  net.close();
}

// --- Real parts ----------------------------------------------------------------------------------------------

async function realDeps(config: ClientConfig, log: Log) {
  const { disk, crypt, minion, net } = await realMinion(config);
  const identity = await identityAt(disk, `${config.folder}/identity.pem`);
  const deps: ClientAgentDeps = {
    disk,
    crypt,
    minion,
    net,
    log,
    trust: clientTrust(identity, crypt),
    probe: realProbe(log),
    folder: config.folder,
    directorUrl: config.directorUrl,
    name: config.name ?? Deno.hostname(),
    joinToken: async () => (await readSecret(disk, "joinTokenFile", config.joinTokenFile)).reveal().trim(),
  };
  return { deps, net };
}

async function realMinion(config: LocalConfig) {
  const disk = realDisk();
  const salt = await findSalt(disk, config.root);
  if (salt === null) {
    throw new SalarError(
      "bad-config",
      `Cannot find a Salt minion: neither bundle nor classic below ${config.root}/etc`,
    );
  }
  const net = realNet({ caPem: await readAuthority(disk, "caFile", config.caFile) });
  const minion = saltMinion({
    disk,
    net,
    commands: realCommands(),
    configFolder: salt.configFolder,
    restart: config.restart ?? restartBySystemd(salt.service),
    saltCall: config.saltCall ?? [salt.saltCall],
    verifyMs: config.verifyMs,
  });
  return { disk, crypt: realCrypt(), minion, net };
}

if (import.meta.main) Deno.exit(await runProgram({ commands: COMMANDS, help: HELP }, Deno.args));
