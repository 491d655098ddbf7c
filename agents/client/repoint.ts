/**
 * Re-points a minion to another master, so that it ends at the new one, or at the old one as before.
 *
 * In: an order, the minion, a disk. Out: the ended journal, `there` or `back`.
 * R1. Nothing of the minion is touched before backup and journal are on disk (see journal.ts for what follows).
 * R2. At the end the files are those of the order, or byte for byte those of before.
 * R3. Only one move at a time: the caller finishes or settles the last journal before it begins another.
 * Source: domain brief of moving a client (docs/client-agent.md); a write-ahead journal as in any database.
 */
import { messageOf, SalarError } from "../../lib/errors.ts";
import type { Crypt, Disk, Scope } from "../../lib/seams.ts";
import { hasEnded, MoveJournal, type MoveOrder, nextStep, resumed, type SavedFile } from "./journal.ts";
import { dropInText, type Minion, type MinionLayout, type Outcome } from "./minion.ts";
import { readRecord, writeRecord } from "./record.ts";

export interface RepointDeps {
  disk: Disk;
  crypt: Crypt;
  minion: Minion;
  /** Where journal and backup lie. */
  folder: string;
}

interface FileChange {
  path: string;
  text: string;
}

/** Salt's own mode for these files; none of them is secret. */
const MODE = 0o644;

/** The journal of the last move, ended or not; null before the first. @throws {SalarError} `bad-record`. */
export async function readJournal({ disk, folder }: RepointDeps): Promise<MoveJournal | null> {
  return await readRecord(disk, journalPath(folder), MoveJournal);
}

/**
 * Carries out an order. Refuses as a `back` that touched nothing when the configuration would not follow.
 * @throws {SalarError} `unavailable` when backup or journal cannot be written, and whatever `finishMove` throws.
 */
export async function move(scope: Scope, deps: RepointDeps, order: MoveOrder): Promise<MoveJournal> {
  const { master, problems } = await deps.minion.setting();
  const journal: MoveJournal = {
    v: 1,
    order,
    from: master,
    step: "write",
    reason: "",
    saved: [],
    resumes: 0,
    startedAtMs: scope.nowMs(),
  };
  if (problems.length > 0) {
    const refused: MoveJournal = { ...journal, step: "back", reason: problems.join("; ") };
    await writeJournal(deps, refused);
    return refused;
  }
  const begun: MoveJournal = { ...journal, saved: await backUp(deps) };
  await writeJournal(deps, begun);
  return await finishMove(scope, deps, begun);
}

/** What `move` was doing when the process ended: finishes it. An ended journal comes back as it is. */
export async function resumeMove(
  scope: Scope,
  deps: RepointDeps,
  journal: MoveJournal,
): Promise<MoveJournal> {
  const going = resumed(journal, scope.nowMs());
  // Before the step: a step that ends the process must count as an interruption each time.
  if (going !== journal) await writeJournal(deps, going);
  return await finishMove(scope, deps, going);
}

/** What a move would change, as lines for people: `+` new, `-` old, and what stands in the way. */
export async function previewMove(
  deps: RepointDeps,
  target: { master: string; masterKey: string },
): Promise<string> {
  const { master, namedIn, problems } = await deps.minion.setting();
  const lines = [
    `master now: ${master ?? "none named"}`,
    ...namedIn.map((named) => `  ${named.file}: ${named.master}`),
    `master then: ${target.master}`,
    ...problems.map((problem) => `cannot move: ${problem}`),
  ];
  for (const { path, text } of changesOf(deps.minion.layout, target)) {
    const before = await deps.disk.read(path);
    lines.push("", `--- ${before === null ? "(no file)" : path}`, `+++ ${path}`);
    lines.push(...diffLines(before === null ? "" : new TextDecoder().decode(before), text));
  }
  lines.push("", "then: restart the minion and verify; put everything back unless the new master answers");
  return lines.join("\n");
}

