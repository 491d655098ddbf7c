/**
 * What a run came to, for people: what changed or did not go well, with its place and its own words, then the counts.
 *
 * O1. Unknown is shown as unknown, never among what is fine.
 * O2. Texts of hosts are shown line by line, bounded, and cannot steer the terminal.
 */
import { isObject, type Json } from "../lib/nanostate/json.ts";
import type { HostResult, Outcome, Response, RunResult, StepResult } from "../lib/nanostate/run/result.ts";
import { type Paint, printable, tableWriter, type Tone } from "./table.ts";
import { unifiedDiff } from "./unified_diff.ts";

const LINES_MAX = 200;
const TONES: Partial<Record<Outcome, Tone>> = {
  "changed": "busy",
  "failed": "bad",
  "unknown": "busy",
  "not-run": "dim",
};

/** @param withDiffs shows the text of changes @returns whole lines */
export function runReport(
  result: RunResult,
  { withDiffs, paint }: { withDiffs: boolean; paint: Paint },
): string {
  const lines = result.hosts.flatMap((host) => hostLines(host, withDiffs, paint));
  return lines.map((line) => line + "\n").join("") + countsTable(result, paint);
}

function hostLines(host: HostResult, withDiffs: boolean, paint: Paint): string[] {
  const steps = host.groups.flatMap(({ steps }) => steps).flatMap((step) =>
    stepLines(step, withDiffs, paint)
  );
  if (steps.length === 0 && host.message === "") return [];
  const message = host.message.split("\n").map((line) => paint(`  ${printable(line)}`, "bad"));
  return [paint(printable(host.host), "head"), ...host.message === "" ? [] : message, ...steps, ""];
}

function stepLines(step: StepResult, withDiffs: boolean, paint: Paint): string[] {
  return step.responses.flatMap((response) => {
    if (response.outcome === "ok" || response.outcome === "skipped") return [];
    const name = step.module === "shell" ? `shell ${response.name}` : step.module;
    const head = `  ${paint(response.outcome.padEnd(7), TONES[response.outcome])}  ${
      printable(`${step.id}  ${name}  (${step.at})`)
    }`;
    return [head, ...responseLines(response), ...withDiffs ? diffLines(response.diff, paint) : []];
  });
}

/** Why, in its own words. Of a change, nothing. */
function responseLines({ outcome, message, stdout, stderr }: Response): string[] {
  if (outcome === "changed") return [];
  const texts = outcome === "failed" ? [message, stdout, stderr] : [message];
  const distinct = texts.map((text) => text.trim()).filter((text, n, all) =>
    text !== "" && all.indexOf(text) === n
  );
  return bounded(distinct.flatMap((text) => text.split("\n"))).map((line) => `           ${printable(line)}`);
}

function diffLines(diff: Json, paint: Paint): string[] {
  const parts = Array.isArray(diff) ? diff : diff === null ? [] : [diff];
  const lines = parts.flatMap((part) => isObject(part) ? partLines(part as { [key: string]: Json }) : []);
  return bounded(lines).map((line) => {
    const tone: Tone | undefined = line.startsWith("+") ? "good" : line.startsWith("-") ? "bad" : undefined;
    return paint(`           ${line.split("\n").map(printable).join("\n           ")}`, tone);
  });
}

function partLines(part: { [key: string]: Json }): string[] {
  const prepared = part["prepared"];
  if (typeof prepared === "string") return prepared.trimEnd().split("\n");
  const lines = unifiedDiff(textOf(part["before"]), textOf(part["after"]));
  if (lines.length === 0) return [];
  const header = (key: string, without: string) => textOf(part[key]).trim() || without;
  return [
    `--- ${header("before_header", "before")}`,
    `+++ ${header("after_header", "after")}`,
    ...lines,
  ];
}

/** Modules give texts, or objects of attributes. */
function textOf(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value, null, 2) + "\n";
}

function bounded(lines: readonly string[]): string[] {
  if (lines.length <= LINES_MAX) return [...lines];
  return [...lines.slice(0, LINES_MAX), `... ${lines.length - LINES_MAX} more lines; --json has them`];
}

function countsTable({ hosts, counts }: RunResult, paint: Paint): string {
  const columns = [
    ["OK", "ok"],
    ["CHANGED", "changed"],
    ["FAILED", "failed"],
    ["SKIPPED", "skipped"],
    ["UNKNOWN", "unknown"],
    ["NOT RUN", "notRun"],
  ] as const;
  const write = tableWriter(
    [{ title: "HOST" }, ...columns.map(([title]) => ({ title, right: true }))],
    paint,
  );
  const tones: Partial<Record<string, Tone>> = {
    changed: "busy",
    failed: "bad",
    unknown: "busy",
    notRun: "dim",
  };
  const row = (name: string, of: HostResult["counts"]) => [
    { text: name },
    ...columns.map(([, key]) => {
      const tone = of[key] > 0 ? tones[key] : undefined;
      return { text: String(of[key]), ...tone === undefined ? {} : { tone } };
    }),
  ];
  const total = hosts.length > 1 ? [row(`${hosts.length} hosts`, counts)] : [];
  return write([...hosts.map((host) => row(host.host, host.counts)), ...total]);
}
