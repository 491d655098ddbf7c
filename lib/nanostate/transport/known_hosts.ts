/**
 * known_hosts: which keys a host may prove itself by, and which authorities may vouch for it.
 *
 * In: the text of files, a host's names, its key. Out: a verdict, with the place of the line that decided.
 * H1. A revoked key is refused whatever else is known of it.
 * H2. A host of which any key is known is never "new": another key, of whatever type, is a changed key. So nobody
 *     gets past what is known by offering a type that is not.
 * H3. A line that cannot be read is passed over, as OpenSSH does; but one that revokes is an error, since it would
 *     forbid what the other lines allow.
 * Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.
 */
import { Buffer } from "node:buffer";
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { type PublicKey, publicKeyOfText } from "./ssh_key.ts";

export interface KnownHost {
  /** `/home/ann/.ssh/known_hosts:7` */
  place: string;
  mark: "key" | "cert-authority" | "revoked";
  /** As written: patterns with commas between, or one hashed name. */
  hosts: string;
  key: PublicKey;
}

/** A `@revoked` line that is not understood (H3). */
export class KnownHostsError extends Error {
  override readonly name = "KnownHostsError";
}

/** @param file for places. @throws {KnownHostsError} */
export function parseKnownHosts(text: string, file: string): KnownHost[] {
  return text.split("\n").flatMap((line, n) => {
    const words = line.trim().split(/[ \t\r]+/);
    const [first = ""] = words;
    if (first === "" || first.startsWith("#")) return [];
    const place = `${file}:${n + 1}`;
    const mark = MARKS.get(first);
    const [hosts = "", type = "", base64 = ""] = first.startsWith("@") ? words.slice(1) : words;
    const key = publicKeyOfText(type, base64);
    if (mark === "revoked" && key === null) {
      throw new KnownHostsError(`${place}: this line revokes a key and cannot be read: mend or remove it`);
    }
    if (key === null || first.startsWith("@") && mark === undefined) return [];
    return [{ place, mark: mark ?? "key", hosts, key }];
  });
}

const MARKS: ReadonlyMap<string, KnownHost["mark"]> = new Map([
  ["@cert-authority", "cert-authority"],
  ["@revoked", "revoked"],
]);

export type Verdict =
  | { kind: "known"; place: string }
  | { kind: "revoked"; place: string }
  /** Other keys are known for this host, at these places. */
  | { kind: "changed"; places: string[] }
  | { kind: "unknown" };

/** What is known of a host's plain key. @param names of `hostNames()` */
export function judgeKey(known: readonly KnownHost[], names: readonly string[], key: PublicKey): Verdict {
  const revoked = isRevoked(known, names, key);
  if (revoked !== null) return { kind: "revoked", place: revoked };
  for (const name of names) {
    const match = keysOf(known, [name]).find((each) => each.key.blob.equals(key.blob));
    if (match !== undefined) return { kind: "known", place: match.place };
  }
  // Only the first name can tell of a change: behind another port of the same machine may be another server.
  const places = keysOf(known, names.slice(0, 1)).map(({ place }) => place);
  return places.length > 0 ? { kind: "changed", places } : { kind: "unknown" };
}

/** Place of the line that revokes this key, or this authority, for the host. */
export function isRevoked(
  known: readonly KnownHost[],
  names: readonly string[],
  key: PublicKey,
): string | null {
  const line = known.find((each) =>
    each.mark === "revoked" && each.key.blob.equals(key.blob) && isOf(each, names)
  );
  return line?.place ?? null;
}

export function authoritiesOf(known: readonly KnownHost[], names: readonly string[]): KnownHost[] {
  return known.filter((each) => each.mark === "cert-authority" && isOf(each, names));
}

export function keysOf(known: readonly KnownHost[], names: readonly string[]): KnownHost[] {
  return known.filter((each) => each.mark === "key" && isOf(each, names));
}

/** How a host is called in known_hosts: `web-1`, or `[web-1]:2222` and, as OpenSSH falls back to it, `web-1`. */
export function hostNames(hostName: string, port: number): string[] {
  const name = hostName.toLowerCase();
  return port === 22 ? [name] : [`[${name}]:${port}`, name];
}

/** The line that makes a key known. @param hashed the name as `ssh-keygen -H` writes it */
export function knownHostsLine(name: string, key: PublicKey, hashed = false): string {
  return `${hashed ? hashName(name, randomBytes(20)) : name} ${key.type} ${key.blob.toString("base64")}`;
}

function isOf({ hosts }: KnownHost, names: readonly string[]): boolean {
  return names.some((name) => hosts.startsWith("|") ? isHashOf(hosts, name) : matchesHosts(hosts, name));
}

/** Patterns with commas between; one with `!` that matches rules the host out. */
export function matchesHosts(patterns: string, name: string): boolean {
  const all = patterns.split(",");
  if (all.some((each) => each.startsWith("!") && matchesHost(each.slice(1), name))) return false;
  return all.some((each) => !each.startsWith("!") && matchesHost(each, name));
}

/** One pattern with `*` and `?`; the case of letters does not count. Linear in both lengths but for `*`s, never worse than their product. */
export function matchesHost(pattern: string, name: string): boolean {
  const want = pattern.toLowerCase();
  const have = name.toLowerCase();
  let w = 0;
  let star = -1;
  let resumeAt = 0;
  for (let h = 0; h < have.length;) {
    if (w < want.length && want[w] === "*") {
      star = w++;
      resumeAt = h;
    } else if (w < want.length && (want[w] === "?" || want[w] === have[h])) {
      w++;
      h++;
    } else if (star >= 0) {
      w = star + 1;
      h = ++resumeAt;
    } else {
      return false;
    }
  }
  while (want[w] === "*") w++;
  return w === want.length;
}

/** `|1|salt|HMAC-SHA1 of the name|` */
function isHashOf(hosts: string, name: string): boolean {
  const [, version, salt = "", hash = ""] = hosts.split("|");
  if (version !== "1") return false;
  const want = Buffer.from(hash, "base64");
  const have = createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest();
  return want.length === have.length && timingSafeEqual(want, have);
}

function hashName(name: string, salt: Buffer): string {
  const hash = createHmac("sha1", salt).update(name).digest("base64");
  return `|1|${salt.toString("base64")}|${hash}`;
}
