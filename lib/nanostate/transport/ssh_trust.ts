/**
 * Whether the machine that answers is the host that was meant.
 *
 * In: a host, what known_hosts and authorities say of it, the key it shows. Out: yes, or an error with what to do.
 * T1. Unknown is no, unless the host is to be trusted on first use. Known otherwise, revoked, or with a certificate
 *     of a trusted authority that does not count, is always no.
 * T2. A key is written down only when the host has proven that it has it; by one appending write, so that two who do
 *     this at once keep each other's line whole.
 */
import { Buffer } from "node:buffer";
import { appendFile, mkdir, open, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import {
  authoritiesOf,
  hostNames,
  isRevoked,
  judgeKey,
  keysOf,
  type KnownHost,
  KnownHostsError,
  knownHostsLine,
  parseKnownHosts,
} from "./known_hosts.ts";
import { certificateFault, isCertificateType, parseCertificate } from "./ssh_certificate.ts";
import type { SshHost } from "./ssh_host.ts";
import { isAbsent } from "./ssh_include.ts";
import { fingerprint, type PublicKey, publicKey } from "./ssh_key.ts";
import { HostError } from "./transport.ts";

const KNOWN_HOSTS_BYTES_MAX = 16 * 1024 * 1024;

/** A key that was trusted because nothing was known. */
export interface TrustedKey {
  host: string;
  type: string;
  fingerprint: string;
  /** Where it was written to; null when there is no such file. */
  file: string | null;
}

export interface TrustCheck {
  /** Signature algorithms of host keys to ask for, those of known keys first. */
  readonly algorithms: string[];
  /** Certificate algorithms to ask for before those; none where no authority is known. */
  readonly certificates: string[];
  /** The host's own key, when it may be trusted. @throws {HostError} host-key */
  judge(blob: Uint8Array): PublicKey;
  /** To be called when the host has proven that it has the key: keeps it for the next time if it was new (T2). */
  remember(): Promise<void>;
}

export interface TrustOptions {
  nowMs: () => number;
  onTrusted?: (key: TrustedKey) => void;
}

/** @throws {HostError} host-key when a file cannot be read or understood */
export async function trustCheck(host: SshHost, options: TrustOptions): Promise<TrustCheck> {
  const known = (await Promise.all(host.knownHosts.map((file) => readKnownHosts(file, host)))).flat();
  const names = host.hostKeyAlias === null
    ? hostNames(host.hostName, host.port)
    : [host.hostKeyAlias.toLowerCase()];
  const algorithms = knownFirst(host.algorithms.hostKeys, known, names);
  const hasAuthority = authoritiesOf(known, names).length > 0;
  let trusted: PublicKey | null = null;

  return {
    algorithms: algorithms.filter((each) => !isCertificateType(each)),
    certificates: algorithms.filter((each) => isCertificateType(each) && hasAuthority),
    judge(blob) {
      const shown = Buffer.from(blob);
      const vouched = judgeCertificate(shown, { known, names, host, nowMs: options.nowMs() });
      if (vouched !== null) return vouched;

      const key = parseCertificate(shown)?.key ?? publicKey(shown);
      if (key === null) throw new HostError("protocol", `Cannot trust ${host.name}: what it shows is no key`);
      const verdict = judgeKey(known, names, key);
      if (verdict.kind === "known") return key;
      if (verdict.kind === "unknown" && host.trust === "on-first-use") return trusted = key;
      throw refusal(host, names, key, verdict);
    },
    async remember() {
      const key = trusted;
      if (key === null) return;
      trusted = null;
      known.push({ place: host.newKnownHosts ?? "this run", mark: "key", hosts: names[0] ?? "", key }); // keys are renewed
      if (host.newKnownHosts !== null) {
        const line = knownHostsLine(names[0] ?? host.hostName, key, host.hashKnownHosts);
        await append(host.newKnownHosts, line).catch((cause) => {
          const message =
            `Cannot trust ${host.name}: its key cannot be written to ${host.newKnownHosts}; make that writable`;
          throw new HostError("host-key", message, { cause });
        });
      }
      options.onTrusted?.({
        host: host.name,
        type: key.type,
        fingerprint: fingerprint(key.blob),
        file: host.newKnownHosts,
      });
    },
  };
}

/** The host's key when a trusted authority vouches for it; null when none says anything. */
function judgeCertificate(
  shown: Buffer,
  { known, names, host, nowMs }: {
    known: readonly KnownHost[];
    names: readonly string[];
    host: SshHost;
    nowMs: number;
  },
): PublicKey | null {
  const certificate = parseCertificate(shown);
  const authority = certificate &&
    authoritiesOf(known, names).find(({ key }) => key.blob.equals(certificate.authority.blob));
  if (!certificate || !authority) return null;

  const revoked = isRevoked(known, names, certificate.key) ?? isRevoked(known, names, certificate.authority);
  const fault = revoked !== null
    ? `it or its authority is revoked at ${revoked}`
    : certificateFault(certificate, { hostName: host.hostKeyAlias ?? host.hostName, nowMs });
  if (fault === null) return certificate.key;
  throw new HostError(
    "host-key",
    `Cannot trust ${host.name}: its certificate "${certificate.keyId}" of the authority at ${authority.place} does not ` +
      `count: ${fault}; have it signed anew`,
  );
}

function refusal(
  host: SshHost,
  names: readonly string[],
  key: PublicKey,
  verdict: { kind: "unknown" } | { kind: "changed"; places: string[] } | { kind: "revoked"; place: string },
): HostError {
  const [name = host.hostName] = names;
  const shown = `it shows ${key.type} ${fingerprint(key.blob)}`;
  const file = host.newKnownHosts ?? "known_hosts";
  const line = knownHostsLine(name, key);
  if (verdict.kind === "revoked") {
    return new HostError(
      "host-key",
      `Cannot trust ${host.name}: ${shown}, which is revoked at ${verdict.place}`,
    );
  }
  if (verdict.kind === "changed") {
    const places = [...new Set(verdict.places)].join(", ");
    return new HostError(
      "host-key",
      `Cannot trust ${host.name}: ${shown}, but another key is known at ${places}. Somebody may be in between. If the ` +
        `host was installed anew and this is its key, run: ssh-keygen -R '${name}' -f '${file}', then add the line: ${line}`,
    );
  }
  return new HostError(
    "host-key",
    `Cannot trust ${host.name}: no key of it is known; ${shown}. If that is its key, add the line to ${file}, or ask for ` +
      `trust on first use: ${line}`,
  );
}

/** So that a host with several keys shows one that is known. */
function knownFirst(
  algorithms: readonly string[],
  known: readonly KnownHost[],
  names: readonly string[],
): string[] {
  const have = new Set(keysOf(known, names).map(({ key }) => key.type));
  const isKnown = (algorithm: string) => have.has(algorithm.startsWith("rsa-sha2-") ? "ssh-rsa" : algorithm);
  return algorithms.toSorted((a, b) => Number(isKnown(b)) - Number(isKnown(a)));
}

async function readKnownHosts(file: string, host: SshHost): Promise<KnownHost[]> {
  try {
    const { size } = await stat(file);
    if (size > KNOWN_HOSTS_BYTES_MAX) {
      throw new KnownHostsError(`${file}: ${size} bytes are more than ${KNOWN_HOSTS_BYTES_MAX}`);
    }
    return parseKnownHosts(await readFile(file, "utf8"), file);
  } catch (cause) {
    if (isAbsent(cause)) return [];
    const reason = cause instanceof KnownHostsError ? cause.message : `${file} cannot be read`;
    throw new HostError("host-key", `Cannot trust ${host.name}: ${reason}`, { cause });
  }
}

async function append(file: string, line: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await appendFile(file, `${await endsWithLine(file) ? "" : "\n"}${line}\n`, { mode: 0o600 });
}

async function endsWithLine(file: string): Promise<boolean> {
  const { size } = await stat(file).catch(() => ({ size: 0 })); // none yet: appending makes it
  if (size === 0) return true;
  const handle = await open(file, "r");
  try {
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, size - 1);
    return buffer[0] === 0x0a;
  } finally {
    await handle.close();
  }
}
