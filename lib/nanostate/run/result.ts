/**
 * What a run came to: on one host, and over all.
 *
 * R1. Codes roll up, worst of the children (`codes.ts`). Nothing that failed is counted as fine.
 * R2. Each command of a shell step, and each module, is one response, and is counted once.
 * R3. `unknown` is never `ok`: a plan that cannot tell says so.
 * R4. No value of a secret is in a result: where one stood, `********` stands.
 */
import type { ResultCode } from "../codes.ts";
import type { Json, JsonObject } from "../json.ts";

export type Outcome = "ok" | "changed" | "failed" | "skipped" | "unknown" | "not-run";

export type Counts = Record<"ok" | "changed" | "failed" | "skipped" | "unknown" | "notRun", number>;

/** One command, or one module. */
export interface Response {
  /** The command's name; for a module the module's whole name. */
  name: string;
  outcome: Outcome;
  code: ResultCode;
  /** For people: why it failed, was skipped, is unknown or did not run. "" otherwise. */
  message: string;
  stdout: string;
  stderr: string;
  rc: number | null;
  /** A module's own result, as Ansible shows it; null for a command. */
  json: JsonObject | null;
  diff: Json;
}

export interface StepResult {
  /** Of the plan: `serve/0`. */
  id: string;
  group: string;
  /** `shell`, or the module's whole name. */
  module: string;
  at: string;
  code: ResultCode;
  ms: number;
  responses: Response[];
}

export interface GroupResult {
  name: string;
  code: ResultCode;
  steps: StepResult[];
}

export interface HostResult {
  host: string;
  address: string;
  /** Of the state. */
  id: string;
  description: string;
  code: ResultCode;
  /** Why the host could not be used, or not to the end; "" when it could. */
  message: string;
  counts: Counts;
  /** In order; those that were reached before the host was lost, the rest as not run. */
  groups: GroupResult[];
  /** What the state came to there; null when it was not compiled. */
  plan: PlanTrace | null;
  ms: number;
}

/** Which plan it was: two hosts with the same hash had the same. */
export interface PlanTrace {
  /** SHA-256 of the compiled plan, hex. */
  hash: string;
  /** The facts that its functions asked for, and the answers. */
  facts: JsonObject;
}

export interface RunResult {
  mode: "apply" | "check";
  code: ResultCode;
  counts: Counts & { hosts: number; unreachable: number };
  hosts: HostResult[];
  ms: number;
}

/** What happens, as it happens. */
export type RunEvent =
  | { type: "connecting"; host: string }
  | { type: "connected"; host: string; steps: number }
  | { type: "begin"; host: string; step: string }
  | { type: "step"; host: string; result: StepResult }
  | { type: "host"; host: string; result: HostResult };
