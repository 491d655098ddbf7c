/** What a function sees of a transaction in TiKV: one snapshot, with its own writes laid over it. */
import { assert } from "../errors.ts";
import type { Snapshot } from "../tikv/snapshot.ts";
import type { Transaction } from "../tikv/transaction.ts";
import type { WriteBuffer } from "./buffer.ts";
import { checkKey, checkScan, compareKeys } from "./keys.ts";
import type { Entry, Read, Write } from "./store.ts";
import { type TikvLayout, unwrapValue } from "./tikv_layout.ts";

/** Values are small here, so one request may bring many. */
const SCAN_PAGE_PAIRS = 1_000;

/** What one run of a function may use. */
export interface Run {
  /** Both read a snapshot; the writes of this contract reach the transaction when the function has returned. */
  source: Snapshot | Transaction;
  buffer: WriteBuffer;
  layout: TikvLayout;
  signal: AbortSignal;
  /** False when the function has returned. */
  open: boolean;
  /** Makes an error of the client one of Salar's. */
  fault(error: unknown): unknown;
}

export function reader(run: Run): Read {
  const { source, buffer, layout, signal } = run;

  async function look<T>(read: () => Promise<T>): Promise<T> {
    assert(run.open, "a transaction is not used after its function has returned");
    try {
      return await read();
    } catch (error) {
      throw run.fault(error);
    }
  }

  const unwrapped = (value: Uint8Array | null) => value === null ? null : unwrapValue(value);

  return {
    async get(key) {
      checkKey(key);
      const own = buffer.get(key);
      if (own !== undefined) return own;
      return await look(async () => unwrapped(await source.get(layout.data(key), { signal })));
    },
    async getMany(keys) {
      keys.forEach(checkKey);
      const own = keys.map((key) => buffer.get(key));
      const missing = keys.filter((_, at) => own[at] === undefined).map(layout.data);
      const found = missing.length === 0 ? [] : await look(() => source.getMany(missing, { signal }));
      const rest = found.values();
      return own.map((value) => value === undefined ? unwrapped(rest.next().value ?? null) : value);
    },
    async scan(range, options) {
      const rest = checkScan(range, options);
      if (compareKeys(rest.from, rest.to) >= 0) return [];
      const limit = options.limit + buffer.countIn(rest);
      const { reverse } = options;
      const page = await look(async () => {
        const entries: Entry[] = [];
        const pagePairs = Math.min(limit, SCAN_PAGE_PAIRS);
        for await (
          const { key, value } of source.scan(layout.dataRange(rest), { reverse, limit, pagePairs, signal })
        ) {
          entries.push({ key: layout.keyOf(key), value: unwrapValue(value) });
        }
        return entries;
      });
      return buffer.overlay(page, rest, options);
    },
  };
}

export function writer(run: Run): Write {
  const buffer = () => {
    assert(run.open, "a transaction is not used after its function has returned");
    return run.buffer;
  };
  return {
    ...reader(run),
    put: (key, value) => buffer().put(key, value),
    delete: (key) => buffer().delete(key),
    lock: (key) => buffer().lock(key),
  };
}
