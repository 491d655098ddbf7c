/**
 * The memcomparable form in which the placement driver knows keys: groups of eight bytes, the last one padded with
 * zeros, each followed by 0xFF less the number of its padding bytes. The order of encoded keys is that of the keys.
 * Source: tikv components/codec, `encode_bytes`.
 */
import { TikvError } from "./errors.ts";

const GROUP = 8;

export function encodeKey(key: Uint8Array): Uint8Array {
  const groups = Math.floor(key.length / GROUP) + 1;
  const encoded = new Uint8Array(groups * (GROUP + 1));
  for (let group = 0; group < groups; group++) {
    const part = key.subarray(group * GROUP, (group + 1) * GROUP);
    encoded.set(part, group * (GROUP + 1));
    encoded[group * (GROUP + 1) + GROUP] = 0xff - (GROUP - part.length);
  }
  return encoded;
}

/** Throws `corrupt`: the cluster then holds data of another kind (raw key-value), which no retry mends. */
export function decodeKey(encoded: Uint8Array): Uint8Array {
  const groups = encoded.length / (GROUP + 1);
  const padding = 0xff - (encoded[encoded.length - 1] ?? 0);
  const key = new Uint8Array(Math.max(0, Math.floor(groups) * GROUP));
  let valid = Number.isInteger(groups) && groups > 0 && padding > 0 && padding <= GROUP;
  for (let group = 0; valid && group < groups; group++) {
    const at = group * (GROUP + 1);
    key.set(encoded.subarray(at, at + GROUP), group * GROUP);
    if (group < groups - 1) valid = encoded[at + GROUP] === 0xff;
  }
  const end = key.length - padding;
  if (!valid || key.subarray(end).some((byte) => byte !== 0)) {
    throw new TikvError(
      "corrupt",
      `decode region boundary ${
        hex(encoded)
      }: not memcomparable; is there raw key-value data in this cluster?`,
    );
  }
  return key.subarray(0, end);
}

/** Negative, zero or positive, by unsigned bytes. */
export function compareKeys(a: Uint8Array, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  for (let at = 0; at < common; at++) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

export function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compareKeys(a, b) === 0;
}

/** Whether `key` lies in [from, to); an empty `to` is unbounded. */
export function inRange(key: Uint8Array, from: Uint8Array, to: Uint8Array): boolean {
  return compareKeys(key, from) >= 0 && (to.length === 0 || compareKeys(key, to) < 0);
}

/** The least key above `key`. */
export function keyAfter(key: Uint8Array): Uint8Array {
  const after = new Uint8Array(key.length + 1);
  after.set(key);
  return after;
}

/** A key as a string of one character a byte: strings of this form sort as their keys do, and serve in maps. */
export function keyText(key: Uint8Array): string {
  return Reflect.apply(String.fromCharCode, null, key); // to spread it would make an object for every byte
}

/** For messages; a long key is cut. */
export function hex(key: Uint8Array): string {
  const shown = key.subarray(0, 32).toHex();
  return key.length > 32 ? `${shown}… (${key.length} bytes)` : shown;
}
