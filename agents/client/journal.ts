/**
 * The journal of one move: what was there before, and how far the move has come. Pure.
 *
 *     write → restart → verify → there
 *         ╲       ╲        ╲
 *          put-back → restart-old → verify-old → back
 *
 * J1. From the moment the journal is on disk, the two ends are `there` and `back`; every step may be done again.
 * J2. A step is written down after its effect, so a crash repeats at most one step and skips none.
 * J3. The way back has no way out: it does not turn round, and is not given up.
 * J4. A move that is interrupted too often, or past its deadline, turns back.
 */
import { z } from "zod";
import { MasterName, PublicPem } from "../../lib/cluster/types.ts";
import { MOVE_MS_MAX, MOVE_RESUMES_MAX } from "../../lib/limits.ts";
import type { Outcome } from "./minion.ts";

const Step = z.enum(["write", "restart", "verify", "put-back", "restart-old", "verify-old", "there", "back"]);
export type Step = z.infer<typeof Step>;

/** What the director ordered, with the numbers of its directive. */
export const MoveOrder = z.object({
  seq: z.int().min(1),
  epoch: z.int().min(0),
  plan: z.string(),
  master: MasterName,
  masterKey: PublicPem,
});
export type MoveOrder = z.infer<typeof MoveOrder>;

/** A file as it was: its backup, or null for "there was none". */
const SavedFile = z.object({
  path: z.string(),
  backup: z.object({ path: z.string(), sha256: z.string() }).nullable(),
});
export type SavedFile = z.infer<typeof SavedFile>;

export const MoveJournal = z.object({
  v: z.literal(1),
  order: MoveOrder,
  /** The master before; null when none was named. */
  from: z.string().nullable(),
  /** To be done next, or the end. */
  step: Step,
  /** Why it went back; empty until then. */
  reason: z.string(),
  saved: z.array(SavedFile),
  resumes: z.int().min(0),
  startedAtMs: z.int(),
});
export type MoveJournal = z.infer<typeof MoveJournal>;

const FORWARD: Partial<Record<Step, Step>> = { write: "restart", restart: "verify", verify: "there" };
const BACKWARD: Partial<Record<Step, Step>> = {
  "put-back": "restart-old",
  // An old master that does not answer now changes nothing: its files are in force again.
  "restart-old": "verify-old",
  "verify-old": "back",
};

export function hasEnded({ step }: MoveJournal): boolean {
  return step === "there" || step === "back";
}

/** The journal after its step was done, with what came of it. An ended journal stays as it is. */
export function nextStep(journal: MoveJournal, outcome: Outcome): MoveJournal {
  const forward = FORWARD[journal.step];
  if (forward !== undefined) {
    return outcome.ok ? { ...journal, step: forward } : turnBack(journal, outcome.reason);
  }
  const step = BACKWARD[journal.step] ?? journal.step;
  return outcome.ok
    ? { ...journal, step }
    : { ...journal, step, reason: `${journal.reason}; ${outcome.reason}` };
}

/** The journal with which a restarted agent goes on. */
export function resumed(journal: MoveJournal, nowMs: number): MoveJournal {
  if (FORWARD[journal.step] === undefined) return journal;
  if (journal.resumes >= MOVE_RESUMES_MAX) {
    return turnBack(journal, `interrupted ${journal.resumes + 1} times`);
  }
  // A clock that was set back counts as late, too: going back is always right, going forward only in time.
  const ageMs = nowMs - journal.startedAtMs;
  if (ageMs < 0 || ageMs > MOVE_MS_MAX) return turnBack(journal, "interrupted for too long");
  return { ...journal, resumes: journal.resumes + 1 };
}

function turnBack(journal: MoveJournal, reason: string): MoveJournal {
  return { ...journal, step: "put-back", reason };
}
