/** Readings of this process for `/metrics`, by the names that Prometheus' own libraries use. */
import type { ProcessFacts } from "./metrics.ts";

export function realProcess(): ProcessFacts {
  const startSeconds = (Date.now() - performance.now()) / 1_000;
  return () => {
    const { rss, heapUsed, external } = Deno.memoryUsage();
    return {
      process_resident_memory_bytes: rss,
      process_heap_bytes: heapUsed,
      process_external_memory_bytes: external,
      process_start_time_seconds: startSeconds,
    };
  };
}
