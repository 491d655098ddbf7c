/**
 * A compiled state: an ordered plan, as data. JSON there and back gives the same; the same inputs give the same bytes.
 *
 * P1. Groups in order, their steps in order, the commands of a step in order. Commands are lines for `/bin/sh -c`.
 * P2. A text with secrets in it is `{"$text": [...]}`, see `secrets.ts`; no value of a secret is in a plan.
 */
import type { Uses } from "./functions.ts";
import type { Json, JsonObject } from "./json.ts";
import type { SecretText } from "./secrets.ts";

export interface Plan {
  version: 1;
  /** Of the root state. */
  id: string;
  description: string;
  groups: PlanGroup[];
  /** What its functions asked for: hosts that agree on these facts share a plan. */
  uses: Uses;
}

export interface PlanGroup {
  name: string;
  /** Where it is defined: `base/motd`. */
  from: string;
  steps: PlanStep[];
}

export type PlanStep = ShellStep | ModuleStep;

interface StepBase {
  /** Group and number: `serve/0`. */
  id: string;
  /** The group whose step it is; another than the own one for a dependency. */
  from: string;
  /** `web.st:7:7` */
  at: string;
  /** The step that did the same above, for a dependency that was met before: it does not run again. */
  ranAbove?: string;
}
export interface ShellStep extends StepBase {
  kind: "shell";
  commands: PlanCommand[];
}
export interface ModuleStep extends StepBase {
  kind: "module";
  /** Whole: `ansible.builtin.apt`. */
  module: string;
  args: JsonObject;
}

export type PlanText = string | SecretText;

/** See GUARDS of `state.ts`. */
export interface PlanCommand {
  name: string;
  run: PlanText;
  creates?: PlanText;
  removes?: PlanText;
  unless?: PlanText;
  onlyif?: PlanText;
  changed?: PlanText;
  ok?: number[];
  once?: PlanText;
}

/** The plan as it is stored and hashed. */
export function planJson(plan: Plan): Json {
  return JSON.parse(JSON.stringify(plan));
}
