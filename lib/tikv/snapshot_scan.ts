/**
 * A range of keys as of one version, page by page.
 *
 * S1. A page lies in one region. A full one ends at its last key, any other at the end of its region.
 * S2. The next page is fetched while the caller looks at this one, and never more than that.
 * S3. Whoever stops early ends the fetch under way.
 */
import { compareKeys, inRange, keyAfter, sameKey } from "./keys.ts";
import type { WireRange } from "./keyspace.ts";
import { BUDGET_MS, KEY_BYTES_MAX, SCAN_CALL_MS } from "./limits.ts";
import type { KvPair } from "./messages_kv.ts";
import { Kv } from "./methods.ts";
import type { Operation } from "./operation.ts";
import { settlePairs, type View } from "./snapshot_read.ts";

export interface PageOptions {
  reverse: boolean;
  keysOnly: boolean;
  /** At most this many pairs in all. */
  limit: number;
  pagePairs: number;
  signal: AbortSignal | undefined;
}

/** Yields pages of pairs, ascending by key, descending when reverse; pages may be empty. */
export async function* scanPages(
  view: View,
  range: WireRange,
  options: PageOptions,
): AsyncGenerator<KvPair[]> {
  const { from, to } = range;
  if (options.limit <= 0 || (to.length > 0 && compareKeys(from, to) >= 0)) return;
  let page = await fetchPage(view, range, options.limit, options);
  let left = options.limit - page.pairs.length;
  if (page.rest === null || left <= 0) return yield page.pairs; // the usual case, without what S3 costs
  const stop = new AbortController();
  const ahead = {
    ...options,
    signal: AbortSignal.any([stop.signal, ...(options.signal ? [options.signal] : [])]),
  };
  try {
    while (page.rest !== null && left > 0) {
      const next = fetchPage(view, page.rest, left, ahead);
      next.catch(() => {}); // until it is awaited nobody listens
      yield page.pairs;
      page = await next;
      left -= page.pairs.length;
    }
    yield page.pairs;
  } finally {
    stop.abort(); // S3
  }
}

interface Page {
  pairs: KvPair[];
  /** What remains of the range; null at its end. */
  rest: WireRange | null;
}

async function fetchPage(view: View, range: WireRange, limit: number, options: PageOptions): Promise<Page> {
  const { core, version } = view;
  const op = core.operation("scan", BUDGET_MS.read, options.signal);
  const page = await (options.reverse ? pageBelow : pageAbove)(view, range, {
    ...options,
    limit: Math.min(limit, options.pagePairs),
    op,
  });
  if (!core.safePoint.isYoung(version)) await core.safePoint.check(version, op);
  const empty = !options.keysOnly && page.pairs.some(({ value }) => value.length === 0);
  return empty ? { ...page, pairs: page.pairs.filter(({ value }) => value.length > 0) } : page; // R4 of reads
}

interface FetchOptions {
  limit: number;
  keysOnly: boolean;
  op: Operation;
}

async function pageAbove(view: View, { from, to }: WireRange, options: FetchOptions): Promise<Page> {
  const { regions } = view.core;
  for (let misses = 0;; misses++) {
    if (misses > 1) await options.op.wait("regionMiss", "a region that keeps changing");
    const region = await regions.locate(from, options.op);
    const endsHere = region.endKey.length === 0 || (to.length > 0 && !inRange(region.endKey, from, to));
    const request = { startKey: from, endKey: endsHere ? to : region.endKey, reverse: false };
    const pairs = await fetchPairs(view, region, request, options);
    if (pairs === null) continue;
    const last = pairs.length < options.limit ? undefined : pairs[pairs.length - 1];
    const next = last === undefined ? region.endKey : keyAfter(last.key);
    const atEnd = last === undefined ? endsHere : to.length > 0 && !inRange(next, from, to);
    return { pairs: await settlePairs(view, pairs, options.op), rest: atEnd ? null : { from: next, to } };
  }
}

async function pageBelow(view: View, { from, to }: WireRange, options: FetchOptions): Promise<Page> {
  const { regions } = view.core;
  for (let misses = 0;; misses++) {
    if (misses > 1) await options.op.wait("regionMiss", "a region that keeps changing");
    const region = await regions.locateBefore(to, options.op);
    const endsHere = region.startKey.length === 0 || inRange(from, region.startKey, region.endKey);
    const request = {
      startKey: to.length === 0 ? aboveAll() : to,
      endKey: endsHere ? from : region.startKey,
      reverse: true,
    };
    const pairs = await fetchPairs(view, region, request, options);
    if (pairs === null) continue;
    const last = pairs.length < options.limit ? undefined : pairs[pairs.length - 1];
    const next = last === undefined ? region.startKey : last.key;
    const atEnd = last === undefined ? endsHere : sameKey(next, from);
    return { pairs: await settlePairs(view, pairs, options.op), rest: atEnd ? null : { from, to: next } };
  }
}

/** Null when the region is not what it was. A pair that is locked counts for the limit and carries its error. */
async function fetchPairs(
  view: View,
  region: Parameters<View["core"]["regions"]["send"]>[0],
  request: { startKey: Uint8Array; endKey: Uint8Array; reverse: boolean },
  { limit, keysOnly, op }: FetchOptions,
): Promise<KvPair[] | null> {
  const { core, version, locks } = view;
  for (let tries = 0;; tries++) {
    const options = { op, timeoutMs: SCAN_CALL_MS, context: locks.context };
    const reply = await core.regions.send(
      region,
      Kv.scan,
      { ...request, limit, version, keyOnly: keysOnly },
      options,
    );
    if (reply === null) return null;
    if (reply.error === null) {
      for (const pair of reply.pairs) {
        if (pair.key.length === 0) pair.key = pair.error?.locked?.key ?? pair.key;
      }
      return reply.pairs;
    }
    await locks.settle([reply.error], version, op, tries);
  }
}

/** A store takes an empty upper bound of a reverse scan for the lowest key: this is above every key there can be. */
function aboveAll(): Uint8Array {
  return new Uint8Array(KEY_BYTES_MAX + 1024).fill(0xff);
}
