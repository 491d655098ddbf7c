/**
 * One connection to one host: key exchange, whether it is the host that was meant, login. Through other hosts if need be.
 *
 * N1. Every wait ends after the host's connect time, which stands still while people are asked, or by `signal`.
 * N2. What fails leaves no connection behind, neither to the host nor to those on the way.
 * N3. A peer that says nothing more is noticed within `keepaliveMs` × (`keepaliveCountMax` + 1).
 */
import { connect as connectTcp } from "node:net";
import type { Duplex } from "node:stream";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import type { Algorithms } from "./ssh_algorithms.ts";
import { isCertificateType } from "./ssh_certificate.ts";
import { Clock } from "./ssh_clock.ts";
import { lostReason, type SshError, type Stage, stageFailure, tcpFailure } from "./ssh_failure.ts";
import type { SshHost } from "./ssh_host.ts";
import { identitiesOf } from "./ssh_identity.ts";
import { offerCertificates, useCertifiedKey, watchRefusals } from "./ssh_inside.ts";
import { publicKey } from "./ssh_key.ts";
import type { KeyRing } from "./ssh_keyring.ts";
import { type Ask, type Login, login } from "./ssh_login.ts";
import { type TrustCheck, trustCheck, type TrustOptions } from "./ssh_trust.ts";
import { HostError } from "./transport.ts";

export interface ConnectOptions {
  ring: KeyRing;
  ask: Ask;
  trust: TrustOptions;
  /** For a host whose configuration does not say. */
  connectMs: number;
  keepaliveMs: number;
  signal: AbortSignal;
}

/** A host that we are logged into. */
export interface Connection {
  address: string;
  client: ssh2.Client;
  /** Resolves with the reason when the connection has ended, by whatever side. Never rejects. */
  ended: Promise<HostError>;
  /** What `ended` gives, or would give now. */
  reason(): HostError;
  /** Ends it and those on the way; resolves when they are gone, within a second. */
  close(): Promise<void>;
}

/** What closing waits for the other side. */
const CLOSE_MS_MAX = 900;

/** `ann@web-1:22` */
export function addressOf({ user, name, port }: SshHost): string {
  return `${user}@${name}:${port}`;
}

/** @throws {HostError} */
export async function connect(host: SshHost, options: ConnectOptions): Promise<Connection> {
  const way: Connection[] = [];
  const close = async () => {
    await Promise.all(way.toReversed().map((each) => each.close()));
  };
  try {
    for (const jump of host.jumps) way.push(await connectOne(jump, way.at(-1) ?? null, options));
    const last = await connectOne(host, way.at(-1) ?? null, options);
    way.push(last);
    return { ...last, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function connectOne(
  host: SshHost,
  before: Connection | null,
  options: ConnectOptions,
): Promise<Connection> {
  const address = addressOf(host);
  const clock = new Clock(
    host.connectMs ?? options.connectMs,
    options.signal,
    `Cannot connect to ${address}`,
  );
  const client = new ssh2.Client();
  let opening: Promise<Duplex> | null = null;
  try {
    // All that takes time comes before the stream, for nobody listens to what happens to that before ssh2 does.
    const trust = await trustCheck(host, options.trust);
    const { identities, passedOver } = await clock.race(identitiesOf(host, options.ring, clock.paused));
    const { ask } = options;
    const way = login({ host, address, client, identities, passedOver, ask, whilePaused: clock.paused });
    opening = openStream(host, before, address);
    const stream = await clock.race(opening);
    await clock.race(
      handshake(client, stream, { host, address, trust, way, keepaliveMs: options.keepaliveMs }),
    );
    return connectionOf(client, stream, address);
  } catch (error) {
    opening?.then((stream) => stream.destroy(), () => {}); // also one that opens too late
    if (error instanceof HostError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new HostError("protocol", `Cannot connect to ${address}: ${reason}`, { cause: error });
  } finally {
    clock.stop();
  }
}

function connectionOf(client: ssh2.Client, stream: Duplex, address: string): Connection {
  let cause: SshError | null = null;
  client.on("error", (error: SshError) => cause ??= error);
  const reason = () => lostReason(cause, address);
  const ended = new Promise<HostError>((resolve) => client.once("close", () => resolve(reason())));
  return {
    address,
    client,
    ended,
    reason,
    async close() {
      client.end();
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise((resolve) => timer = setTimeout(resolve, CLOSE_MS_MAX));
      await Promise.race([ended, late]);
      clearTimeout(timer);
      stream.destroy();
    },
  };
}

/** A byte stream to the host: a TCP connection, or a channel of the host before it. */
function openStream(host: SshHost, before: Connection | null, address: string): Promise<Duplex> {
  const { hostName, port, bindAddress, family } = host;
  return new Promise((resolve, reject) => {
    const fail = (error: SshError) => reject(tcpFailure(error, address, hostName));
    if (before !== null) {
      before.client.forwardOut("127.0.0.1", 0, hostName, port, (error, stream) => {
        if (error) return fail(error);
        stream.once("end", () => stream.destroy()); // a socket closes by itself when the other side did, this does not
        resolve(stream);
      });
      return;
    }
    const socket = connectTcp({
      host: hostName,
      port,
      family,
      ...(bindAddress && { localAddress: bindAddress }),
    });
    socket.once("error", fail);
    socket.once("connect", () => {
      socket.off("error", fail);
      socket.setNoDelay(true); // else each small exchange waits for a delayed acknowledgement: 44 ms
      resolve(socket);
    });
  });
}

interface Handshake {
  host: SshHost;
  address: string;
  trust: TrustCheck;
  way: Login;
  keepaliveMs: number;
}

/** Resolves when we are logged in. */
async function handshake(client: ssh2.Client, stream: Duplex, options: Handshake): Promise<void> {
  const { host, address, trust, way } = options;
  let stage: Stage = "key exchange";
  let refused: unknown = null;
  let remembered = Promise.resolve();

  await new Promise<void>((resolve, reject) => {
    const fail = (error: SshError | null) => {
      if (error?.level === "agent") return; // one key less: the next one is tried, and login() knows why
      reject(refused ?? stageFailure(error, { stage, address, login: way.reason() }));
    };
    client.on("error", fail);
    client.once("close", () => fail(null));
    client.once("ready", resolve);
    client.on("handshake", () => {
      stage = "login";
      remembered = trust.remember();
      remembered.catch(reject);
    });
    client.connect({
      sock: stream,
      username: host.user,
      authHandler: way.authHandler,
      algorithms: offered(host.algorithms, trust.algorithms),
      hostVerifier(blob: Uint8Array) {
        try {
          const key = trust.judge(blob);
          const shown = publicKey(blob);
          if (shown !== null && isCertificateType(shown.type)) useCertifiedKey(client, shown.blob, key);
          return true;
        } catch (error) {
          refused = error;
          return false;
        }
      },
      keepaliveInterval: host.keepaliveMs ?? options.keepaliveMs,
      keepaliveCountMax: host.keepaliveCountMax,
      readyTimeout: 0, // the clock is ours
    });
    offerCertificates(client, trust.certificates);
    watchRefusals(client, way.refused);
  });
  await remembered;
}

/** Its types are narrower than what it takes: `ssh_algorithms.ts` has names that it knows. */
function offered({ kex, ciphers, macs }: Algorithms, hostKeys: string[]): ssh2.Algorithms {
  return { kex, cipher: ciphers, hmac: macs, serverHostKey: hostKeys, compress: ["none"] } as ssh2.Algorithms;
}
