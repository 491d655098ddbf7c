/**
 * The origin of change positions: one replication slot, and the copy that belongs to it.
 *
 * O1. Within an origin positions only rise; numbers of origins only rise: receivers compare (number, LSN, index).
 * O2. A new origin begins whenever something may have been missed; `reasonForNewOrigin` lists when.
 */
import { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import type { Disk } from "../../lib/seams.ts";
import { type Catalogue, SLOT_PREFIX } from "./catalogue.ts";
import { lsnText, parseLsn } from "./lsn.ts";
import type { SystemIdentity } from "./replication.ts";

const Origin = z.object({
  v: z.literal(1),
  no: z.int().min(1),
  systemId: z.string(),
  timeline: z.string(),
  /** Tables and columns that the copy took, as text. */
  published: z.string(),
  /** The copy has reached the bus as a whole. */
  copied: z.boolean(),
  /** A position confirmed not long ago, 16 hex digits. */
  confirmed: z.string().regex(/^[0-9A-F]{16}$/),
});
export type Origin = z.infer<typeof Origin>;

export interface Seen {
  catalogue: Catalogue;
  system: SystemIdentity;
}

/** Its name in messages: `<system identifier>.<timeline>.<number>`. */
export function nameOf({ systemId, timeline, no }: Origin): string {
  return `${systemId}.${timeline}.${no}`;
}

/** Each origin has a slot of its own name, so no other slot can be taken for it. */
export function slotOf({ no }: { no: number }): string {
  return `${SLOT_PREFIX}${no}`;
}

/** Null when `last` can go on; else why not, in words. */
export function reasonForNewOrigin(last: Origin | null, { catalogue, system }: Seen): string | null {
  if (last === null) return "first start";
  if (!last.copied) return "the last copy did not end";
  if (last.systemId !== system.systemId || last.timeline !== system.timeline) {
    return `another database system or timeline: ${system.systemId}.${system.timeline}`;
  }
  // A restored volume has the same identity, and even the slot of back then.
  if (BigInt(`0x${last.confirmed}`) > system.flushedLsn) return "the database was set back";
  if (last.published !== publishedText(catalogue)) return "other tables or columns are published";
  const slot = catalogue.slots.find(({ name, here }) => here && name === slotOf(last));
  if (slot === undefined) return "the replication slot is gone";
  if (slot.walStatus === "lost") {
    return "the replication slot has lost its log: max_slot_wal_keep_size was reached";
  }
  return null;
}

export function nextOrigin(last: Origin | null, { catalogue, system }: Seen): Origin {
  // Slots tell of numbers that a lost state file does not; those of other databases share the name space.
  const taken = catalogue.slots.map(({ name }) => Number(name.slice(SLOT_PREFIX.length)));
  return {
    v: 1,
    no: Math.max(0, last?.no ?? 0, ...taken.filter(Number.isSafeInteger)) + 1,
    systemId: system.systemId,
    timeline: system.timeline,
    published: publishedText(catalogue),
    copied: false,
    confirmed: lsnText(0n),
  };
}

/** Where to go on: slots are written at checkpoints, the file now and then; both only after confirming. */
export function confirmedLsn(origin: Origin, { slots }: Catalogue): bigint {
  const slot = slots.find(({ name }) => name === slotOf(origin));
  const ours = BigInt(`0x${origin.confirmed}`);
  const theirs = parseLsn(slot?.confirmed ?? "0/0");
  return ours > theirs ? ours : theirs;
}

/** Null at the first start. @throws {SalarError} `bad-record`: a damaged file must not look like a first start. */
export async function readOrigin(disk: Disk, path: string): Promise<Origin | null> {
  const bytes = await disk.read(path);
  if (bytes === null) return null;
  try {
    return Origin.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    const message = `Cannot read origin of changes: ${path} is damaged; restore it from a backup, ` +
      "or remove it together with the agent's slot to begin anew under a higher number";
    throw new SalarError("bad-record", message, { cause });
  }
}

export async function writeOrigin(disk: Disk, path: string, origin: Origin): Promise<void> {
  await disk.replace(path, new TextEncoder().encode(JSON.stringify(origin)));
}

function publishedText({ publication }: Catalogue): string {
  return (publication?.tables ?? []).map(({ schema, name, columns }) =>
    `${schema}.${name}(${columns?.join(",")})`
  ).join(" ");
}
