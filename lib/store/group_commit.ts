/**
 * Commits the transactions that end in the same turn together: one SQLite transaction and one sync for all of them.
 *
 * In: transactions that have run. Out: for each of them what became of it.
 * G1. Every transaction is checked and applied on its own: first who lost most often, so that a caller in a tight loop
 *     cannot starve the others, then in the order they ended. One that conflicts leaves nothing. A disk fault fails all that were waiting for that sync.
 * G2. Nothing is told before COMMIT has returned.
 * G3. Each commit has a revision of its own, higher than all before; a reader of that revision sees all of it.
 * G4. A lock meets the changes of its key, before and after, and not other locks: many may share one.
 * G5. A token is looked up under the write lock, so two transactions with one token never both commit.
 */
import { STORE_GROUP_WRITES_MAX } from "../limits.ts";
import type { Scope } from "../seams.ts";
import type { WriteBuffer } from "./buffer.ts";
import { cancelledError } from "./gate.ts";
import type { Prune } from "./sqlite_horizon.ts";
import type { Meta, Tables } from "./sqlite_tables.ts";

/** A transaction that has run and wants to be committed. */
export interface Ended {
  scope: Scope;
  /** The revision that it read. */
  snapshot: number;
  buffer: WriteBuffer;
  /** How often it ran before and lost. */
  losses: number;
  token: { name: string; result: string | null } | null;
}

export type Outcome =
  | { kind: "committed" }
  /** The token had committed before, with this result. */
  | { kind: "repeated"; result: string | null }
  /** What another committed after the snapshot, such as `a change of key a`. */
  | { kind: "conflict"; lost: string };

export interface GroupCommitOptions {
  tables: Tables;
  /** Calls back when the turn is over, so that others can join; only a microtask later where nothing is synced. */
  defer: (flush: () => void) => void;
  /** Called before COMMIT. */
  prune: Prune;
}

interface Waiting {
  ended: Ended;
  resolve: (outcome: Outcome) => void;
  reject: (error: unknown) => void;
}

/** Returns the function that commits one transaction. Rejects with `cancelled` or an error of SQLite. */
export function groupCommit(options: GroupCommitOptions): (ended: Ended) => Promise<Outcome> {
  let queue: Waiting[] = []; // bounded by the transactions that run, each of which waits here at most once

  function flush(): void {
    queue.sort((a, b) => b.ended.losses - a.ended.losses); // G1; equal ones stay in order
    const group = takeGroup(queue);
    queue = queue.slice(group.length);
    if (queue.length > 0) options.defer(flush);
    try {
      for (const tell of commitGroup(group, options)) tell(); // G2
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }

  return (ended) =>
    new Promise((resolve, reject) => {
      queue.push({ ended, resolve, reject });
      if (queue.length === 1) options.defer(flush);
    });
}

/** As many from the front as fit one commit; at least one. */
function takeGroup(queue: readonly Waiting[]): Waiting[] {
  let writes = 0;
  const end = queue.findIndex(({ ended }) => (writes += ended.buffer.writes.size) > STORE_GROUP_WRITES_MAX);
  return end === -1 ? queue.slice() : queue.slice(0, Math.max(end, 1));
}

/** What to tell the members once this has returned. Throws when nothing could be written. */
function commitGroup(group: readonly Waiting[], { tables, prune }: GroupCommitOptions): (() => void)[] {
  return tables.locked(() => {
    const meta = tables.meta();
    const before = meta.revision;
    let prunable = 0;
    const settle = group.map(({ ended, resolve, reject }) => {
      if (ended.scope.signal.aborted) return () => reject(cancelledError());
      const outcome = refusal(tables, ended, meta);
      if (outcome !== null) return () => resolve(outcome);
      const committed = () => resolve({ kind: "committed" });
      if (ended.buffer.writes.size === 0 && ended.token === null) return committed; // locks alone write nothing

      meta.revision++; // G3
      for (const [key, value] of ended.buffer.writes) {
        if (tables.write(key, value, meta.revision)) prunable++;
      }
      for (const key of ended.buffer.locks) tables.lock(key, meta.revision);
      prunable += ended.buffer.locks.size;
      if (ended.token !== null) tables.addToken(ended.token.name, ended.scope.nowMs(), ended.token.result);
      return committed;
    });
    const [first] = group;
    if (first !== undefined && meta.revision > before) {
      meta.horizon = prune(meta, prunable, first.ended.scope);
      tables.setMeta(meta);
    }
    return settle;
  });
}

/** Why a transaction cannot be applied, or null when it can. */
function refusal(tables: Tables, { snapshot, buffer, token }: Ended, meta: Meta): Outcome | null {
  const known = token === null ? null : tables.findToken(token.name);
  if (known !== null) return { kind: "repeated", result: known.result };
  if (snapshot === meta.revision) return null; // nobody committed since: nothing to compare
  if (snapshot < meta.horizon) return { kind: "conflict", lost: "so many writes that the snapshot is gone" };
  for (const key of buffer.writes.keys()) {
    if (tables.changedSince(key, snapshot)) return { kind: "conflict", lost: `a change of key ${key}` };
    if (tables.lockedSince(key, snapshot)) return { kind: "conflict", lost: `a lock of key ${key}` };
  }
  for (const key of buffer.locks) {
    if (tables.changedSince(key, snapshot)) return { kind: "conflict", lost: `a change of key ${key}` };
  }
  return null;
}
