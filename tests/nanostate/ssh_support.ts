/** An sshd, a home folder with keys and known hosts, and the way from the one to the other. */
import assert from "node:assert/strict";
import { type Overrides, resolveHost, type SshHost } from "../../lib/nanostate/transport/ssh_host.ts";
import { type SshOptions, sshTransport } from "../../lib/nanostate/transport/ssh.ts";
import { type Channel, type HostCode, HostError } from "../../lib/nanostate/transport/transport.ts";
import { type KeyType, makeKey, publicLine, type Sshd, type SshdOptions, startSshd } from "../parts/sshd.ts";

export interface Bench extends AsyncDisposable {
  sshd: Sshd;
  home: string;
  user: string;
  /** File of the key that the sshd accepts. */
  key: string;
  knownHosts: string;
  /** `~/.ssh/config` only: nothing of this machine's own configuration counts. */
  host(overrides?: Overrides, config?: string): Promise<SshHost>;
}

/** An sshd whose key is known, and a key that it accepts. */
export async function bench(options: SshdOptions = {}): Promise<Bench> {
  const home = await Deno.makeTempDir({ prefix: "home-" });
  const ssh = `${home}/.ssh`;
  await Deno.mkdir(ssh, { mode: 0o700 });
  const key = `${ssh}/id_ed25519`;
  const line = await makeKey(key, { type: "ed25519" });
  const sshd = await startSshd({ ...options, authorizedKeys: [line, ...options.authorizedKeys ?? []] });
  const user = userName();
  const knownHosts = `${ssh}/known_hosts`;
  await Deno.writeTextFile(knownHosts, await knownLine(sshd, options.hostKeys?.[0]));
  return {
    sshd,
    home,
    user,
    key,
    knownHosts,
    async host(overrides = {}, config = "") {
      await Deno.writeTextFile(`${ssh}/config`, config);
      return await resolveHost(`${sshd.address}:${sshd.port}`, {
        config: [`${ssh}/config`],
        environment: { HOME: home, USER: user },
        overrides: { knownHosts: [knownHosts], ...overrides },
      });
    },
    async [Symbol.asyncDispose]() {
      await sshd.stop();
      await Deno.remove(home, { recursive: true });
    },
  };
}

export async function knownLine(sshd: Sshd, type: KeyType = "ed25519"): Promise<string> {
  return `[${sshd.address}]:${sshd.port} ${await publicLine(sshd.hostKey(type))}\n`;
}

/** Who runs the tests, as sshd knows them. */
export function userName(): string {
  return Deno.uid() === 0 ? "root" : Deno.env.get("USER") ?? "";
}

export async function start(
  host: SshHost,
  command: string,
  options: Omit<SshOptions, "host"> & { signal?: AbortSignal } = {},
): Promise<Channel & AsyncDisposable> {
  const { signal = new AbortController().signal, ...rest } = options;
  const channel = await sshTransport({ host, connectMs: 5000, ...rest }).start(command, { signal });
  return { ...channel, [Symbol.asyncDispose]: () => channel.close() };
}

/** Runs a program to its end. */
export async function output(
  host: SshHost,
  command: string,
  options: Parameters<typeof start>[2] = {},
): Promise<string> {
  await using channel = await start(host, command, options);
  return await textOf(channel);
}

export async function textOf(channel: Channel): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const bytes of channel.output) text += decoder.decode(bytes, { stream: true });
  return text;
}

/** That it fails with this code, and a message that says this. */
export async function fails(work: Promise<unknown>, code: HostCode, message: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof HostError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
}
