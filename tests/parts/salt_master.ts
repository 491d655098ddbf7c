/**
 * A real salt-master on a loopback address of its own, without systemd.
 *
 * Masters share the ports 4505 and 4506 as in production; addresses keep them apart. SIGKILL leaves pid files
 * that would stop the next start: they are removed.
 */
import { SalarError } from "../../lib/errors.ts";
import { exists } from "./cache.ts";
import { run } from "./command.ts";
import { type DaemonSpec, killDaemon, type Part, partFolder, startDaemon, stopDaemon } from "./daemon.ts";
import { ensureSalt, type SaltLine, saltUser, writeSaltConfig } from "./salt.ts";
import { listenToSalt, type SaltEvents } from "./salt_events.ts";
import { freeLoopback, isListening } from "./wait.ts";

const PUBLISH_PORT = 4505;
const RETURN_PORT = 4506;
const PING_S_MAX = 10;

export interface SaltMasterOptions {
  line: SaltLine;
  /** 127.x.y.z; a free one unless given. */
  address?: string;
  /** More master settings. */
  settings?: Record<string, unknown>;
}

export interface SaltMaster extends Part {
  line: SaltLine;
  address: string;
  /** Folder with the file `master`, to be given to Salt's programs as `-c`. */
  configFolder: string;
  pkiFolder: string;
  /** The master's public key, PEM, as its own file has it (with a newline at the end). */
  masterPublicKey(): Promise<string>;
  /** Ids with an accepted key, sorted. */
  acceptedKeys(): Promise<string[]>;
  /** Ids that wait for acceptance, sorted. */
  pendingKeys(): Promise<string[]>;
  /** Accepts this key (PEM) for this id, seen yet or not; also when another one is pending. */
  acceptKey(id: string, pem: string): Promise<void>;
  /** Accepts the key that `id` itself has offered. */
  acceptPending(id: string): Promise<void>;
  /** Starts to listen; nothing that happens after it resolved is missed. */
  events(): Promise<SaltEvents>;
  /** True when the minion answers `test.ping` through this master. A miss takes about 5 s, and 10 s at most. */
  ping(id: string): Promise<boolean>;
}

/** Starts a master with a key of its own and waits until it accepts minions: about 2 s. */
export async function startSaltMaster(options: SaltMasterOptions): Promise<SaltMaster> {
  const { line, address = freeLoopback([PUBLISH_PORT, RETURN_PORT]) } = options;
  const salt = await ensureSalt(line);
  const folder = await partFolder("sm");
  const root = folder.path;
  const configFolder = `${root}/etc/salt`;
  const pkiFolder = `${configFolder}/pki/master`;
  await Deno.mkdir(configFolder, { recursive: true });
  await writeSaltConfig(`${configFolder}/master`, {
    interface: address,
    user: saltUser(),
    root_dir: root,
    pki_dir: pkiFolder,
    cachedir: `${root}/cache`,
    sock_dir: `${root}/run`,
    pidfile: `${root}/run/salt-master.pid`,
    log_file: `${root}/log`,
    worker_threads: 2,
    timeout: 3,
    gather_job_timeout: 2,
    ...options.settings,
  });
  const [command, ...args] = salt.command("salt-master");
  const spec: DaemonSpec = {
    name: "salt-master",
    folder: root,
    command,
    args: [...args, "-c", configFolder],
    graceMs: 5_000,
    ownPidFile: `${root}/run/salt-master.pid`,
  };
  const isReady = async () =>
    await isListening(address, PUBLISH_PORT) && await isListening(address, RETURN_PORT);
  const start = () => startDaemon(spec, isReady);
  const stop = async () => {
    await killDaemon(spec); // a polite stop takes seconds, and its folder goes away anyway
    await folder.remove();
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }

  const acceptKey = async (id: string, pem: string) => {
    // A file in the keys' own folder would be listed as a key until it is renamed.
    const unfinished = `${pkiFolder}/.${id}`;
    await Deno.writeTextFile(unfinished, pem, { mode: 0o600 });
    await Deno.mkdir(`${pkiFolder}/minions`, { recursive: true });
    await Deno.rename(unfinished, `${pkiFolder}/minions/${id}`);
    await Deno.remove(`${pkiFolder}/minions_pre/${id}`).catch(() => {}); // most often there is none
  };
  return {
    line,
    address,
    configFolder,
    pkiFolder,
    masterPublicKey: () => Deno.readTextFile(`${pkiFolder}/master.pub`),
    acceptedKeys: () => listKeys(`${pkiFolder}/minions`),
    pendingKeys: () => listKeys(`${pkiFolder}/minions_pre`),
    acceptKey,
    async acceptPending(id) {
      const offered = `${pkiFolder}/minions_pre/${id}`;
      if (!await exists(offered)) {
        throw new SalarError("not-found", `Cannot accept "${id}": it has offered no key`);
      }
      await acceptKey(id, await Deno.readTextFile(offered));
    },
    events: () => listenToSalt(salt, `${configFolder}/master`),
    async ping(id) {
      const [program, ...before] = salt.command("salt");
      const ping = [...before, "-c", configFolder, "--out=json", "--static", id, "test.ping"];
      // `timeout` ends with 124; Salt with 1 or 2 when nobody answers.
      const answer = await run("timeout", [`${PING_S_MAX}`, program, ...ping], { okCodes: [0, 1, 2, 124] });
      return answer.code === 0 && new RegExp(`"${RegExp.escape(id)}": true`).test(answer.stdout);
    },
    kill: () => killDaemon(spec),
    async restart() {
      await stopDaemon(spec);
      await start();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function listKeys(folder: string): Promise<string[]> {
  if (!await exists(folder)) return [];
  const ids = [];
  for await (const { name } of Deno.readDir(folder)) ids.push(name);
  return ids.sort();
}
