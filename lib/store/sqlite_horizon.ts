/**
 * Which past values nobody reads any more.
 *
 * The horizon is a revision: transactions whose snapshot is older may find it gone (S3 of `sqlite_tables.ts`) and are
 * refused. It is a matter of memory and not of correctness, so it may lag and it may be too eager.
 * H1. A transaction younger than STORE_SNAPSHOT_MS_MAX keeps its snapshot.
 * H2. In memory an age is told by the transaction's own scope, for a simulation gives each process a clock of its own.
 *     The scopes that share a file within one process share its clock.
 */
import { STORE_PRUNE_ROWS_MAX, STORE_SNAPSHOT_MS_MAX } from "../limits.ts";
import type { Scope } from "../seams.ts";
import type { Meta, Tables } from "./sqlite_tables.ts";

/** A transaction that runs. */
export interface Running {
  scope: Scope;
  snapshot: number;
  begunMs: number;
}

/** In: the revision of the commit under way and the scope of one of its members. Out: what may become the horizon. */
export type Horizon = (revision: number, scope: Scope) => number;

/** For a store that only this process has: the oldest snapshot that runs here, hence exact. */
export function exactHorizon(running: Iterable<Running>): Horizon {
  return (revision) => {
    let oldest = revision;
    for (const { scope, snapshot, begunMs } of running) {
      if (snapshot < oldest && scope.monoMs() - begunMs < STORE_SNAPSHOT_MS_MAX) oldest = snapshot;
    }
    return oldest;
  };
}

/** For a file that other processes may read: a revision that was the last one STORE_SNAPSHOT_MS_MAX ago or longer. */
export function laggingHorizon(): Horizon {
  let mark: { revision: number; atMs: number } | null = null;
  let horizon = 0;
  return (revision, scope) => {
    const nowMs = scope.monoMs();
    if (mark !== null && nowMs - mark.atMs < STORE_SNAPSHOT_MS_MAX) return horizon;
    horizon = mark?.revision ?? 0;
    mark = { revision, atMs: nowMs };
    return horizon;
  };
}

/** Runs within a commit that left `prunable` rows for later; returns the horizon that is in force from then on. */
export type Prune = (meta: Meta, prunable: number, scope: Scope) => number;

/** Moves the horizon and prunes behind it, once in STORE_PRUNE_ROWS_MAX / 2 such rows. */
export function pruner(tables: Tables, horizonOf: Horizon): Prune {
  let sincePrune = 0;
  return (meta, prunable, scope) => {
    sincePrune += prunable;
    if (sincePrune < STORE_PRUNE_ROWS_MAX / 2) return meta.horizon;
    sincePrune = 0; // twice as many may go as came, so a backlog shrinks
    const horizon = Math.max(meta.horizon, horizonOf(meta.revision, scope)); // another process may be ahead
    tables.prune(horizon, STORE_PRUNE_ROWS_MAX);
    return horizon;
  };
}
