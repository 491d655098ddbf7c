/**
 * How long to wait after a failure: evenly drawn between 0 and a ceiling that doubles up to its cap ("full jitter").
 * A million agents that lose one director at the same moment come back spread out, not as a wave.
 * Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
 */
import { CLIENT_BACKOFF_MS, CLIENT_BACKOFF_MS_MAX } from "../../lib/limits.ts";
import type { Random } from "../../lib/seams.ts";

/** Milliseconds to wait after the `failures`-th failure in a row (1 or more). */
export function backoffMs(random: Random, failures: number): number {
  let ceilingMs = CLIENT_BACKOFF_MS;
  for (let at = 1; at < failures && ceilingMs < CLIENT_BACKOFF_MS_MAX; at++) ceilingMs *= 2;
  return random.below(Math.min(ceilingMs, CLIENT_BACKOFF_MS_MAX) + 1);
}
