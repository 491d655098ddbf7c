/**
 * Public keys as SSH writes them: a sequence of length-prefixed strings, the first of which names the type.
 *
 * K1. What comes from a host is read with a check at every step; a reader never goes past the end.
 * Source: RFC 4251 section 5, RFC 4253 section 6.6.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";

export interface PublicKey {
  /** `ssh-ed25519`, `ssh-ed25519-cert-v01@openssh.com`. */
  type: string;
  blob: Buffer;
}

/** `SHA256:…`, as `ssh-keygen -l` shows it. */
export function fingerprint(blob: Uint8Array): string {
  return `SHA256:${createHash("sha256").update(blob).digest("base64").replace(/=+$/, "")}`;
}

/** @returns null when the bytes are no public key */
export function publicKey(bytes: Uint8Array): PublicKey | null {
  const blob = Buffer.from(bytes);
  try {
    return { type: new WireReader(blob).text(), blob };
  } catch {
    return null;
  }
}

/** A key's type and base64, as in `known_hosts` and `.pub` files. @returns null when they are none, or disagree */
export function publicKeyOfText(type: string, base64: string): PublicKey | null {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return null;
  const key = publicKey(Buffer.from(base64, "base64"));
  return key !== null && key.type === type ? key : null;
}

export class WireReader {
  #position = 0;

  constructor(private readonly bytes: Buffer) {}

  get position(): number {
    return this.#position;
  }

  get isAtEnd(): boolean {
    return this.#position === this.bytes.length;
  }

  uint32(): number {
    return this.#take(4).readUInt32BE();
  }

  uint64(): bigint {
    return this.#take(8).readBigUInt64BE();
  }

  string(): Buffer {
    return this.#take(this.uint32());
  }

  /** @throws for what is not UTF-8 */
  text(): string {
    return new TextDecoder("utf-8", { fatal: true }).decode(this.string());
  }

  #take(length: number): Buffer {
    const end = this.#position + length;
    if (end > this.bytes.length) throw new RangeError(`Cannot read ${length} bytes: the value ends before`);
    const taken = this.bytes.subarray(this.#position, end);
    this.#position = end;
    return taken;
  }
}

/** Strings, each with its length before it. */
export function wireStrings(...parts: (string | Buffer)[]): Buffer {
  return Buffer.concat(parts.flatMap((part) => {
    const bytes = Buffer.from(part);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return [length, bytes];
  }));
}
