/**
 * Private keys in files, read and unlocked once for all hosts of a run.
 *
 * N1. A passphrase is asked for when a host wants a signature of that key, not before, and once for all hosts.
 * N2. A key that others can read is passed over, as OpenSSH does.
 * N3. Keys and passphrases stay in memory and are in no message.
 */
import { readFile, stat } from "node:fs/promises";
import { Buffer } from "node:buffer";
// @ts-types="@types/ssh2"
import ssh2 from "ssh2";
import { isAbsent } from "./ssh_include.ts";
import { WireReader } from "./ssh_key.ts";
import { isPem, readPem } from "./ssh_pem.ts";
import { privateKeyOf, type Sign, signer } from "./ssh_sign.ts";

const KEY_BYTES_MAX = 64 * 1024;
const PASSPHRASE_TRIES_MAX = 3;
const OTHERS = 0o077;
const OPENSSH_MAGIC = "openssh-key-v1\0";

export type ParsedKey = ssh2.ParsedKey;

export interface PrivateKey {
  publicKey: ParsedKey;
  sign: Sign;
}

export interface KeyFile {
  path: string;
  /** Its public half; null when only the passphrase gives it. */
  publicKey: ParsedKey | null;
  /** Asks for the passphrase if need be. @returns why it cannot be used as a text */
  unlock(): Promise<PrivateKey | string>;
}

export interface KeyRing {
  /** @returns why the file is of no use as a text; null when there is no such file. */
  load(path: string): Promise<KeyFile | string | null>;
}

export interface KeyRingOptions {
  /** Asks a person; null for "go without this key". */
  passphrase?: (file: string) => Promise<string | null>;
}

export function keyRing({ passphrase }: KeyRingOptions = {}): KeyRing {
  const files = new Map<string, Promise<KeyFile | string | null>>();
  return {
    load(path) {
      const loaded = files.get(path) ?? load(path, passphrase);
      files.set(path, loaded);
      return loaded;
    },
  };
}

async function load(path: string, ask: KeyRingOptions["passphrase"]): Promise<KeyFile | string | null> {
  const file = await read(path);
  const publicText = await read(path.endsWith(".pub") ? path : `${path}.pub`);
  const fromPub = publicText === null ? null : parseOrNull(publicText.text);
  // An agent may have the private half of a key of which only the public one is here.
  if (file === null || path.endsWith(".pub")) {
    return fromPub === null
      ? null
      : { path, publicKey: fromPub, unlock: () => Promise.resolve("has only a public half") };
  }
  if ((file.mode & OTHERS) !== 0) return `can be read by others: chmod 600 it`;

  const plain = privateKey(file.text);
  if (!(plain instanceof Error)) {
    return { path, publicKey: plain.publicKey, unlock: () => Promise.resolve(plain) };
  }
  if (!/encrypted/i.test(plain.message)) {
    return "has no private key of a kind that is supported: if ssh takes it, add it to ssh-agent";
  }
  let unlocked: Promise<PrivateKey | string> | undefined;
  return {
    path,
    publicKey: publicOf(file.text) ?? fromPub,
    unlock: () => unlocked ??= unlock(path, file.text, ask),
  };
}

async function unlock(
  path: string,
  text: string,
  ask: KeyRingOptions["passphrase"],
): Promise<PrivateKey | string> {
  if (ask === undefined) return "is encrypted: add it to ssh-agent";
  for (let tries = 0; tries < PASSPHRASE_TRIES_MAX; tries++) {
    const passphrase = await ask(path);
    if (passphrase === null) break;
    const key = privateKey(text, passphrase);
    if (!(key instanceof Error)) return key;
  }
  return "is encrypted, and its passphrase was not given";
}

/** An error for what is none, or is encrypted with another passphrase. */
function privateKey(text: string, passphrase?: string): PrivateKey | Error {
  try {
    const pem = isPem(text) ? readPem(text, passphrase) : null;
    const publicKey = pem === null ? parse(text, passphrase) : parse(pem.publicBlob);
    return { publicKey, sign: signer(publicKey.type, pem?.key ?? privateKeyOf(publicKey)) };
  } catch (error) {
    return error as Error;
  }
}

function parse(text: string | Buffer, passphrase?: string): ParsedKey {
  const parsed = ssh2.utils.parseKey(text, passphrase);
  const key = Array.isArray(parsed) ? parsed[0] : parsed;
  if (key === undefined || key instanceof Error) throw key ?? new Error("no key");
  return key;
}

function parseOrNull(text: string | Buffer): ParsedKey | null {
  try {
    return parse(text);
  } catch {
    return null;
  }
}

async function read(path: string): Promise<{ text: string; mode: number } | null> {
  try {
    const { mode, size } = await stat(path);
    return { mode, text: size > KEY_BYTES_MAX ? "" : await readFile(path, "utf8") };
  } catch (error) {
    if (isAbsent(error)) return null;
    return { mode: 0, text: "" }; // unreadable is "a kind that is not supported"
  }
}

/** The public half, which OpenSSH's own format has outside of what it encrypts. */
function publicOf(text: string): ParsedKey | null {
  const [, base64] = /-----BEGIN OPENSSH PRIVATE KEY-----([^-]+)-----END/.exec(text) ?? [];
  const bytes = Buffer.from(base64 ?? "", "base64");
  if (bytes.subarray(0, OPENSSH_MAGIC.length).toString("latin1") !== OPENSSH_MAGIC) return null;
  try {
    const reader = new WireReader(bytes.subarray(OPENSSH_MAGIC.length));
    for (let field = 0; field < 3; field++) reader.string(); // cipher, derivation, its options
    reader.uint32(); // number of keys: one
    return parse(reader.string());
  } catch {
    return null;
  }
}
