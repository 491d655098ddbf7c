/**
 * How long to wait after a failure: evenly drawn between 0 and a ceiling that doubles up to its cap ("full jitter").
 * A million agents that lose one director at the same moment come back spread out, not as a wave.
 * Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
 */
import type { Random } from "./seams.ts";

export interface Backoff {
  /** Ceiling of the first wait. */
  firstMs: number;
  /** No ceiling is above this. */
  capMs: number;
}

/** Milliseconds to wait after the `failures`-th failure in a row (1 or more); at least 1. */
export function backoffMs(random: Random, failures: number, { firstMs, capMs }: Backoff): number {
  let ceilingMs = firstMs;
  for (let at = 1; at < failures && ceilingMs < capMs; at++) ceilingMs *= 2;
  return 1 + random.below(Math.min(ceilingMs, capMs));
}
