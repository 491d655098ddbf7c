/**
 * Many keys at once: by region, cut into batches, sent side by side, and grouped afresh where regions changed.
 *
 * G1. A batch lies in one region and holds at most BATCH_BYTES, or one item.
 * G2. A batch whose region changed is grouped again, the first time at once, then after growing waits.
 * G3. The first failure starts no further batch; it is thrown when those under way have ended.
 */
import { BATCH_BYTES, BATCHES_AT_ONCE_MAX } from "./limits.ts";
import { compareKeys, inRange } from "./keys.ts";
import type { RegionError } from "./messages_meta.ts";
import type { Method } from "./methods.ts";
import type { Operation } from "./operation.ts";
import type { Located, Regions, SendOptions } from "./rpc.ts";

export interface Batch<T> {
  region: Located;
  items: T[];
  /** Items of all batches of this region. */
  regionItems: number;
  /** How many times these items were grouped again. */
  regrouped: number;
}

export interface Grouping<T> {
  regions: Regions;
  op: Operation;
  keyOf: (item: T) => Uint8Array;
  bytesOf: (item: T) => number;
}

/** Sends what is about one key to the region that holds it, wherever that goes meanwhile. */
export async function sendToKey<QInit, A extends { regionError: RegionError | null }>(
  regions: Regions,
  key: Uint8Array,
  // deno-lint-ignore no-explicit-any -- as in Regions.send
  method: Method<any, QInit, A, any>,
  request: QInit,
  options: SendOptions,
): Promise<A> {
  for (let misses = 0;; misses++) {
    if (misses > 1) await options.op.wait("regionMiss", "a region that keeps changing"); // as G2
    const region = await regions.locate(key, options.op);
    const reply = await regions.send(region, method, request, options);
    if (reply !== null) return reply;
  }
}

/** @param items By ascending key. */
export async function groupByRegion<T>(items: readonly T[], grouping: Grouping<T>): Promise<Batch<T>[]> {
  const { regions, op, keyOf, bytesOf } = grouping;
  const batches: Batch<T>[] = [];
  for (let from = 0; from < items.length;) {
    const region = await regions.locate(keyOf(items[from] as T), op);
    let to = from + 1;
    while (to < items.length && inRange(keyOf(items[to] as T), region.startKey, region.endKey)) to++;
    for (const part of cut(items, from, to, bytesOf)) {
      batches.push({ region, items: part, regionItems: to - from, regrouped: 0 });
    }
    from = to;
  }
  return batches;
}

function* cut<T>(
  items: readonly T[],
  from: number,
  to: number,
  bytesOf: (item: T) => number,
): Generator<T[]> {
  let start = from;
  let bytes = 0;
  for (let at = from; at < to; at++) {
    const more = bytesOf(items[at] as T);
    if (at > start && bytes + more > BATCH_BYTES) {
      yield items.slice(start, at);
      start = at;
      bytes = 0;
    }
    bytes += more;
  }
  yield items.slice(start, to);
}

/**
 * Runs `send` for every batch.
 * @param send Gives false when the region is not that of the batch any more. `op` is the part of its batch.
 */
export async function eachBatch<T>(
  items: readonly T[],
  grouping: Grouping<T>,
  send: (batch: Batch<T>, op: Operation) => Promise<boolean>,
): Promise<void> {
  await sendAll(await groupByRegion(items, grouping), grouping, send);
}

async function sendAll<T>(
  batches: readonly Batch<T>[],
  grouping: Grouping<T>,
  send: (batch: Batch<T>, op: Operation) => Promise<boolean>,
): Promise<void> {
  await inParallel(batches, BATCHES_AT_ONCE_MAX, async (batch) => {
    const part = batches.length === 1 ? grouping : { ...grouping, op: grouping.op.fork() };
    if (await send(batch, part.op)) return;
    await sendAll(await regroup(batch, part), part, send);
  });
}

/** G2. */
export async function regroup<T>(batch: Batch<T>, grouping: Grouping<T>): Promise<Batch<T>[]> {
  const regrouped = batch.regrouped + 1;
  if (regrouped > 1) await grouping.op.wait("regionMiss", `region ${batch.region.id} that keeps changing`);
  const batches = await groupByRegion(batch.items, grouping);
  for (const part of batches) part.regrouped = regrouped;
  return batches;
}

/** G3. */
export async function inParallel<T>(
  items: readonly T[],
  atOnceMax: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  if (items.length === 1) return await run(items[0] as T); // the usual case, without its price
  let next = 0;
  let failed = false;
  let failure: unknown;
  const worker = async () => {
    while (next < items.length && !failed) {
      try {
        await run(items[next++] as T);
      } catch (error) {
        if (!failed) failure = error;
        failed = true;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnceMax, items.length) }, worker));
  if (failed) throw failure;
}

/** The keys, sorted, each once. */
export function sortedKeys(keys: readonly Uint8Array[]): Uint8Array[] {
  const sorted = [...keys].sort(compareKeys);
  return sorted.filter((key, at) => at === 0 || compareKeys(sorted[at - 1] as Uint8Array, key) !== 0);
}

/** Where `key` is among sorted keys, or -1. Cheaper than a map by text for as many as one request has. */
export function placeOf(key: Uint8Array, sorted: readonly Uint8Array[]): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const order = compareKeys(sorted[middle] as Uint8Array, key);
    if (order === 0) return middle;
    if (order < 0) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}
