/**
 * Keys: their order, their size and what may not be one. Shared by every adapter.
 *
 * K1. Order is by UTF-8 bytes, which is the order of code points and not that of JavaScript's `<`.
 * K2. A key has 1 … STORE_KEY_BYTES_MAX bytes, no NUL and no half of a surrogate pair.
 */
import { SalarError } from "../errors.ts";
import { STORE_KEY_BYTES_MAX, STORE_SCAN_LIMIT_MAX } from "../limits.ts";
import type { Range, ScanOptions } from "./store.ts";

/** Negative when `a` comes first, positive when `b` does, 0 for the same key (K1). */
export function compareKeys(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    // A surrogate stands for a code point above U+FFFF, so it follows every unit that is none.
    if (isSurrogate(x) !== isSurrogate(y)) return isSurrogate(x) ? 1 : -1;
    return x - y;
  }
  return a.length - b.length;
}

/** The UTF-8 bytes of `key`; refuses with `bad-input` or `too-large` what cannot be a key (K2). */
export function checkKey(key: string): number {
  if (key === "" || key.includes("\0") || !key.isWellFormed()) {
    throw new SalarError(
      "bad-input",
      `Cannot use key ${JSON.stringify(key)}: it is empty, holds NUL or is no UTF-8`,
    );
  }
  const bytes = utf8Bytes(key);
  if (bytes > STORE_KEY_BYTES_MAX) {
    const start = JSON.stringify(key.slice(0, 40));
    throw new SalarError(
      "too-large",
      `Cannot use key ${start}…: ${bytes} bytes, at most ${STORE_KEY_BYTES_MAX}`,
    );
  }
  return bytes;
}

/** The range that is left after `options.after`; refuses a limit that is out of bounds with `bad-input`. */
export function checkScan(range: Range, options: ScanOptions): Range {
  const { limit, after, reverse = false } = options;
  if (!Number.isInteger(limit) || limit < 1 || limit > STORE_SCAN_LIMIT_MAX) {
    throw new SalarError("bad-input", `Cannot scan: limit is ${limit}, must be 1 … ${STORE_SCAN_LIMIT_MAX}`);
  }
  if (after === undefined) return range;
  if (reverse) return { from: range.from, to: compareKeys(after, range.to) < 0 ? after : range.to };
  const next = after + "\0"; // no key holds NUL, so nothing lies between
  return { from: compareKeys(next, range.from) > 0 ? next : range.from, to: range.to };
}

/** The length of `text` in UTF-8. */
export function utf8Bytes(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) bytes += unit > 0x7ff && !isSurrogate(unit) ? 2 : 1; // a pair: 2 units, 4 bytes
  }
  return bytes;
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff;
}
