/** Hunts in a process of their own: `main.ts hunt … --json`, read line by line. */
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Sabotage } from "./sabotage.ts";

const Hunted = z.object({
  seed: z.int(),
  failure: z.object({ invariant: z.string(), detail: z.string(), atMs: z.number() }).nullable(),
  hash: z.int(),
  events: z.int(),
  faults: z.int(),
  reached: z.record(z.string(), z.int()),
});
export type Hunted = z.infer<typeof Hunted>;

export interface HuntOptions {
  count: number;
  from: number;
  step: number;
  /** Ends at the first seed that finds it. */
  sabotage?: Sabotage;
}

/** The young generation is large, since a run leaves little behind and makes much; that is a seventh of the time. */
const V8 = "--v8-flags=--min-semi-space-size=64,--max-semi-space-size=64";

/** @throws {Error} when the process ends in any other way than by having run its seeds. */
export async function huntSeeds({ count, from, step, sabotage }: HuntOptions): Promise<Hunted[]> {
  const main = fileURLToPath(new URL("./main.ts", import.meta.url));
  const rule = sabotage === undefined ? [] : ["--sabotage", sabotage, "--first"];
  const args = ["run", "--no-prompt", V8, main, "hunt", `${count}`, "--from", `${from}`, "--step", `${step}`];
  const { stdout, stderr, code } = await new Deno.Command(Deno.execPath(), {
    args: [...args, "--json", ...rule],
  }).output();
  const lines = new TextDecoder().decode(stdout).split("\n").filter(Boolean);
  const hunted = lines.map((line) => Hunted.parse(JSON.parse(line)));
  const isOver = hunted.length === count ||
    (sabotage !== undefined && hunted.some(({ failure }) => failure !== null));
  if (code <= 1 && isOver) return hunted;
  throw new Error(`Cannot hunt on: process ended with ${code}: ${new TextDecoder().decode(stderr)}`);
}

/** Failed seeds, each with how to see it again. */
export function replayLines(failed: readonly Hunted[]): string {
  return failed.map(({ seed, failure }) =>
    `seed ${seed} breaks ${failure?.detail} after ${failure?.atMs} ms; replay: npx -y deno task sim ${seed} --trace`
  ).join("\n");
}
