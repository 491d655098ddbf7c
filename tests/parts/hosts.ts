/**
 * Throw-away hosts: Debian with a real sshd, each in namespaces of its own on a disk of its own, a twentieth of a second each.
 * A test may wreck them freely.
 *
 * They share a network that only they are in. A test reaches them by loopback ports, which a relay leads there;
 * a program that needs the bare network runs by `enter()`.
 *
 * H1. All processes of all hosts, their mounts and networks end with one process, the hub; the hub ends with ours,
 *     by whatever signal.
 * H2. No port, address or name outside is taken but the loopback ports; nothing there is changed.
 */
import { SalarError } from "../../lib/errors.ts";
import { run, type RunResult } from "./command.ts";
import { partFolder } from "./daemon.ts";
import { ensureHostBase, type HostBase } from "./hosts_base.ts";
import { type Hub, startHub } from "./hosts_hub.ts";
import { cpuMsOf, membersOf } from "./hosts_proc.ts";
import { type Relay, startRelay } from "./hosts_relay.ts";
import { waitFor } from "./wait.ts";

const START_MS_MAX = 20_000;
const STARTS_AT_ONCE = 4;
const COUNT_MAX = 250;
const DISK_MB = 256;
const ENVIRONMENT = {
  HOME: "/root",
  LANG: "C.UTF-8",
  PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
};

export interface HostsOptions {
  count: number;
  /** @default "plain" */
  base?: HostBase;
  /** Names are `h1`, `h2`, … with another letter or word here. @default "h" */
  name?: string;
  /** How much each may write. @default 256 */
  diskMb?: number;
  /** Each way, on the loopback ports only, for bytes and for new connections; a round trip takes twice that. @default 0 */
  delayMs?: number;
}

