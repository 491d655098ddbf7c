/** What every Store must do with a million keys. Apart from `store_suite.ts`, since it takes a while. */
import assert from "node:assert/strict";
import { STORE_SCAN_LIMIT_MAX, STORE_TX_WRITES_MAX } from "../limits.ts";
import { realScope } from "../mesh/real_scope.ts";
import { compareKeys } from "./keys.ts";
import { prefixRange, type Range, type Store, type Write } from "./store.ts";
import type { OpenedStore } from "./store_suite.ts";

const KEYS = 1_000_000;
const ALL = prefixRange("million/");
const scope = realScope({ name: "large store suite" });

export function storeLargeSuite(name: string, open: () => Promise<OpenedStore>): void {
  Deno.test(`${name}: a million keys are written, found in order both ways, and a tenth of them deleted`, async () => {
    const opened = await open();
    try {
      const { store } = opened;
      await inBatches(store, KEYS, (tx, n) => tx.put(keyOf(n), new TextEncoder().encode(String(n))));
      const sum = KEYS * (KEYS - 1) / 2;
      assert.deepEqual(await walk(store, ALL, false), { count: KEYS, sum });
      assert.deepEqual(await walk(store, ALL, true), { count: KEYS, sum });
      for (const n of [0, 123_456, KEYS - 1]) assert.equal(await valueOf(store, keyOf(n)), String(n));
      assert.equal((await walk(store, prefixRange("million/05"), false)).count, KEYS / 10);

      await inBatches(store, KEYS / 10, (tx, n) => tx.delete(`million/05${String(n).padStart(5, "0")}`));
      assert.equal((await walk(store, prefixRange("million/05"), false)).count, 0);
      assert.equal((await walk(store, ALL, true)).count, KEYS * 9 / 10);
    } finally {
      await opened.close();
    }
  });
}

/** Every number once and no run in key order: 7,919 is prime to KEYS. */
function keyOf(n: number): string {
  return `million/${String(n * 7_919 % KEYS).padStart(7, "0")}`;
}

async function inBatches(store: Store, count: number, write: (tx: Write, n: number) => void): Promise<void> {
  for (let start = 0; start < count; start += STORE_TX_WRITES_MAX) {
    await store.write(scope, (tx) => {
      for (let n = start; n < Math.min(start + STORE_TX_WRITES_MAX, count); n++) write(tx, n);
      return Promise.resolve();
    });
  }
}

/** Counts the keys of `range` and adds up their values, after checking that each key follows the one before. */
async function walk(store: Store, range: Range, reverse: boolean): Promise<{ count: number; sum: number }> {
  const decoder = new TextDecoder();
  let [count, sum] = [0, 0];
  await store.read(scope, async (tx) => {
    let last: string | undefined;
    for (;;) {
      const page = await tx.scan(range, { limit: STORE_SCAN_LIMIT_MAX, reverse, after: last });
      for (const { key, value } of page) {
        const step = last === undefined ? 0 : compareKeys(last, key);
        assert.ok(last === undefined || (reverse ? step > 0 : step < 0), `${key} follows ${last}`);
        last = key;
        count++;
        sum += Number(decoder.decode(value));
      }
      if (page.length < STORE_SCAN_LIMIT_MAX) return;
    }
  });
  return { count, sum };
}

async function valueOf(store: Store, key: string): Promise<string> {
  const value = await store.read(scope, (tx) => tx.get(key));
  return new TextDecoder().decode(value ?? undefined);
}
