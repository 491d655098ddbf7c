/**
 * Reads of single keys as of one version.
 *
 * R1. Each reply is of the same version, whatever was asked before and however often.
 * R2. A reply with an error of its own is void and asked again; an error of one pair concerns that key alone.
 * R3. Absence is null. A value is a view into the reply it came in: who keeps it for long copies it.
 * R4. An empty value is taken for absence: old stores answer so, and no client lets one be written.
 */
import type { Core } from "./client_core.ts";
import { eachBatch, inParallel, placeOf, sendToKey, sortedKeys } from "./grouping.ts";
import { BATCHES_AT_ONCE_MAX, BUDGET_MS, POINT_CALL_MS } from "./limits.ts";
import type { KeyError, KvPair } from "./messages_kv.ts";
import { Kv } from "./methods.ts";
import type { Operation } from "./operation.ts";
import type { SnapshotLocks } from "./snapshot_locks.ts";

/** A version of the data, and what was learnt while reading it. Keys are wire keys. */
export interface View {
  readonly core: Core;
  readonly version: bigint;
  readonly locks: SnapshotLocks;
}

export async function readOne(
  view: View,
  key: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<Uint8Array | null> {
  const op = view.core.operation("get", BUDGET_MS.read, signal);
  const value = await get(view, key, op);
  if (!view.core.safePoint.isYoung(view.version)) await view.core.safePoint.check(view.version, op);
  return value;
}

async function get(view: View, key: Uint8Array, op: Operation): Promise<Uint8Array | null> {
  for (let tries = 0;; tries++) {
    const found = await tryGet(view, key, op);
    if (!isLocked(found)) return found;
    await view.locks.settle([found.error], view.version, op, tries);
  }
}

/** The value, or what stands in its way. */
async function tryGet(
  { core: { regions }, version, locks }: View,
  key: Uint8Array,
  op: Operation,
): Promise<Uint8Array | null | { error: KeyError }> {
  const options = { op, timeoutMs: POINT_CALL_MS, context: locks.context };
  const { error, notFound, value } = await sendToKey(regions, key, Kv.get, { key, version }, options);
  if (error !== null) return { error };
  return notFound || value.length === 0 ? null : value; // R4
}

function isLocked(found: Uint8Array | null | { error: KeyError }): found is { error: KeyError } {
  return found !== null && "error" in found;
}

/** In the order of `keys`; null where there is no such key. */
export async function readMany(
  view: View,
  keys: readonly Uint8Array[],
  signal: AbortSignal | undefined,
): Promise<(Uint8Array | null)[]> {
  const { core, version, locks } = view;
  if (keys.length === 0) return [];
  const sorted = sortedKeys(keys);
  const found = new Map<number, Uint8Array>(); // by place
  const op = core.operation("batch get", BUDGET_MS.read, signal);
  const grouping = {
    regions: core.regions,
    op,
    keyOf: (key: Uint8Array) => key,
    bytesOf: (key: Uint8Array) => key.length,
  };
  await eachBatch(sorted, grouping, async ({ region, items }, op) => {
    for (let tries = 0;; tries++) {
      const options = { op, timeoutMs: POINT_CALL_MS, context: locks.context };
      const reply = await core.regions.send(region, Kv.batchGet, { keys: items, version }, options);
      if (reply === null) return false;
      if (reply.error === null) {
        for (const { key, value } of await settlePairs(view, reply.pairs, op)) {
          if (value.length > 0) found.set(placeOf(key, sorted), value); // R4
        }
        return true;
      }
      await locks.settle([reply.error], version, op, tries);
    }
  });
  if (!core.safePoint.isYoung(version)) await core.safePoint.check(version, op);
  return keys.map((key) => found.get(placeOf(key, sorted)) ?? null);
}

/** R2: the pairs, with those that carried an error as they are once the locks are settled. */
export async function settlePairs(view: View, pairs: KvPair[], op: Operation): Promise<KvPair[]> {
  const absent = new Set<KvPair>();
  let locked = pairs.filter((pair) => pair.error !== null);
  if (locked.length === 0) return pairs;
  for (let tries = 0; locked.length > 0; tries++) {
    await view.locks.settle(locked.map(({ error }) => error as KeyError), view.version, op, tries);
    await inParallel(locked, BATCHES_AT_ONCE_MAX, async (pair) => {
      if (pair.key.length === 0) pair.key = pair.error?.locked?.key ?? pair.key;
      const found = await tryGet(view, pair.key, op.fork());
      pair.error = isLocked(found) ? found.error : null;
      if (found === null) absent.add(pair);
      else if (!isLocked(found)) pair.value = found;
    });
    locked = locked.filter((pair) => pair.error !== null);
  }
  return pairs.filter((pair) => !absent.has(pair));
}
