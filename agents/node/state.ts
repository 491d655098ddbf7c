/**
 * What the node agent remembers of its cluster and of its directives, in one small file.
 *
 * S1. One file, replaced whole: number done and reports owed cannot disagree.
 */
import { z } from "zod";
import { NodeReport } from "../../lib/cluster/protocol.ts";
import { Fp, ZoneName } from "../../lib/cluster/types.ts";
import { SalarError } from "../../lib/errors.ts";
import { OUTBOX_FETCH_MAX } from "../../lib/limits.ts";
import type { Disk } from "../../lib/seams.ts";

export const NodeState = z.object({
  v: z.literal(1),
  fp: Fp,
  zone: ZoneName,
  cluster: z.string(),
  /** SPKI DER of the cluster's key, base64: pinned at enrolment. */
  clusterKey: z.string(),
  /** Number of the last directive that was acted on. */
  done: z.int().min(0),
  /** Reports that nobody acknowledged yet, in order. */
  reports: z.array(NodeReport).max(OUTBOX_FETCH_MAX),
});
export type NodeState = z.infer<typeof NodeState>;

/** Null before enrolment. @throws {SalarError} `bad-record` for a damaged file. */
export async function readState(disk: Disk, folder: string): Promise<NodeState | null> {
  const path = pathIn(folder);
  const bytes = await disk.read(path);
  if (bytes === null) return null;
  try {
    return NodeState.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    const message = `Cannot read state: ${path} is damaged; restore it, or enrol again under a new identity`;
    throw new SalarError("bad-record", message, { cause });
  }
}

export async function writeState(disk: Disk, folder: string, state: NodeState): Promise<void> {
  await disk.replace(pathIn(folder), new TextEncoder().encode(JSON.stringify(state)));
}

function pathIn(folder: string): string {
  return `${folder}/node.json`;
}
