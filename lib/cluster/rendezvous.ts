/**
 * Weighted rendezvous hashing: each system ranks all nodes by a hash of both, and takes the best that may take it.
 *
 * Every node draws u in (0, 1) for the system and finishes at -ln(u) / weight: a race of exponential clocks, which
 * each node wins in proportion to its weight. Adding a node wins it a share from everybody and changes no other
 * pair; removing one frees only what it had.
 * R1. Only + - * / on doubles and 32-bit integer operations: choices are stored and replayed, and `Math.log` may
 *     differ between engines in the last bit.
 * R2. The answer depends on the set of contenders, not on their order, once they are sorted by name.
 * Source: Thaler & Ravishankar 1998; Resch & Schindelhauer (weights); MurmurHash3's 32-bit finaliser.
 */

/** 64 bits in two lanes. One lane would give two of 1,000 nodes the same hash, and so the same rank for ever, too often. */
export interface Hash {
  readonly a: number;
  readonly b: number;
}

export interface Contender {
  readonly hash: Hash;
  /** Above 0. */
  readonly weight: number;
}

const TWO_32 = 2 ** 32;

/** A number and the text of its digits have different hashes: use one form per kind of name. */
export function hashOf(name: string | number, seed = 0): Hash {
  let a = mix(seed ^ 0x9e3779b9);
  let b = mix(seed ^ 0x7f4a7c15);
  if (typeof name === "number") {
    a = mix(a ^ name);
    b = mix(b ^ name ^ Math.floor(name / TWO_32));
  } else {
    for (let at = 0; at < name.length; at++) {
      const unit = name.charCodeAt(at);
      a = Math.imul(a ^ unit, 0x01000193);
      b = Math.imul(b ^ unit, 0x5bd1e995) ^ (b >>> 15);
    }
    a = mix(a ^ name.length);
    b = mix(b ^ a);
  }
  return { a, b };
}

/**
 * The contender that wins the race for `system` among those that may; null where none may.
 * `contenders` must be sorted by name, so that equal times have one winner.
 */
export function winner<T extends Contender>(
  system: Hash,
  contenders: readonly T[],
  mayWin: (contender: T) => boolean,
): T | null {
  let best: T | null = null;
  let bestTime = Infinity;
  for (const contender of contenders) {
    const u = uniform(contender.hash, system);
    // -ln(u) is at least 1 - u: most contenders are out before a logarithm is needed.
    if ((1 - u) / contender.weight >= bestTime || !mayWin(contender)) continue;
    const time = -ln(u) / contender.weight;
    if (time < bestTime) {
      best = contender;
      bestTime = time;
    }
  }
  return best;
}

/** The pair's draw: uniform in (0, 1), never 0 or 1. */
export function uniform(x: Hash, y: Hash): number {
  const first = mix(x.a ^ y.a);
  return ((mix((first + x.b) ^ y.b) >>> 0) + 0.5) / TWO_32;
}

/** The natural logarithm of a positive finite number, the same bits on every engine; within 4e-16 of the true value, relatively. */
export function ln(x: number): number {
  if (!(x > 0 && x < Infinity)) {
    throw new RangeError(`Cannot take logarithm: ${x} is not positive and finite`);
  }
  let mantissa = x;
  let twos = 0;
  while (mantissa < Math.SQRT1_2) { // exact: doubling changes only the exponent; at most 1,074 times
    mantissa *= 2;
    twos--;
  }
  while (mantissa >= Math.SQRT2) {
    mantissa /= 2;
    twos++;
  }
  // ln(m) = 2 artanh(s), |s| < 0.172: the first term left out, s²⁴ / 25, is below the last bit.
  const s = (mantissa - 1) / (mantissa + 1);
  const square = s * s;
  let sum = 0;
  for (let odd = 23; odd >= 1; odd -= 2) sum = sum * square + 1 / odd;
  return twos * Math.LN2 + 2 * s * sum;
}

function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
