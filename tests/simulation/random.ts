/**
 * Chance by seed: sfc32, a stream per purpose, so that a new draw in one place shifts none in another.
 *
 * R1. Same seed and name, same numbers, on every machine.
 * Source: PractRand's sfc32 by Chris Doty-Humphrey; FNV-1a for names.
 */
import { assert } from "../../lib/errors.ts";
import type { Random } from "../../lib/seams.ts";

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

/** FNV-1a over UTF-16 units; goes on from `from`. */
export function hashText(text: string, from = 0x811c9dc5): number {
  let hash = from;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

/** One well-mixed number of two (the finalizer of MurmurHash3). */
export function mix(a: number, b: number): number {
  let hash = Math.imul(a ^ Math.imul(b, 0x9e3779b1), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

export function seededRandom(seed: number, name: string): Random {
  const key = hashText(name);
  let [a, b, c, counter] = [seed | 0, key | 0, mix(seed, key) | 0, 1];
  const u32 = () => {
    const drawn = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + drawn | 0;
    return drawn >>> 0;
  };
  for (let round = 0; round < 12; round++) u32(); // until the seed has spread
  const random: Random = {
    u32,
    below(below) {
      assert(below >= 1, "`below` is at least 1");
      return Math.floor(u32() / 2 ** 32 * below);
    },
    bytes(length) {
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length; at++) bytes[at] = u32() & 255;
      return bytes;
    },
    id() {
      let text = "";
      for (let at = 0; at < 26; at++) text += BASE32[u32() & 31];
      return text;
    },
    fork: (other) => seededRandom(seed, `${name}/${other}`),
  };
  return random;
}

/** Between `low` and `high`, both included. */
export function between(random: Random, low: number, high: number): number {
  return low + random.below(high - low + 1);
}

/** One of `all`, which has at least one. */
export function pick<T>(random: Random, all: readonly T[]): T {
  return all[random.below(all.length)] as T;
}
