/**
 * Compiled plans of a run: hosts with the same parameters, whose facts answer alike, share one.
 *
 * P1. A function sees parameters and the facts that it asks for, nothing else; so equal answers give an equal plan.
 */
import { createHash } from "node:crypto";
import { compileState } from "../compile.ts";
import { NanostateError } from "../errors.ts";
import { factAt } from "../functions.ts";
import type { JsonObject } from "../json.ts";
import { type Plan, planJson } from "../plan.ts";
import type { StateIndex } from "../state_index.ts";
import type { PlanTrace } from "./result.ts";

export interface Compiled {
  plan: Plan;
  trace: PlanTrace;
}

export class Plans {
  readonly #byParams = new Map<string, Compiled[]>();

  constructor(readonly index: StateIndex, readonly id: string, readonly secrets: ReadonlySet<string>) {}

  /** Null when the state asks for facts and none are given. @throws {NanostateError} */
  compile(params: JsonObject, facts: JsonObject | null): Compiled | null {
    const key = JSON.stringify(params);
    const known = this.#byParams.get(key) ?? [];
    this.#byParams.set(key, known);
    const found = known.find(({ trace }) => holds(trace.facts, facts));
    if (found !== undefined) return found;
    const plan = this.#compiled(params, facts);
    if (plan === null) return null;
    const compiled = { plan, trace: { hash: hashOf(plan), facts: answers(plan.uses.facts, facts ?? {}) } };
    known.push(compiled);
    return compiled;
  }

  #compiled(params: JsonObject, facts: JsonObject | null): Plan | null {
    const { index, id, secrets } = this;
    try {
      return compileState(index, id, { params, secrets, ...(facts === null ? {} : { facts }) });
    } catch (error) {
      if (facts === null && error instanceof NanostateError && error.code === "needs-facts") return null;
      throw error;
    }
  }
}

/** P1. Without facts a plan holds that asks for none. */
function holds(asked: JsonObject, facts: JsonObject | null): boolean {
  const names = Object.keys(asked);
  if (facts === null) return names.length === 0;
  return JSON.stringify(answers(names, facts)) === JSON.stringify(asked);
}

function answers(names: readonly string[], facts: JsonObject): JsonObject {
  return Object.fromEntries(names.map((name) => [name, factAt(facts, name) ?? null]));
}

function hashOf(plan: Plan): string {
  return createHash("sha256").update(JSON.stringify(planJson(plan))).digest("hex");
}
