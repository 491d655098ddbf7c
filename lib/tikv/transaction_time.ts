/** Timestamps of the cluster: milliseconds since 1970 shifted left by 18, and a count within the millisecond. */

/** Later than every timestamp. As a read's version: the latest committed value. As "now": every lock has expired. */
export const TS_MAX = (1n << 64n) - 1n;

const LOGICAL_BITS = 18n;

/** Milliseconds since 1970. */
export function physicalMs(ts: bigint): number {
  return Number(ts >> LOGICAL_BITS);
}

/** The first timestamp of a millisecond since 1970. */
export function timestampAt(ms: number): bigint {
  return BigInt(Math.max(0, Math.floor(ms))) << LOGICAL_BITS;
}

/** How long a lock lives on, at `now`, zero or less when it has expired. Time to live is measured from `startTs`. */
export function remainingMs(startTs: bigint, ttlMs: bigint, now: bigint): number {
  if (now === TS_MAX) return 0;
  return physicalMs(startTs) + Number(ttlMs) - physicalMs(now);
}
