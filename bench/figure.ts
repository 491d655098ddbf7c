/** One measured figure of a benchmark: a row of the table for people and a JSON line for programs. */
export interface Figure {
  /** The benchmark's name, as in `deno task bench NAME`. */
  bench: string;
  /** What was measured, such as `write, file, 16 callers`. */
  case: string;
  value: number;
  /** Such as `tx/s` or `ms`. */
  unit: string;
  /** What it is compared with; null without a peer or floor. */
  peer: string | null;
  /** Better than the peer or floor by this factor; null without one. */
  ratio: number | null;
  /** The least ratio (with a peer) or the value aimed at; null without an aim. */
  goal: number | null;
  /** Whether the goal was met; null without one. */
  ok: boolean | null;
}
