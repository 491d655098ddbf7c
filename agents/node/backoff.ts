/** Waits between failures: doubling up to a cap, with full jitter, so that the agents of a site do not come in step. */
import { NODE_BACKOFF_MS, NODE_BACKOFF_MS_MAX } from "../../lib/limits.ts";
import type { Random } from "../../lib/seams.ts";

/** How long to wait after so many failures in a row (1 and more). */
export function backoffMs(failures: number, random: Random): number {
  const cap = Math.min(NODE_BACKOFF_MS_MAX, NODE_BACKOFF_MS * 2 ** Math.min(failures - 1, 16));
  return 1 + random.below(cap);
}
