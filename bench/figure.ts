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
  /** The least ratio, or the value aimed at (see README.md); null without an aim. */
  goal: number | null;
  /** Whether the goal was met; null without one. */
  ok: boolean | null;
}

export type Report = (figure: Figure) => void;

/** What `run` of each benchmark is given beside where to report. */
export interface BenchOptions {
  /** How long to measure each case; more where one round of it needs more. */
  seconds: number;
}

/** A figure before it is judged. */
export interface Measured extends Pick<Figure, "bench" | "case" | "value" | "unit"> {
  /** The peer or floor, and its value in the same unit. */
  peer?: { name: string; value: number };
  goal?: { ratio: number } | { value: number };
}

/** Units of which less is better; of every other, more is. */
const LESS_IS_BETTER = ["us", "ms", "MB"];

export function judged({ peer, goal, ...measured }: Measured): Figure {
  const { value, unit } = measured;
  const better = (one: number, other: number) => LESS_IS_BETTER.includes(unit) ? other / one : one / other;
  const ratio = peer === undefined ? null : better(value, peer.value);
  return {
    ...measured,
    value: rounded(value),
    peer: peer === undefined ? null : `${peer.name}: ${rounded(peer.value)} ${unit}`,
    ratio: ratio === null ? null : rounded(ratio),
    ...aim(),
  };

  function aim(): Pick<Figure, "goal" | "ok"> {
    if (goal === undefined) return { goal: null, ok: null };
    if ("value" in goal) return { goal: goal.value, ok: better(value, goal.value) >= 1 };
    return { goal: goal.ratio, ok: (ratio ?? 0) >= goal.ratio };
  }
}

/** The upper one of the two in the middle where there is no middle; NaN of none. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

function rounded(value: number): number {
  return value >= 100 ? Math.round(value) : Math.round(value * 100) / 100;
}
