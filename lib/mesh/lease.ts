/**
 * A lease in the store: of all replicas that want a role, one has it. No clock is ever compared with another's.
 *
 * In: a key, this process's name and what to do while holding. The record is `{ holder, beat }`; the holder changes
 * `beat` every LEASE_MS / 3.
 * L1. A follower takes over only after it saw the record unchanged for LEASE_MS on its own monotonic clock, and in a
 *     transaction in which the record still is what it saw.
 * L2. The holder counts from before its last successful renewal began, and stops acting at 3/4 of LEASE_MS: earlier
 *     than any follower can have waited, even if clocks run 10 % apart.
 * L3. Losing it aborts the scope of the work; leaving by any path gives it up.
 * L4. A process that is frozen while it holds may act for an instant after it wakes: a lease spares double work, it
 *     fences nothing. What ticks write is safe through transactions.
 * Source: LiteFS's lease loop, client-go's leader election (unchanged for a while on one's own clock).
 */
import { z } from "zod";
import { isSalarError } from "../errors.ts";
import { LEASE_MS } from "../limits.ts";
import type { Log } from "../log.ts";
import type { Scope } from "../seams.ts";
import type { Store } from "../store/store.ts";
import { records } from "../store/record.ts";

const RENEW_MS = LEASE_MS / 3;
const HOLD_MS = LEASE_MS * 3 / 4;

const Lease = z.object({
  v: z.literal(1),
  /** Replica and start of its process; null when given up. */
  holder: z.string().nullable(),
  beat: z.int().min(0),
});
type Lease = z.infer<typeof Lease>;

const leases = records(Lease, (key: string) => key);

export interface LeaseOptions {
  store: Store;
  key: string;
  /** Unique per start of a process, such as `director-1/k3j…`. */
  holder: string;
  log: Log;
}

/**
 * Follows and, whenever the lease falls to us, runs `work` until it returns or the lease is lost. Returns once
 * `waiting` has ended and nothing is held.
 *
 * @param waiting Ends the wish for the lease; while holding, it is for `work` to heed.
 * @param scope Life of the work and the renewals.
 */
export async function holdLease(
  waiting: Scope,
  scope: Scope,
  options: LeaseOptions,
  work: (scope: Scope) => Promise<void>,
): Promise<void> {
  while (!waiting.signal.aborted) {
    const sinceMs = await follow(waiting, options);
    if (sinceMs === null) return;
    options.log.info("lease taken", { key: options.key });
    await hold(scope, options, sinceMs, work);
  }
}

/** Resolves once the lease is ours, with when we asked for it; null when `waiting` ended. */
async function follow(waiting: Scope, options: LeaseOptions): Promise<number | null> {
  let seen: Lease | null = null;
  let sinceMs = waiting.monoMs();
  try {
    for (;;) {
      const beforeMs = waiting.monoMs();
      const now = await attempt(options, () => read(waiting, options));
      if (now !== undefined) {
        if (!same(now, seen)) [seen, sinceMs] = [now, waiting.monoMs()]; // L1. after the read: later is safer
        const free = now === null || now.holder === null || beforeMs - sinceMs >= LEASE_MS;
        const askedMs = waiting.monoMs();
        if (free && await attempt(options, () => take(waiting, options, now))) return askedMs;
      }
      await waiting.sleep(RENEW_MS);
    }
  } catch (error) {
    if (waiting.signal.aborted && isSalarError(error, "cancelled")) return null;
    throw error;
  }
}

async function hold(
  scope: Scope,
  options: LeaseOptions,
  sinceMs: number,
  work: (scope: Scope) => Promise<void>,
): Promise<void> {
  const lost = new AbortController();
  const finished = new AbortController();
  const held = scope.child("lease held", lost.signal);
  const renewals = renew(scope.child("lease renewed", finished.signal), options, sinceMs)
    .catch((error) => options.log.error("lease lost", { key: options.key, error }))
    .finally(() => lost.abort()); // L3
  try {
    await work(held);
  } finally {
    finished.abort();
    await renewals;
    await attempt(options, () => giveUp(scope, options));
  }
}

/** Renews until the lease is lost or the scope ends. */
async function renew(scope: Scope, options: LeaseOptions, sinceMs: number): Promise<void> {
  const { log, key } = options;
  let heldMs = sinceMs;
  const leftMs = () => heldMs + HOLD_MS - scope.monoMs(); // L2
  try {
    for (;;) {
      await scope.sleep(Math.max(0, Math.min(RENEW_MS, leftMs())));
      const beforeMs = scope.monoMs();
      if (leftMs() <= 0) return log.warn("lease lost", { key, reason: "it could not be renewed in time" });
      const mine = await attempt(options, () => scope.timeout(leftMs(), (scope) => beat(scope, options)));
      if (mine === false) return log.warn("lease lost", { key, reason: "another has taken it" });
      if (mine) heldMs = beforeMs;
    }
  } catch (error) {
    if (!isSalarError(error, "cancelled")) throw error; // the work has ended
  }
}

function read(scope: Scope, { store, key }: LeaseOptions): Promise<Lease | null> {
  return store.read(scope, (tx) => leases.get(tx, key));
}

/** False when somebody else was faster. */
function take(scope: Scope, { store, key, holder }: LeaseOptions, seen: Lease | null): Promise<boolean> {
  return store.write(scope, async (tx) => {
    const now = await leases.get(tx, key);
    if (!same(now, seen)) return now?.holder === holder; // ours, when the answer to our own commit was lost
    leases.put(tx, { v: 1, holder, beat: (now?.beat ?? 0) + 1 }, key);
    return true;
  });
}

/** False when it is no longer ours. */
function beat(scope: Scope, { store, key, holder }: LeaseOptions): Promise<boolean> {
  return store.write(scope, async (tx) => {
    const now = await leases.get(tx, key);
    if (now?.holder !== holder) return false;
    leases.put(tx, { v: 1, holder, beat: now.beat + 1 }, key);
    return true;
  });
}

async function giveUp(scope: Scope, { store, key, holder }: LeaseOptions): Promise<void> {
  await store.write(scope, async (tx) => {
    const now = await leases.get(tx, key);
    if (now?.holder === holder) leases.put(tx, { v: 1, holder: null, beat: now.beat + 1 }, key);
  });
}

/** Undefined when the store could not do it now; the loops simply try again in their time. */
async function attempt<T>({ log, key }: LeaseOptions, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!isSalarError(error) || error.code === "cancelled") throw error;
    log.warn("lease not reached", { key, error });
    return undefined;
  }
}

function same(a: Lease | null, b: Lease | null): boolean {
  return a?.holder === b?.holder && a?.beat === b?.beat;
}
