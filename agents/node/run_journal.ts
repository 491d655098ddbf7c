/**
 * What a node agent remembers of runs, in one small file: which it has begun, and which ends nobody has heard yet.
 *
 * J1. One file, replaced whole, one change after the other: what is not on disk did not happen.
 * J2. The epoch never falls. A run at or below it is never begun: it is one that was begun before, or a stale one.
 */
import { z } from "zod";
import { RunEnd } from "../../lib/cluster/protocol.ts";
import { RunId } from "../../lib/cluster/types.ts";
import { SalarError } from "../../lib/errors.ts";
import { RUNS_REMEMBERED_MAX } from "../../lib/limits.ts";
import type { Disk } from "../../lib/seams.ts";

const Journal = z.object({
  v: z.literal(1),
  /** Of the last run that was begun. */
  epoch: z.int().min(0),
  /** Begun, and not at their end. */
  open: z.array(RunId),
  /** At their end, which is still to be told. */
  owed: z.array(z.object({ run: RunId, end: RunEnd })),
  /** The last ones whose end was told. */
  told: z.array(RunId),
});
type Journal = z.infer<typeof Journal>;

export interface RunJournal {
  readonly epoch: number;
  readonly open: readonly string[];
  /** The oldest end that is owed; null when all is told. */
  firstOwed(): { run: string; end: RunEnd } | null;
  /** True for a run that was begun before. */
  knows(run: string): boolean;
  begin(run: string, epoch: number): Promise<void>;
  end(run: string, end: RunEnd): Promise<void>;
  /** Its end was told, or nobody wants to hear it. */
  forget(run: string): Promise<void>;
}

/** @throws {SalarError} `bad-record` for a damaged file */
export async function openRunJournal(disk: Disk, folder: string): Promise<RunJournal> {
  const path = `${folder}/runs.json`;
  let journal = await read(disk, path);
  let writing: Promise<void> = Promise.resolve();

  function change(edit: (journal: Journal) => Journal): Promise<void> {
    const written = writing.then(async () => {
      const next = edit(journal);
      await disk.replace(path, new TextEncoder().encode(JSON.stringify(next)));
      journal = next; // J1
    });
    writing = written.catch(() => {}); // its caller hears of it; the next change is tried all the same
    return written;
  }

  return {
    get epoch() {
      return journal.epoch;
    },
    get open() {
      return journal.open;
    },
    firstOwed: () => journal.owed[0] ?? null,
    knows: (run) =>
      [...journal.open, ...journal.told].includes(run) || journal.owed.some((owed) => owed.run === run),
    begin: (run, epoch) => change((now) => ({ ...now, epoch, open: [...now.open, run] })),
    end: (run, end) =>
      change((now) => ({
        ...now,
        open: without(now.open, run),
        owed: [...now.owed, { run, end }].slice(-RUNS_REMEMBERED_MAX),
      })),
    forget: (run) =>
      change((now) => ({
        ...now,
        open: without(now.open, run),
        owed: now.owed.filter((owed) => owed.run !== run),
        told: [...now.told, run].slice(-RUNS_REMEMBERED_MAX),
      })),
  };
}

async function read(disk: Disk, path: string): Promise<Journal> {
  const bytes = await disk.read(path);
  if (bytes === null) return { v: 1, epoch: 0, open: [], owed: [], told: [] };
  try {
    return Journal.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    // Beginning with nothing would let stale orders run: a person decides.
    throw new SalarError("bad-record", `Cannot read runs: ${path} is damaged; restore it, or enrol again`, {
      cause,
    });
  }
}

function without(runs: readonly string[], run: string): string[] {
  return runs.filter((each) => each !== run);
}
