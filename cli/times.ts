/** Times and durations, as people say them. */
import { SalarError } from "../lib/errors.ts";

const UNITS = [["d", 86_400_000], ["h", 3_600_000], ["min", 60_000], ["s", 1_000]] as const;

/** `3 min ago`, `in 2 h`, `now`; or with `utc`: `2026-01-31 12:00:00Z`. */
export function timeText(atMs: number, { nowMs, utc }: { nowMs: number; utc: boolean }): string {
  if (utc) return new Date(atMs).toISOString().replace("T", " ").replace(/\.\d+Z$/, "Z");
  const awayMs = Math.abs(nowMs - atMs);
  const [name, unitMs] = UNITS.find(([, unitMs]) => awayMs >= unitMs) ?? ["", 0];
  if (unitMs === 0) return "now";
  const text = `${Math.floor(awayMs / unitMs)} ${name}`;
  return atMs < nowMs ? `${text} ago` : `in ${text}`;
}

/** Milliseconds of `90s`, `15m`, `2h` or `30d`. @throws {SalarError} `bad-input` */
export function durationMs(text: string): number {
  const [, number = "", unit = ""] = /^(\d{1,9})(s|m|min|h|d)$/.exec(text.replace(" ", "")) ?? [];
  const found = UNITS.find(([name]) => name === unit || name === "min" && unit === "m");
  if (found === undefined) {
    throw new SalarError("bad-input", `Cannot read "${text}" as a duration: say 90s, 15m, 2h or 30d`);
  }
  return Number(number) * found[1];
}
