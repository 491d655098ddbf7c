/** The table for people: one row a figure, printed as it comes, so columns are as wide as they ever need to be. */
import type { Figure } from "./figure.ts";

const WIDTHS = { name: 62, value: 12, unit: 12, ratio: 8, goal: 10 };

export function tableHead(): string {
  return line({ name: "case", value: "value", unit: "unit", ratio: "ratio", goal: "goal", rest: "" });
}

export function row({ bench, case: name, value, unit, peer, ratio, goal, ok }: Figure): string {
  const met = ok === null ? "" : ok ? "met" : "missed";
  return line({
    name: `${bench}: ${name}`,
    value: value.toLocaleString("en"),
    unit,
    ratio: ratio === null ? "" : `${ratio}x`,
    goal: goal === null ? "" : goal.toLocaleString("en"),
    rest: [met, peer === null ? "" : `(${peer})`].filter((text) => text !== "").join("  "),
  });
}

function line(cells: Record<"name" | "value" | "unit" | "ratio" | "goal" | "rest", string>): string {
  const { name, value, unit, ratio, goal, rest } = cells;
  return [
    name.padEnd(WIDTHS.name),
    value.padStart(WIDTHS.value),
    unit.padEnd(WIDTHS.unit),
    ratio.padStart(WIDTHS.ratio),
    goal.padStart(WIDTHS.goal),
    rest,
  ].join(" ").trimEnd();
}