/**
 * From the journal's step to its end, each step written down when it is done; at most six, see journal.ts.
 * @throws {SalarError} `unavailable` when the disk refuses on the way back, `bad-record` for a damaged backup; the
 * journal then stands at its step. `cancelled` when the scope ends.
 */
async function finishMove(scope: Scope, deps: RepointDeps, begun: MoveJournal): Promise<MoveJournal> {
  let journal = begun;
  while (!hasEnded(journal)) {
    journal = nextStep(journal, await perform(scope, deps, journal));
    await writeJournal(deps, journal);
  }
  return journal;
}

/** What goes wrong in a step is its outcome, except where there is nothing left but to try again (J3). */
async function perform(scope: Scope, deps: RepointDeps, journal: MoveJournal): Promise<Outcome> {
  try {
    return await act(scope, deps, journal);
  } catch (error) {
    if (scope.signal.aborted || journal.step === "put-back") throw error;
    return { ok: false, reason: messageOf(error) };
  }
}

async function act(
  scope: Scope,
  deps: RepointDeps,
  { step, order, saved, from }: MoveJournal,
): Promise<Outcome> {
  switch (step) {
    case "write":
      await writeChanges(deps, order);
      return { ok: true };
    case "put-back":
      await putBack(deps, saved);
      return { ok: true };
    case "verify":
      return await deps.minion.verify(scope, order.master);
    case "verify-old":
      return await verifyOld(scope, deps.minion, from);
    default:
      return await deps.minion.restart(scope);
  }
}

async function writeChanges({ disk, minion }: RepointDeps, order: MoveOrder): Promise<void> {
  for (const { path, text } of changesOf(minion.layout, order)) {
    await disk.replace(path, new TextEncoder().encode(text), { mode: MODE });
  }
}

async function verifyOld(scope: Scope, minion: Minion, master: string | null): Promise<Outcome> {
  if (master === null) return { ok: true };
  const outcome = await minion.verify(scope, master);
  return outcome.ok
    ? outcome
    : { ok: false, reason: `the old master does not answer either: ${outcome.reason}` };
}

/** The key first: a minion that starts in between must not meet the new master without a key to hold it to. */
function changesOf(layout: MinionLayout, target: { master: string; masterKey: string }): FileChange[] {
  return [
    { path: layout.masterKey, text: target.masterKey },
    { path: layout.dropIn, text: dropInText(target.master) },
  ];
}

async function backUp({ disk, crypt, minion: { layout }, folder }: RepointDeps): Promise<SavedFile[]> {
  const saved: SavedFile[] = [];
  for (const path of [layout.dropIn, layout.masterKey, ...layout.kept]) {
    const bytes = await disk.read(path);
    if (bytes === null) {
      saved.push({ path, backup: null });
      continue;
    }
    const backup = { path: `${folder}/backup/${baseName(path)}`, sha256: crypt.sha256(bytes).toHex() };
    await disk.replace(backup.path, bytes);
    saved.push({ path, backup });
  }
  return saved;
}

async function putBack({ disk, crypt }: RepointDeps, saved: readonly SavedFile[]): Promise<void> {
  for (const { path, backup } of saved) {
    if (backup === null) {
      await disk.remove(path);
      continue;
    }
    const bytes = await disk.read(backup.path);
    if (bytes === null || crypt.sha256(bytes).toHex() !== backup.sha256) {
      throw new SalarError(
        "bad-record",
        `Cannot put back ${path}: backup ${backup.path} is missing or damaged`,
      );
    }
    await disk.replace(path, bytes, { mode: MODE });
  }
}

function diffLines(before: string, after: string): string[] {
  if (before === after) return ["  (unchanged)"];
  const lines = (mark: string, text: string) =>
    text.split("\n").filter(Boolean).map((line) => `${mark} ${line}`);
  return [...lines("-", before), ...lines("+", after)];
}

async function writeJournal({ disk, folder }: RepointDeps, journal: MoveJournal): Promise<void> {
  await writeRecord(disk, journalPath(folder), journal);
}

function journalPath(folder: string): string {
  return `${folder}/move.json`;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
