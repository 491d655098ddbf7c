/**
 * A real salt-minion with the file layout of a system that Uyuni has onboarded, in a folder instead of `/`.
 *
 * `<root>/etc/salt/minion.d/susemanager.conf` names the master, `<root>/etc/salt/pki/minion/minion_master.pub`
 * holds that master's key. Without systemd, `restartCommand` is what a client agent runs to restart it; the
 * handle here follows, since a daemon's state is its pid file.
 */
import { createHash } from "node:crypto";
import { exists } from "./cache.ts";
import {
  type DaemonSpec,
  isRunning,
  killDaemon,
  type Part,
  partFolder,
  startDaemon,
  stopDaemon,
} from "./daemon.ts";
import { ensureSalt, type SaltLine, saltUser, writeSaltConfig } from "./salt.ts";

export interface SaltMinionOptions {
  line: SaltLine;
  id: string;
  /** The master's address. */
  master: string;
  /** Static grains; `machine_id` is one of its own unless given, since all minions here share one machine. */
  grains?: Record<string, unknown>;
}

export interface SaltMinion extends Part {
  line: SaltLine;
  id: string;
  machineId: string;
  /** What stands for `/`. */
  root: string;
  /** `<root>/etc/salt`: `minion`, `minion.d/`, `pki/minion/`. */
  configFolder: string;
  logFile: string;
  /** The minion's public key, PEM. */
  publicKey(): Promise<string>;
  /** True while its process lives, which is no proof that it has a master. */
  isRunning(): Promise<boolean>;
  /** Program and arguments that restart it; any process may run it. */
  restartCommand: string[];
  /** Program and arguments to which a Salt function is added, such as `test.ping`. Wrap it in a time limit: it can hang. */
  saltCall: string[];
}

/** Starts a minion; resolves when it has a key of its own, which it then offers to the master. */
export async function startSaltMinion(options: SaltMinionOptions): Promise<SaltMinion> {
  const { line, id, master } = options;
  const salt = await ensureSalt(line);
  const folder = await partFolder("sn");
  const root = folder.path;
  const configFolder = `${root}/etc/salt`;
  const pkiFolder = `${configFolder}/pki/minion`;
  const logFile = `${root}/log`;
  const grains = { machine_id: createHash("md5").update(root).digest("hex"), ...options.grains };
  await Deno.mkdir(`${configFolder}/minion.d`, { recursive: true });
  await writeSaltConfig(`${configFolder}/minion`, {
    id,
    user: saltUser(),
    root_dir: root,
    pki_dir: pkiFolder,
    cachedir: `${root}/cache`,
    sock_dir: `${root}/run`,
    pidfile: `${root}/run/salt-minion.pid`,
    log_file: logFile,
    log_level_logfile: "info",
    // The defaults (10 s) are for thousands of minions that come back at once.
    acceptance_wait_time: 1,
    acceptance_wait_time_max: 2,
    grains,
  });
  // As Uyuni writes it at onboarding.
  await writeSaltConfig(`${configFolder}/minion.d/susemanager.conf`, {
    master,
    server_id_use_crc: "adler32",
    enable_legacy_startup_events: false,
    enable_fqdns_grains: false,
    start_event_grains: ["machine_id", "saltboot_initrd", "susemanager"],
  });
  const [command, ...args] = salt.command("salt-minion");
  const spec: DaemonSpec = {
    name: "salt-minion",
    folder: root,
    command,
    args: [...args, "-c", configFolder],
    graceMs: 3_000, // of the 5 to 10 s that it would take
    ownPidFile: `${root}/run/salt-minion.pid`,
  };
  const specFile = `${root}/daemon.json`;
  await Deno.writeTextFile(specFile, JSON.stringify(spec));
  const start = () => startDaemon(spec, () => exists(`${pkiFolder}/minion.pub`));
  const stop = async () => {
    await killDaemon(spec); // it takes 5 to 10 s over a polite stop, and its folder goes away anyway
    await folder.remove();
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  const control = new URL("./daemon_control.ts", import.meta.url).pathname;
  return {
    line,
    id,
    machineId: `${grains.machine_id}`,
    root,
    configFolder,
    logFile,
    publicKey: () => Deno.readTextFile(`${pkiFolder}/minion.pub`),
    isRunning: () => isRunning(spec),
    restartCommand: [Deno.execPath(), "run", "-A", control, specFile, "restart"],
    saltCall: [...salt.command("salt-call"), "-c", configFolder, "--out=json"],
    kill: () => killDaemon(spec),
    async restart() {
      await stopDaemon(spec);
      await start();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
