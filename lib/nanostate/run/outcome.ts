/**
 * What an agent's answer for one step means: an outcome for each command, or for the module.
 *
 * O1. A module's JSON decides, not its exit code: `failed`, else an `rc` that is not 0.
 * O2. In check mode a module that skips itself is unknown: it has no check mode. So is a failure after a step that would
 *     have changed something, or is unknown itself: it may have needed that change.
 * O3. A step that was cut off (connection lost, run ended) has an unknown outcome, code 2: it may have done its work.
 * Source: brief 2.4 and 4 (`executor/task_executor.py` of ansible-core).
 */
import { isFailed, type WireCommandResult, type WireResult } from "../agent/protocol.ts";
import { type ResultCode, worstCode } from "../codes.ts";
import type { Json, JsonObject } from "../json.ts";
import { tidied } from "../modules/tidy.ts";
import type { PlanStep } from "../plan.ts";
import type { Outcome, Response } from "./result.ts";

export interface Situation {
  mode: "apply" | "check";
  /** Something above would change, or is unknown. */
  isOpen: boolean;
}

const CODES: Record<Outcome, ResultCode> = {
  "ok": 0,
  "changed": 0,
  "skipped": 0,
  "unknown": 0,
  "failed": 1,
  "not-run": 2,
};

/** @param wire of this step */
export function responsesOf(step: PlanStep, wire: WireResult, situation: Situation): Response[] {
  if (wire.kind === "not-run") return sameForAll(step, wire.cannot ? "failed" : "not-run", wire.why);
  if (wire.kind === "module") return [moduleResponse(nameOf(step), wire, situation)];
  let { isOpen } = situation; // an earlier command of the step counts, too
  return wire.commands.map((command) => {
    const response = commandResponse(command, { ...situation, isOpen });
    isOpen ||= isOpenAfter(response);
    return response;
  });
}

/** One response for a module, or for each command, that all have the same fate. */
export function sameForAll(step: PlanStep, outcome: Outcome, message: string): Response[] {
  const names = step.kind === "module" ? [step.module] : step.commands.map(({ name }) => name);
  return names.map((name) => bare(name, outcome, message));
}

/** O3 */
export function cutOff(step: PlanStep, why: string): Response[] {
  return sameForAll(step, "unknown", `unknown outcome: ${why}`).map((response) => ({ ...response, code: 2 }));
}

export function codeOf(responses: readonly Response[]): ResultCode {
  return worstCode(responses.map(({ code }) => code));
}

/** In check mode: steps below may need what this one would have done. */
export function isOpenAfter({ outcome }: Response): boolean {
  return outcome === "changed" || outcome === "unknown";
}

/** What the runner itself found out for a module, as a module would say it. */
export function moduleResponse(
  name: string,
  { result, stderr, timedOut, ms }: Omit<Extract<WireResult, { kind: "module" }>, "step" | "kind">,
  { mode, isOpen }: Situation,
): Response {
  const json = tidied(result);
  const isBad = timedOut || isFailed(result);
  const isMute = mode === "check" && result["skipped"] === true;
  const outcome = isBad
    ? softened(mode, isOpen)
    : result["skipped"] === true
    ? isMute ? "unknown" : "skipped"
    : result["changed"] === true
    ? "changed"
    : "ok";
  const said = textOf(result["msg"]);
  return {
    ...bare(name, outcome, ""),
    message: timedOut
      ? `stopped: it did not end within ${Math.ceil(ms / 1000)} s`
      : isBad
      ? said || "it failed and does not say why"
      : outcome === "skipped" || outcome === "unknown"
      ? said || "the module has no check mode"
      : "",
    stdout: textOf(result["stdout"] ?? result["module_stdout"]),
    stderr: textOf(result["stderr"] ?? result["module_stderr"]) || stderr,
    rc: typeof result["rc"] === "number" ? result["rc"] : null,
    json,
    diff: diffOf(json["diff"]),
  };
}

function commandResponse(command: WireCommandResult, { mode, isOpen }: Situation): Response {
  const { name, rc, stdout, stderr, why, timedOut } = command;
  const outcome = command.outcome === "failed" ? softened(mode, isOpen) : command.outcome;
  const reason = timedOut ? "stopped: it took too long" : rc === null ? "it was killed" : `exit code ${rc}`;
  const message = command.outcome === "failed" ? why || reason : why;
  return { ...bare(name, outcome, message), stdout, stderr, rc };
}

/** O2 */
function softened(mode: Situation["mode"], isOpen: boolean): Outcome {
  return mode === "check" && isOpen ? "unknown" : "failed";
}

function bare(name: string, outcome: Outcome, message: string): Response {
  return {
    name,
    outcome,
    code: CODES[outcome],
    message,
    stdout: "",
    stderr: "",
    rc: null,
    json: null,
    diff: null,
  };
}

function nameOf(step: PlanStep): string {
  return step.kind === "module" ? step.module : "shell";
}

/** Some modules give an empty one when they are not asked for it. */
function diffOf(diff: Json | undefined): Json {
  return diff === undefined || Array.isArray(diff) && diff.length === 0 ? null : diff;
}

/** A module's `msg` may be anything. */
function textOf(value: Json | undefined): string {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A module's answer that says it failed. */
export function failure(msg: string, more: JsonObject = {}): JsonObject {
  return { failed: true, changed: false, msg, ...more };
}
