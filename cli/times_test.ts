import assert from "node:assert/strict";
import { isSalarError } from "../lib/errors.ts";
import { durationMs, timeText } from "./times.ts";

Deno.test("timeText() tells how long ago, or in what time", () => {
  const nowMs = Date.UTC(2026, 0, 31, 12);
  const cases: [number, string][] = [
    [0, "now"],
    [-999, "now"],
    [-1_000, "1 s ago"],
    [-59_999, "59 s ago"],
    [-60_000, "1 min ago"],
    [-7_200_000, "2 h ago"],
    [-86_400_000 * 40, "40 d ago"],
    [3_600_000, "in 1 h"],
  ];
  for (const [awayMs, text] of cases) assert.equal(timeText(nowMs + awayMs, { nowMs, utc: false }), text);
  assert.equal(timeText(nowMs, { nowMs, utc: true }), "2026-01-31 12:00:00Z");
});

Deno.test("durationMs() reads what people write, and nothing else", () => {
  const cases: [string, number][] = [
    ["90s", 90_000],
    ["15m", 900_000],
    ["15 min", 900_000],
    ["2h", 7_200_000],
    ["30d", 2_592_000_000],
  ];
  for (const [text, ms] of cases) assert.equal(durationMs(text), ms, text);
  for (const text of ["", "5", "h", "-1h", "1.5h", "1w", "1h30m"]) {
    assert.throws(() => durationMs(text), (error) => isSalarError(error, "bad-input"), text);
  }
});
