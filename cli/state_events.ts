/**
 * A run for programs: a JSON object a line, as it happens; the last one is the roll-up.
 *
 * `{"type":"connecting"|"connected"|"begin"|"step"|"host", "host": NAME, …}`; of a host the whole result in the shape of
 * `wire_shape.ts`; at last `{"type":"summary","changed":0,"failed":0,…,"code":0}`.
 */
import type { Json, JsonObject } from "../lib/nanostate/json.ts";
import type { HostResult, RunEvent, RunResult } from "../lib/nanostate/run/result.ts";
import { wireShape } from "../lib/nanostate/run/wire_shape.ts";

export function eventLine(event: RunEvent): string {
  if (event.type === "step") return line({ type: "step", host: event.host, ...plain(event.result) });
  if (event.type === "host") return line({ type: "host", ...hostFields(event.result) });
  return line({ ...event });
}

/** @param exit of the program */
export function summaryLine({ mode, code, counts, ms }: RunResult, exit: number): string {
  return line({ type: "summary", mode, ...counts, ms, code, exit });
}

function hostFields(result: HostResult): JsonObject {
  const { host, address, code, message, counts, plan, ms } = result;
  return {
    host,
    address,
    code,
    message,
    counts: { ...counts },
    plan: plan === null ? null : { ...plan },
    ms,
    result: wireShape(result),
  };
}

function plain(value: object): JsonObject {
  return JSON.parse(JSON.stringify(value));
}

function line(value: Record<string, Json>): string {
  return JSON.stringify(value) + "\n";
}
