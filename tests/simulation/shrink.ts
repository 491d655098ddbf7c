/**
 * The least of a list that still fails, near enough: parts are left out while it does, halves first, single ones last.
 *
 * Source: Zeller's delta debugging, without its complements: faults by name seldom need each other (`faults.ts`, F1).
 */

/** Of one shrinking, at most. */
const TRIES_MAX = 150;

/** @param fails Whether it still fails with these only. */
export function shrink(names: readonly string[], fails: (names: readonly string[]) => boolean): string[] {
  let left = [...names];
  let tries = 0;
  for (let size = Math.ceil(left.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < left.length && tries < TRIES_MAX;) {
      const without = left.toSpliced(at, size);
      tries++;
      if (fails(without)) left = without;
      else at += size;
    }
  }
  return left;
}
