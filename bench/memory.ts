/** Megabytes that this process had at most; where the system does not tell, what it has now. */
export async function peakMemoryMb(): Promise<number> {
  if (Deno.build.os !== "linux") return Deno.memoryUsage().rss / 1e6;
  const [, kib] = /^VmHWM:\s+(\d+) kB$/m.exec(await Deno.readTextFile("/proc/self/status")) ?? [];
  return Number(kib) * 1_024 / 1e6;
}
