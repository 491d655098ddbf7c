/** How outcomes add up: of responses to a host, of hosts to a run. */
import { type ResultCode, worstCode } from "../codes.ts";
import type { Counts, GroupResult, HostResult, Outcome, RunResult } from "./result.ts";

const COUNTED: Record<Outcome, keyof Counts> = {
  "ok": "ok",
  "changed": "changed",
  "failed": "failed",
  "skipped": "skipped",
  "unknown": "unknown",
  "not-run": "notRun",
};

export function noCounts(): Counts {
  return { ok: 0, changed: 0, failed: 0, skipped: 0, unknown: 0, notRun: 0 };
}

/** Each response once. */
export function countsOf(groups: readonly GroupResult[]): Counts {
  const counts = noCounts();
  for (const { steps } of groups) {
    for (const { responses } of steps) for (const { outcome } of responses) counts[COUNTED[outcome]]++;
  }
  return counts;
}

/** Hosts → the run. */
export function runResultOf(mode: RunResult["mode"], hosts: HostResult[], ms: number): RunResult {
  const total = noCounts();
  for (const { counts } of hosts) {
    for (const name of Object.values(COUNTED)) total[name] += counts[name];
  }
  const unreachable = hosts.filter(({ code }) => code === 255).length;
  return {
    mode,
    code: worstCode(hosts.map(({ code }): ResultCode => code)),
    counts: { ...total, hosts: hosts.length, unreachable },
    hosts,
    ms,
  };
}
