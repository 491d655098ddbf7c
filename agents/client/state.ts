/** What the agent must not forget: who it is in the cluster, what it has done, what it has not yet reported. */
import { z } from "zod";
import { MoveReport } from "../../lib/cluster/protocol.ts";
import { ClusterId, Fp, ZoneName } from "../../lib/cluster/types.ts";
import { CLIENT_REPORTS_MAX } from "../../lib/limits.ts";
import type { Disk } from "../../lib/seams.ts";
import { readRecord, writeRecord } from "./record.ts";

export const AgentState = z.object({
  v: z.literal(1),
  fp: Fp,
  id: ClusterId,
  zone: ZoneName,
  cluster: z.string(),
  /** SPKI DER of the cluster's key, base64: pinned at enrolment. */
  clusterKey: z.string(),
  /** Number of the last directive that is done. */
  lastSeq: z.int().min(0),
  /** Epoch of the last directive that was acted on; a directive must be above it. */
  lastEpoch: z.int().min(0),
  /** Not yet acknowledged, oldest first. */
  reports: z.array(MoveReport),
});
export type AgentState = z.infer<typeof AgentState>;

/** Null before enrolment. @throws {SalarError} `bad-record`. */
export async function readState(disk: Disk, folder: string): Promise<AgentState | null> {
  return await readRecord(disk, `${folder}/state.json`, AgentState);
}

export async function writeState(disk: Disk, folder: string, state: AgentState): Promise<void> {
  await writeRecord(disk, `${folder}/state.json`, state);
}

/** The state once a directive is done, with its report still to be sent. */
export function withReport(state: AgentState, report: MoveReport): AgentState {
  return {
    ...state,
    lastSeq: report.seq,
    lastEpoch: Math.max(state.lastEpoch, report.epoch),
    reports: [...state.reports, report].slice(-CLIENT_REPORTS_MAX),
  };
}
