/**
 * Which algorithms a connection may use: ours, best first, and of them what ssh_config leaves.
 *
 * A1. SHA-1 and CBC are not among ours, and no configuration brings them in.
 * A2. A configuration can order and take away, as OpenSSH writes it: a list, `-` to remove, `^` to put first; `+` adds
 *     nothing, for all that we have is offered already.
 */
import { matchesHost } from "./known_hosts.ts";
import { isCertificateType } from "./ssh_certificate.ts";
import { type Setting, SshConfigError } from "./ssh_config.ts";

/** What ssh2 has, but for A1 and what Deno cannot compute (the exchange over P-521). */
const OURS = {
  kexalgorithms: [
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
  ],
  ciphers: [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
    "chacha20-poly1305@openssh.com",
  ],
  macs: [
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
  ],
  hostkeyalgorithms: [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
  ].flatMap((plain) => [`${plain}-cert-v01@openssh.com`, plain]),
} as const satisfies Record<string, readonly string[]>;

export interface Algorithms {
  kex: string[];
  ciphers: string[];
  macs: string[];
  /** Certificates and plain keys; one plain key at least. */
  hostKeys: string[];
}

/** @throws {SshConfigError} when nothing is left */
export function algorithmsFrom(settings: ReadonlyMap<string, Setting>): Algorithms {
  const left = (keyword: keyof typeof OURS) => leftOf(OURS[keyword], settings.get(keyword), keyword);
  const hostKeys = left("hostkeyalgorithms");
  if (hostKeys.every(isCertificateType)) {
    const { place } = settings.get("hostkeyalgorithms") ?? { place: "" };
    throw new SshConfigError(`${place}: hostkeyalgorithms leaves certificates only: name a plain key's too`);
  }
  return {
    kex: left("kexalgorithms"),
    ciphers: left("ciphers"),
    macs: left("macs"),
    hostKeys,
  };
}

function leftOf(ours: readonly string[], setting: Setting | undefined, keyword: string): string[] {
  if (setting === undefined) return [...ours];
  const text = setting.args.join(",");
  const how = /^[-+^]/.exec(text)?.[0] ?? "";
  const patterns = text.slice(how.length).split(",");
  const listed = patterns.flatMap((pattern) => ours.filter((each) => matchesHost(pattern, each)));
  const rest = ours.filter((each) => !listed.includes(each));
  const ways: Record<string, readonly string[]> = {
    "": listed,
    "-": rest,
    "+": ours,
    "^": [...listed, ...rest],
  };
  const left = [...new Set(ways[how])];
  if (left.length > 0) return left;
  throw new SshConfigError(
    `${setting.place}: ${keyword} leaves none of ours: name one of ${ours.join(", ")}`,
  );
}
