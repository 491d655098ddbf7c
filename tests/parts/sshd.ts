/**
 * A real sshd on loopback, from Debian's package: own configuration, keys and port, no system service.
 *
 * Who may log in is the user that runs the tests, by the keys in `authorizedKeys`.
 */
import { run, which } from "./command.ts";
import { type DaemonSpec, killDaemon, type Part, partFolder, startDaemon, stopDaemon } from "./daemon.ts";
import { ensureDebian } from "./debian.ts";
import { freePort, isListening } from "./wait.ts";

const PROGRAM = "/usr/sbin/sshd";
/** Where sshd wants to lock in what it does before a login. */
const EMPTY_FOLDER = "/run/sshd";

/** Numbers are of bits where there is a choice. */
export type KeyType = "ed25519" | "ecdsa" | "ecdsa384" | "ecdsa521" | "rsa";

const KIND: Record<KeyType, string[]> = {
  ed25519: ["ed25519"],
  ecdsa: ["ecdsa", "-b", "256"],
  ecdsa384: ["ecdsa", "-b", "384"],
  ecdsa521: ["ecdsa", "-b", "521"],
  rsa: ["rsa", "-b", "2048"],
};

export interface SshdOptions {
  /** More lines of sshd_config; the first value of a keyword wins, and these come first. */
  config?: (folder: string) => string;
  /** Keys of the host. @default ed25519 */
  hostKeys?: readonly KeyType[];
  /** Lines of authorized_keys. */
  authorizedKeys?: readonly string[];
  port?: number;
}

export interface Sshd extends Part {
  address: "127.0.0.1";
  port: number;
  folder: string;
  /** File with its private key; `.pub` beside it. */
  hostKey(type: KeyType): string;
  authorize(line: string): Promise<void>;
  log(): Promise<string>;
  /** Breaks the connections that there are, and goes on to serve. */
  hangUp(): Promise<void>;
}

export async function ensureSshd(): Promise<void> {
  await ensureDebian({
    packages: ["openssh-server", "openssh-client"],
    present: async () => await which(PROGRAM) !== null && await which("ssh-keygen") !== null,
  });
}

export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  await ensureSshd();
  if (Deno.uid() === 0) await Deno.mkdir(EMPTY_FOLDER, { recursive: true, mode: 0o755 });
  const port = options.port ?? freePort();
  const { path: folder, remove } = await partFolder("sshd");
  const hostKey = (type: KeyType) => `${folder}/host_${type}`;
  const types = options.hostKeys ?? ["ed25519"];
  for (const type of types) await makeKey(hostKey(type), { type });
  const authorized = `${folder}/authorized_keys`;
  const write = (lines: readonly string[], append = false) =>
    Deno.writeTextFile(authorized, lines.map((line) => `${line}\n`).join(""), { append });
  await write(options.authorizedKeys ?? []);

  const settings = [
    options.config?.(folder) ?? "",
    `Port ${port}`,
    "ListenAddress 127.0.0.1",
    ...types.map((type) => `HostKey ${hostKey(type)}`),
    `AuthorizedKeysFile ${authorized}`,
    "PidFile none",
    "UsePAM no",
    "StrictModes no", // the folder is below /tmp, which everybody may write to
    "PermitRootLogin yes",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication no",
    "LogLevel VERBOSE",
  ];
  await Deno.writeTextFile(`${folder}/sshd_config`, settings.join("\n"));
  const spec: DaemonSpec = {
    name: "sshd",
    folder,
    command: PROGRAM,
    args: ["-D", "-e", "-f", `${folder}/sshd_config`],
    graceMs: 500,
  };
  const start = () => startDaemon(spec, () => isListening("127.0.0.1", port));
  const stop = async () => {
    await stopDaemon(spec);
    await remove();
  };
  try {
    await start();
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    address: "127.0.0.1",
    port,
    folder,
    hostKey,
    authorize: (line) => write([line], true),
    log: () => Deno.readTextFile(`${folder}/sshd.log`),
    async hangUp() {
      const pid = (await Deno.readTextFile(`${folder}/sshd.pid`)).trim();
      const children = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
      for (const child of children.trim().split(" ").filter(Boolean)) Deno.kill(Number(child), "SIGKILL");
    },
    stop,
    kill: () => killDaemon(spec),
    async restart() {
      await stopDaemon(spec);
      await start();
    },
    [Symbol.asyncDispose]: stop,
  };
}

/** As ssh-keygen calls them; RFC4716 is OpenSSH's own, and Ed25519 has no other there. */
export type KeyFormat = "RFC4716" | "PEM" | "PKCS8";

/** A key pair: `path` and `path.pub`. @returns the public line */
export async function makeKey(
  path: string,
  { type, passphrase = "", format = "RFC4716" }: { type: KeyType; passphrase?: string; format?: KeyFormat },
): Promise<string> {
  const kind = ["-t", ...KIND[type], "-m", format];
  await run("ssh-keygen", ["-q", ...kind, "-N", passphrase, "-C", "", "-f", path]);
  return await publicLine(path);
}

/** `ssh-ed25519 AAAA…` of the pair at `path`. */
export async function publicLine(path: string): Promise<string> {
  return (await Deno.readTextFile(`${path}.pub`)).trim();
}

/** A real ssh-agent with no keys. */
export async function startSshAgent(): Promise<
  { socket: string; add(key: string): Promise<void> } & AsyncDisposable
> {
  await ensureSshd();
  const { path: folder, remove } = await partFolder("agent");
  const socket = `${folder}/agent.sock`;
  const spec: DaemonSpec = { name: "ssh-agent", folder, command: "ssh-agent", args: ["-D", "-a", socket] };
  const env = { SSH_AUTH_SOCK: socket };
  try {
    await startDaemon(
      spec,
      async () => (await run("ssh-add", ["-l"], { env, okCodes: [0, 1, 2] })).code === 1,
    );
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    socket,
    async add(key) {
      await run("ssh-add", ["-q", key], { env });
    },
    async [Symbol.asyncDispose]() {
      await stopDaemon(spec);
      await remove();
    },
  };
}
