/**
 * Checking the audit: each lane is a hash chain without gaps, whose end is what its head says.
 *
 * What this cannot see is a lane cut off together with its head; heads that were noted elsewhere show that.
 */
import { entries } from "../store/record.ts";
import type { Read } from "../store/store.ts";
import { auditHash, GENESIS } from "./change.ts";
import { keys } from "./keys.ts";
import { auditHeads, audits } from "./records.ts";
import type { AuditEntry } from "./types.ts";

/** Where a chain breaks first: the lane, the entry's number and what is wrong. */
export interface Broken {
  lane: string;
  n: number;
  reason: string;
}

/** Null when every lane is whole. Reads all of the audit, page by page. */
export async function findBroken(
  tx: Read,
  sha256: (bytes: Uint8Array) => Uint8Array,
): Promise<Broken | null> {
  const ends = new Map<string, { n: number; hash: string }>();
  for await (const entry of audits.all(tx, keys.audits)) {
    const { lane, n } = entry;
    const before = ends.get(lane) ?? { n: 0, hash: GENESIS };
    const reason = wrongWith(entry, before, sha256);
    if (reason !== null) return { lane, n, reason };
    ends.set(lane, entry);
  }
  for await (const { key } of entries(tx, keys.auditHeads)) {
    const lane = key.slice(keys.auditHeads.length);
    const head = await auditHeads.get(tx, lane);
    const end = ends.get(lane);
    ends.delete(lane);
    if (head?.n !== end?.n || head?.hash !== end?.hash) {
      return { lane, n: head?.n ?? 0, reason: "its head is not its last entry" };
    }
  }
  const [headless] = ends;
  return headless === undefined ? null : { lane: headless[0], n: headless[1].n, reason: "it has no head" };
}

function wrongWith(
  { hash, ...entry }: AuditEntry,
  before: { n: number; hash: string },
  sha256: (bytes: Uint8Array) => Uint8Array,
): string | null {
  if (entry.n !== before.n + 1) return `entry ${before.n + 1} is missing`;
  if (entry.prev !== before.hash) return "it does not follow the entry before";
  return auditHash(sha256, entry) === hash ? null : "it was changed";
}
