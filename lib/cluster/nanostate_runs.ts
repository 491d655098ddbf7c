/**
 * A nanostate on one machine, as the cluster hears of it: how far it is, and what it came to.
 *
 * In: events and results of `lib/nanostate`, whose secrets are masked already. Out: `RunProgress` and `RunEnd`.
 */
import type { Outcome, Response, RunEvent, RunResult, StepResult } from "../nanostate/run/result.ts";
import { wireShape } from "../nanostate/run/wire_shape.ts";
import type { RunEnd } from "./protocol.ts";
import { fittingResult } from "./run_results.ts";
import { NO_COUNTS } from "./running.ts";
import type { RunCounts, RunProgress } from "./types.ts";

const REASON_CHARS_MAX = 1_000;
const STEP_CHARS_MAX = 300;

/** @returns gives the progress after each event of one machine's run */
export function progressCounter(): (event: RunEvent) => RunProgress {
  let progress: RunProgress = { done: 0, total: 0, counts: NO_COUNTS, step: "" };
  return (event) => progress = after(progress, event);
}

function after(progress: RunProgress, event: RunEvent): RunProgress {
  switch (event.type) {
    case "connecting":
      return { ...progress, step: "connecting" };
    case "connected":
      return { ...progress, total: event.steps, step: "" };
    case "begin":
      return { ...progress, step: event.step.slice(0, STEP_CHARS_MAX) };
    case "step":
      return { ...progress, done: progress.done + 1, counts: withStep(progress.counts, event.result) };
    case "host":
      return { ...progress, counts: event.result.counts, step: "" };
  }
}

function withStep(counts: RunCounts, { responses }: StepResult): RunCounts {
  return responses.reduce((sum, { outcome }) => {
    const name = countOf(outcome);
    return { ...sum, [name]: sum[name] + 1 };
  }, counts);
}

function countOf(outcome: Outcome): keyof RunCounts {
  return outcome === "not-run" ? "notRun" : outcome;
}

/** @param result of a run on one machine. @param isCancelled it was ended from here */
export function runEnd(result: RunResult, { isCancelled }: { isCancelled: boolean }): RunEnd {
  const [host] = result.hosts;
  if (host === undefined) {
    return { outcome: "failed", reason: "it was run on no machine", progress: null, result: null };
  }
  const { failed } = result.counts;
  const steps = host.groups.flatMap((group) => group.steps);
  const outcome = result.code === 0 || result.mode === "check" && failed === 0 && host.message === ""
    ? "done"
    : isCancelled
    ? "cancelled"
    : "failed";
  const reason = outcome === "done" ? "" : host.message || firstFailure(steps) || "some steps did not run";
  return {
    outcome,
    reason: reason.slice(0, REASON_CHARS_MAX),
    progress: {
      done: steps.filter(({ responses }) => responses.some((each) => each.outcome !== "not-run")).length,
      total: steps.length,
      counts: host.counts,
      step: "",
    },
    result: fittingResult(wireShape(host)),
  };
}

/** `node-stop/1 (node-stop.st:12:7), services: exit code 1`. */
function firstFailure(steps: readonly StepResult[]): string {
  for (const { id, at, responses } of steps) {
    const response = responses.find(({ outcome }) => outcome === "failed");
    if (response !== undefined) return `${id} (${at}), ${response.name}: ${said(response)}`;
  }
  return "";
}

/** What it wrote last tells more than its exit code. */
function said({ message, stderr }: Response): string {
  const last = stderr.trim().split("\n").at(-1) ?? "";
  return [message, last].filter((text, n, all) => text !== "" && all.indexOf(text) === n).join(": ");
}
