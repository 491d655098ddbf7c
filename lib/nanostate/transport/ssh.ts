/**
 * Hosts over SSH: one connection and one channel each.
 *
 * In: a host (`resolveHost()` in ssh_host.ts), people to ask. Out: a `Transport`.
 * S1. Without a known key of the host nothing is sent to it but the key exchange.
 * S2. No secret is in a message, an argument or an environment variable.
 */
import { channelOf, openChannel } from "./ssh_channel.ts";
import { Clock } from "./ssh_clock.ts";
import { addressOf, connect } from "./ssh_connect.ts";
import type { SshHost } from "./ssh_host.ts";
import { type KeyRing, keyRing } from "./ssh_keyring.ts";
import type { Ask } from "./ssh_login.ts";
import type { TrustedKey } from "./ssh_trust.ts";
import type { Transport } from "./transport.ts";

export interface SshOptions {
  host: SshHost;
  /** One for all hosts of a run, so that a passphrase is asked for once. @default keys without a passphrase only */
  keys?: KeyRing;
  /** Who is asked for passwords. @default nobody */
  ask?: Ask;
  /** Told of each key that was trusted on first use. */
  onTrusted?: (key: TrustedKey) => void;
  /** For each machine on the way and the host; ConnectTimeout of its configuration comes first. @default 10 s */
  connectMs?: number;
  /** A silent host is asked for a sign of life so often; ServerAliveInterval comes first. @default 15 s */
  keepaliveMs?: number;
  /** For the time in certificates. @default Date.now */
  nowMs?: () => number;
}

const CONNECT_MS = 10_000;
const KEEPALIVE_MS = 15_000;

export function sshTransport(options: SshOptions): Transport {
  const { host, keys = keyRing(), ask = {}, onTrusted, nowMs = Date.now } = options;
  return {
    address: addressOf(host),
    async start(command, { signal }) {
      const connectMs = host.connectMs ?? options.connectMs ?? CONNECT_MS;
      const keepaliveMs = host.keepaliveMs ?? options.keepaliveMs ?? KEEPALIVE_MS;
      const trust = { nowMs, ...(onTrusted && { onTrusted }) };
      const connection = await connect(host, { ring: keys, ask, trust, connectMs, keepaliveMs, signal });
      const clock = new Clock(connectMs, signal, `Cannot start a program on ${connection.address}`);
      try {
        return channelOf(await clock.race(openChannel(connection, command)), connection, signal);
      } catch (error) {
        await connection.close();
        throw error;
      } finally {
        clock.stop();
      }
    },
  };
}
