/**
 * Garbage collection where no TiDB does it: lets the stores drop versions that no snapshot can see any more.
 *
 * A1. The new safe point is announced first, and lowered to what others hold back.
 * A2. Every lock below it is settled before it moves, in every region: a store drops versions without looking at
 *     locks.
 * A3. Then it moves. It never moves back, and stores learn of it within ten seconds.
 * Source: client-go tikv/gc.go.
 */
import type { Core } from "./client_core.ts";
import { TikvError } from "./errors.ts";
import { compareKeys, keyAfter } from "./keys.ts";
import {
  BUDGET_MS,
  GARBAGE_RETENTION_MS,
  GARBAGE_RETENTION_MS_MIN,
  SCAN_CALL_MS,
  SCAN_LOCKS_PAGE,
} from "./limits.ts";
import type { LockInfo } from "./messages_kv.ts";
import { Kv } from "./methods.ts";
import type { WireRange } from "./keyspace.ts";
import { keyErrorOf, locksOf } from "./transaction_error.ts";
import { physicalMs, timestampAt } from "./transaction_time.ts";

export interface GarbageOptions {
  /**
   * How far back snapshots stay readable. Transactions that are older are ended, so it should be longer than any
   * that is wanted. @default two hours
   */
  retentionMs?: number | undefined;
  signal?: AbortSignal | undefined;
  /** Called after every page of locks. */
  onProgress?: ((progress: { regions: number; locks: number }) => void) | undefined;
  /** Asked just before the safe point moves; false ends the round there. */
  mayAdvance?: (() => Promise<boolean>) | undefined;
}

export interface GarbageRound {
  /** In force after the round. */
  safePoint: bigint;
  regions: number;
  /** Locks that were settled. */
  locks: number;
  advanced: boolean;
}

/** The service under which all collectors, TiDB's too, announce the safe point. */
const COLLECTOR = "gc_worker";
const FOR_EVER_SECONDS = (1n << 63n) - 1n;

export async function collectGarbage(core: Core, options: GarbageOptions): Promise<GarbageRound> {
  const { retentionMs = GARBAGE_RETENTION_MS, signal, onProgress = () => {} } = options;
  if (!(retentionMs >= GARBAGE_RETENTION_MS_MIN)) {
    throw new TikvError(
      "invalid",
      `collect garbage: retentionMs must be at least ${GARBAGE_RETENTION_MS_MIN}, it is ${retentionMs}`,
    );
  }
  const { placement } = core;
  const op = core.operation("collect garbage", BUDGET_MS.resolve, signal);
  const wanted = timestampAt(physicalMs(await placement.timestamp(op)) - retentionMs);
  const inForce = await placement.safePoint(op);
  const held = await placement.holdSafePoint(COLLECTOR, wanted, FOR_EVER_SECONDS, op); // A1
  const target = held > 0n && held < wanted ? held : wanted;
  const round: GarbageRound = { safePoint: inForce, regions: 0, locks: 0, advanced: false };
  if (target <= inForce) return round;

  for await (const page of oldLocks(core, target, signal)) { // A2
    round.regions += page.endsRegion ? 1 : 0;
    round.locks += page.locks.length;
    const settling = core.operation("settle old locks", BUDGET_MS.resolve, signal);
    await core.locks.settleAll(page.locks, settling);
    onProgress({ regions: round.regions, locks: round.locks });
  }
  if (options.mayAdvance !== undefined && !await options.mayAdvance()) return round;
  round.safePoint = await placement.advanceSafePoint(
    target,
    op.part("advance safe point", BUDGET_MS.timestamp),
  ); // A3
  round.advanced = true;
  return round;
}

interface LockPage {
  locks: LockInfo[];
  endsRegion: boolean;
}

async function* oldLocks(
  core: Core,
  until: bigint,
  signal: AbortSignal | undefined,
): AsyncGenerator<LockPage> {
  const { from, to } = everything(core);
  let op = core.operation("scan locks", BUDGET_MS.resolve, signal);
  for (let next = from, misses = 0;;) {
    if (misses > 1) await op.wait("regionMiss", "a region that keeps changing");
    const region = await core.regions.locate(next, op);
    const { endKey } = region;
    const last = endKey.length === 0 || (to.length > 0 && compareKeys(endKey, to) >= 0);
    const request = {
      maxVersion: until,
      startKey: next,
      limit: SCAN_LOCKS_PAGE,
      endKey: last ? to : endKey,
    };
    const reply = await core.regions.send(region, Kv.scanLock, request, { op, timeoutMs: SCAN_CALL_MS });
    if (reply === null) {
      misses++;
      continue;
    }
    if (reply.error !== null) throw keyErrorOf(reply.error, op.name);
    const endsRegion = reply.locks.length < SCAN_LOCKS_PAGE;
    yield { locks: reply.locks.flatMap(locksOf), endsRegion };
    if (endsRegion && last) return;
    next = endsRegion ? endKey : keyAfter((reply.locks.at(-1) as LockInfo).key);
    misses = 0;
    op = core.operation("scan locks", BUDGET_MS.resolve, signal);
  }
}

/** Of all keyspaces, whichever is ours: the safe point is everybody's. */
function everything({ keyspace }: Core): WireRange {
  if (keyspace.id === null) return { from: new Uint8Array(0), to: new Uint8Array(0) };
  return { from: Uint8Array.of(0x78, 0, 0, 0), to: Uint8Array.of(0x79) };
}
