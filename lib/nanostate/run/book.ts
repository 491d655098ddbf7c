/**
 * One host's steps and what became of each: what may be sent, what a result means, what was never reached.
 *
 * In: the steps in order, results as they come, in order. Out: groups of step results, each step exactly once.
 * B1. The rule after a failure holds here as on the host: `end-group` ends the step's group, `end-run` everything after
 *     it, in check mode nothing ends.
 * B2. Steps that the runner decides by itself (refused, ran above) get their result in their place, under the same rule.
 * B3. When the connection is lost, the step that may have been under way has an unknown outcome; the rest did not run.
 * B4. Everything that leaves here went through the mask.
 */
import type { WireResult, WireStep } from "../agent/protocol.ts";
import { worstCode } from "../codes.ts";
import type { Json } from "../json.ts";
import type { Plan, PlanStep } from "../plan.ts";
import type { Mask } from "./mask.ts";
import { codeOf, cutOff, isOpenAfter, responsesOf, sameForAll } from "./outcome.ts";
import type { ReadyStep } from "./prepare.ts";
import type { GroupResult, Response, StepResult } from "./result.ts";

export interface Rules {
  mode: "apply" | "check";
  onFailure: "end-group" | "end-run" | "go-on";
}

/** The groups of a plan of which nothing ran. */
export function notReached({ groups }: Plan, why: string): GroupResult[] {
  return groups.map(({ name, steps }) =>
    groupResult(name, steps.map((step) => stepResult(step, name, sameForAll(step, "not-run", why), 0)))
  );
}

export class Book {
  readonly #results = new Map<string, StepResult>();
  readonly #begun = new Set<string>();
  readonly #sent = new Set<string>();
  readonly #ended = new Map<string, string>();
  #at = 0;
  #runEnded: string | null = null;
  #isOpen = false;

  /** @param onStep hears of each step's result, in order */
  constructor(
    readonly steps: readonly ReadyStep[],
    readonly rules: Rules,
    readonly mask: Mask,
    readonly onStep: (result: StepResult) => void,
  ) {}

  /** Groups of steps for the agent, of these steps in order, that the rule lets pass; empty when there is none. */
  sendable(steps: readonly ReadyStep[]): { steps: WireStep[] }[] {
    const groups = new Map<string, WireStep[]>();
    const held = new Map<string, string[]>(); // by group: steps above elsewhere that must have gone well
    const ended = new Set(this.#ended.keys());
    let isEnded = this.#runEnded !== null;
    for (const { step, group, work } of steps) {
      if (isEnded || ended.has(group)) continue;
      if (work.kind === "refused") { // B1, B2
        if (this.#ends("end-group")) ended.add(group);
        if (this.#ends("end-run")) isEnded = true;
      } else if (work.kind === "above") {
        held.set(group, [...held.get(group) ?? [], work.id]);
      } else if (work.kind === "agent") {
        const needs = this.#ends("end-group")
          ? (held.get(group) ?? []).filter((id) => !this.#isFine(id))
          : [];
        const wire = needs.length === 0 ? work.wire : { ...work.wire, needs };
        groups.set(group, [...groups.get(group) ?? [], wire]);
        this.#sent.add(step.id);
      }
    }
    return [...groups.values()].map((steps) => ({ steps }));
  }

  /** Whether the rule lets this step pass; those above it have their results. */
  mayRun({ step, group }: ReadyStep): boolean {
    this.#settleUntil(step.id);
    return this.#runEnded === null && !this.#ended.has(group);
  }

  /** Something so far would change, or is unknown. */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  begin(id: string): void {
    this.#begun.add(id);
  }

  /** @throws {RangeError} a result for a step that is not in the plan, or has one already */
  settle(wire: WireResult): void {
    const ready = this.#settleUntil(wire.step);
    const { mode } = this.rules;
    const responses = responsesOf(ready.step, wire, { mode, isOpen: this.#isOpen });
    this.#put(ready, responses, wire.kind === "not-run" ? 0 : wire.ms);
  }

  /** Everything that has no result yet. @param why null when the run came to its end @param mayHaveRun B3 */
  finish(why: string | null, mayHaveRun = false): void {
    let isFirst = mayHaveRun;
    for (const ready of this.steps.slice(this.#at)) {
      const { id } = ready.step;
      const isCut = this.#begun.has(id) || isFirst && this.#sent.has(id);
      if (this.#sent.has(id)) isFirst = false;
      if (why !== null && isCut) this.#put(ready, cutOff(ready.step, why), 0);
      else this.#settleAlone(ready, why ?? "the agent said nothing of it");
    }
  }

  /** In the plan's order; a group without steps is there, too. */
  groups(plan: Plan): GroupResult[] {
    return plan.groups.map(({ name, steps }) =>
      groupResult(name, steps.flatMap(({ id }) => this.#results.get(id) ?? []))
    );
  }

  #settleUntil(id: string): ReadyStep {
    for (;;) {
      const ready = this.steps[this.#at];
      if (ready === undefined) throw new RangeError(`the agent answers for ${id}, which is not asked for`);
      if (ready.step.id === id) return ready;
      this.#settleAlone(ready, "the agent said nothing of it");
    }
  }

  /** B2 @param reason why it did not run, if nothing else is known */
  #settleAlone(ready: ReadyStep, reason: string): void {
    const { step, group, work } = ready;
    const stop = this.#runEnded ?? this.#ended.get(group);
    if (stop !== undefined) return this.#put(ready, sameForAll(step, "not-run", stop), 0);
    if (work.kind === "refused") return this.#put(ready, sameForAll(step, "failed", work.why), 0);
    if (work.kind !== "above") return this.#put(ready, sameForAll(step, "not-run", reason), 0);
    const responses = this.#isFine(work.id)
      ? sameForAll(step, "ok", `ran above: ${work.id}`)
      : sameForAll(step, "not-run", `${work.id} above did not go well`);
    this.#put(ready, responses, 0);
  }

  #put({ step, group }: ReadyStep, responses: Response[], ms: number): void {
    this.#at++;
    const masked = responses.map((response) => this.#masked(response));
    const result = stepResult(step, group, masked, ms);
    this.#results.set(step.id, result);
    this.#isOpen ||= masked.some(isOpenAfter);
    if (result.code !== 0) { // B1
      if (this.#ends("end-run")) this.#runEnded ??= `the step ${step.id} failed`;
      if (this.#ends("end-group") && !this.#ended.has(group)) {
        this.#ended.set(group, `the step ${step.id} failed`);
      }
    }
    this.onStep(result);
  }

  /** Whether a failure ends so much. */
  #ends(what: "end-group" | "end-run"): boolean {
    const { mode, onFailure } = this.rules;
    return mode === "apply" && (onFailure === what || onFailure === "end-run");
  }

  #isFine(id: string): boolean {
    return this.#results.get(id)?.code === 0;
  }

  #masked(response: Response): Response {
    const { mask } = this;
    return {
      ...response,
      message: mask.text(response.message),
      stdout: mask.text(response.stdout),
      stderr: mask.text(response.stderr),
      json: response.json === null ? null : mask.json(response.json) as { [key: string]: Json },
      diff: mask.json(response.diff),
    };
  }
}

function groupResult(name: string, steps: StepResult[]): GroupResult {
  return { name, code: worstCode(steps.map(({ code }) => code)), steps };
}

function stepResult(step: PlanStep, group: string, responses: Response[], ms: number): StepResult {
  const module = step.kind === "module" ? step.module : "shell";
  return { id: step.id, group, module, at: step.at, code: codeOf(responses), ms, responses };
}