export interface Hosts {
  list: readonly Host[];
  /** Of root, ann and bob of every host. */
  privateKeyPath: string;
  /** Ann's, for sudo. */
  password: string;
  /** Of every host, by its loopback port and by its inner address. */
  knownHostsPath: string;
  /** A command line that runs `command` in the hosts' own network, where each has `innerAddress` and port 22. */
  enter(command: readonly string[]): string[];
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Host {
  name: string;
  /** Loopback, where this process reaches it. */
  address: string;
  port: number;
  innerAddress: string;
  /** `ssh-ed25519 AAAA…` */
  hostKey: string;
  /** Its PID 1, which is sshd, as this process sees it. */
  pid: number;
  /** Runs a shell line there as root, beside SSH. Throws when it fails, unless its code is in `okCodes`. */
  exec(line: string, options?: { okCodes?: readonly number[]; limitMs?: number }): Promise<RunResult>;
  /** Command lines of everything that runs there but sshd itself and `exec`. */
  processes(): Promise<string[]>;
  /** Processor time that its ended processes and sshd have had, in milliseconds. */
  cpuMs(): Promise<number>;
  /** Gone for good; new connections are refused. */
  stop(): Promise<void>;
  /** Takes connections and says nothing, until `resume()`. What runs already goes on. */
  pause(): void;
  resume(): void;
  /** The link is silent both ways, nobody is told. */
  cut(): Promise<void>;
  heal(): Promise<void>;
  /** Ends every session there as a crashed sshd would. */
  drop(): Promise<void>;
  /** Leaves no room in the file system of this folder. */
  fill(folder: string): Promise<void>;
}

/** Starts hosts and resolves when every sshd answers. Needs root. */
export async function startHosts(options: HostsOptions): Promise<Hosts> {
  const { count, base = "plain", name = "h", diskMb = DISK_MB, delayMs = 0 } = options;
  if (!(count >= 1 && count <= COUNT_MAX)) {
    throw new SalarError("bad-input", `Cannot start hosts: 1 to ${COUNT_MAX}, not ${count}`);
  }
  const root = (await ensureHostBase(base)).folder;
  await using making = new AsyncDisposableStack();
  const folder = await partFolder("hosts");
  making.defer(() => folder.remove());
  const hub = await startHub();
  making.defer(() => hub.stop());
  const relay = await startRelay(hub.netns);
  making.defer(() => relay.stop());

  const privateKeyPath = `${folder.path}/id`;
  await makeKey(privateKeyPath, "client");
  const { password, shadow } = await passwordFor("ann", `${root}/etc/shadow`);
  const farm: Farm = { root, folder: folder.path, shadow, hub, relay, name, diskMb, delayMs };
  const list = await startAll(farm, count);
  const knownHostsPath = `${folder.path}/known_hosts`;
  await Deno.writeTextFile(knownHostsPath, list.map(knownHostLines).join(""));

  const made = making.move();
  return {
    list,
    privateKeyPath,
    password,
    knownHostsPath,
    enter: (command) => ["nsenter", `--net=${hub.netns}`, ...command],
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  };
}

interface Farm {
  root: string;
  folder: string;
  shadow: string;
  hub: Hub;
  relay: Relay;
  name: string;
  diskMb: number;
  delayMs: number;
}

/** In the order of their numbers; few at once, since each is a dozen programs. */
async function startAll(farm: Farm, count: number): Promise<Host[]> {
  const hosts: Host[] = [];
  let next = 0;
  await Promise.all(Array.from({ length: STARTS_AT_ONCE }, async () => {
    while (next < count) {
      const index = next++;
      hosts[index] = await startHost(farm, index);
    }
  }));
  return hosts;
}

async function startHost(farm: Farm, index: number): Promise<Host> {
  const name = `${farm.name}${index + 1}`;
  const folder = `${farm.folder}/${name}`;
  const log = `${folder}/sshd.log`;
  const inner = farm.hub.addressOf(index);
  const innerAddress = inner.slice(0, inner.indexOf("/"));
  await Deno.mkdir(`${folder}/root`, { recursive: true });
  const hostKey = await makeKey(`${folder}/ssh_host_ed25519_key`, name);
  await Deno.copyFile(`${farm.folder}/id.pub`, `${folder}/authorized_keys`);
  await Deno.writeTextFile(`${folder}/shadow`, farm.shadow);
  const init = new URL("hosts_init.sh", import.meta.url).pathname;
  const command = ["/bin/sh", init, farm.root, folder, name, inner, `${farm.diskMb}`];
  const { pid, ended } = await farm.hub.start(index, command, log);
  let isGone = false;
  ended.then(() => isGone = true);
  await waitFor(`sshd of ${name}`, START_MS_MAX, async () => {
    const said = await Deno.readTextFile(log);
    return isGone || said.includes("Server listening");
  });
  if (isGone) {
    throw new SalarError("unavailable", `Cannot start host ${name}: ${await Deno.readTextFile(log)}`);
  }
  const port = await farm.relay.open(innerAddress, { delayMs: farm.delayMs });

  const spaces = [`--target=${pid}`, "--mount", "--uts", "--ipc", "--net", "--pid"];
  const exec: Host["exec"] = (line, options = {}) =>
    run("nsenter", [...spaces, "/bin/sh", "-c", line], { cwd: "/", env: ENVIRONMENT, ...options });
  return {
    name,
    address: "127.0.0.1",
    port,
    innerAddress,
    hostKey,
    pid,
    exec,
    processes: async () => (await membersOf(pid)).map(({ command }) => command),
    cpuMs: () => cpuMsOf(pid),
    async stop() {
      await farm.relay.close(port);
      Deno.kill(pid, "SIGKILL");
      await ended;
    },
    pause: () => Deno.kill(pid, "SIGSTOP"),
    resume: () => Deno.kill(pid, "SIGCONT"),
    cut: () => farm.hub.setLink(index, false),
    heal: () => farm.hub.setLink(index, true),
    async drop() {
      for (const { pid: member, command } of await membersOf(pid)) {
        if (command.startsWith("sshd:")) Deno.kill(member, "SIGKILL");
      }
    },
    async fill(path) {
      await exec(`cat /dev/zero >'${path}/.full'`, { okCodes: [1] }); // no space left on device
    },
  };
}

/** An Ed25519 key pair, `path` and `path.pub`. @returns the public key without its comment */
async function makeKey(path: string, comment: string): Promise<string> {
  await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path]);
  const [type, key] = (await Deno.readTextFile(`${path}.pub`)).split(" ");
  return `${type} ${key}`;
}

function knownHostLines({ address, port, innerAddress, hostKey }: Host): string {
  return `[${address}]:${port} ${hostKey}\n${innerAddress} ${hostKey}\n`;
}

/** A new password for a user, and the shadow file that has it. */
async function passwordFor(user: string, path: string): Promise<{ password: string; shadow: string }> {
  const password = crypto.randomUUID();
  const line = 'printf %s "$PASSWORD" | openssl passwd -6 -stdin';
  const { stdout: hash } = await run("/bin/sh", ["-c", line], { env: { PASSWORD: password } });
  const shadow = (await Deno.readTextFile(path))
    .replace(new RegExp(`^${user}:[^:]*`, "m"), () => `${user}:${hash.trim()}`);
  return { password, shadow };
}
