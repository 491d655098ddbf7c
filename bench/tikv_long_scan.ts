/**
 * A long scan in a process of its own, whose peak memory is then that of the scan. Usage: PD PREFIX COUNT
 * Prints one JSON line: `LongScan`.
 */
import { connect } from "../lib/tikv/client.ts";
import { print } from "../lib/mesh/real_program.ts";
import { peakMemoryMb } from "./memory.ts";

export interface LongScan {
  pairs: number;
  seconds: number;
  peakMb: number;
}

if (import.meta.main) {
  const [pd = "", prefix = "", count = ""] = Deno.args;
  await using client = await connect({ pd: [pd] });
  const from = new TextEncoder().encode(prefix);
  const startMs = performance.now();
  let pairs = 0;
  for await (const _ of client.snapshot().scan({ from }, { limit: Number(count) })) pairs++;
  const seconds = (performance.now() - startMs) / 1_000;
  print(JSON.stringify({ pairs, seconds, peakMb: await peakMemoryMb() } satisfies LongScan));
}
