import assert from "node:assert/strict";
import { eachBatch, groupByRegion, inParallel, sortedKeys } from "./grouping.ts";
import { BATCH_BYTES } from "./limits.ts";
import type { Located, Regions } from "./rpc.ts";
import { HurryingRuntime } from "./testing_fakes.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);

/** Regions that begin at the given keys and at the beginning of everything. */
class FakeRegions implements Regions {
  starts: string[];
  located = 0;

  constructor(starts: string[]) {
    this.starts = ["", ...starts];
  }

  locate(key: Uint8Array): Promise<Located> {
    this.located++;
    const at = this.starts.findLastIndex((start) => text(key) >= start);
    const [startKey, endKey] = [bytes(this.starts[at] ?? ""), bytes(this.starts[at + 1] ?? "")];
    return Promise.resolve({ id: BigInt(at + 1), confVer: 1n, version: 1n, startKey, endKey });
  }

  locateBefore(): Promise<Located> {
    throw new Error("not of this test");
  }

  send(): Promise<null> {
    throw new Error("not of this test");
  }
}

function groupingOf(regions: Regions, runtime = new HurryingRuntime()) {
  const op = runtime.operation();
  return { regions, op, keyOf: (key: Uint8Array) => key, bytesOf: (key: Uint8Array) => key.length };
}

Deno.test("groupByRegion() looks up each region once and counts its items", async () => {
  const regions = new FakeRegions(["c", "e"]);
  const batches = await groupByRegion(["a", "b", "c", "f", "g"].map(bytes), groupingOf(regions));
  assert.deepEqual(batches.map(({ items }) => items.map(text)), [["a", "b"], ["c"], ["f", "g"]]);
  assert.deepEqual(batches.map(({ regionItems }) => regionItems), [2, 1, 2]);
  assert.equal(regions.located, 3);
});

Deno.test("groupByRegion() cuts batches at their size, and lets one item be larger", async () => {
  const sizes = [10_000, 6_000, 400, BATCH_BYTES * 2, 1];
  const regions = new FakeRegions([]);
  const grouping = {
    ...groupingOf(regions),
    keyOf: (size: number) => bytes(`k${size}`),
    bytesOf: (size: number) => size,
  };
  const batches = await groupByRegion(sizes, grouping);
  assert.deepEqual(batches.map(({ items }) => items), [[10_000, 6_000], [400], [BATCH_BYTES * 2], [1]]);
  assert.ok(batches.every(({ regionItems }) => regionItems === 5));
});

Deno.test("eachBatch() groups afresh what a split has moved, at once the first time and then after waits", async () => {
  const runtime = new HurryingRuntime();
  const regions = new FakeRegions([]);
  const sent: string[] = [];
  await eachBatch(["a", "b", "c"].map(bytes), groupingOf(regions, runtime), ({ items, regrouped }) => {
    sent.push(items.map(text).join(""));
    if (regrouped === 0) regions.starts = ["", "b"];
    if (regrouped === 1 && items.length === 2) regions.starts = ["", "b", "c"];
    return Promise.resolve(regrouped === 2 || text(items[0] ?? bytes("")) === "a" && regrouped === 1);
  });
  assert.deepEqual(sent, ["abc", "a", "bc", "b", "c"]);
  assert.equal(runtime.slept.length, 1, "before the second regrouping");
});

Deno.test("eachBatch() gives up with the operation's budget when regions never come to rest", async () => {
  const grouping = groupingOf(new FakeRegions([]));
  const never = eachBatch([bytes("a")], grouping, () => Promise.resolve(false));
  await assert.rejects(never, { code: "timeout" });
});

Deno.test("eachBatch() gives each batch the whole budget, for they wait side by side", async () => {
  const regions = new FakeRegions([..."abcdefghijklmnopqrstuvwxyz"]);
  const keys = regions.starts.map(bytes).slice(1);
  let waited = 0;
  await eachBatch(keys, groupingOf(regions), async (_, op) => {
    for (let times = 0; times < 5; times++) await op.wait("lock", "a lock");
    waited++;
    return true;
  });
  assert.equal(waited, 26);
});

Deno.test("inParallel() keeps to its bound, starts nothing after a failure and waits for what runs", async () => {
  let running = 0;
  let most = 0;
  let ended = 0;
  const failing = inParallel([1, 2, 3, 4, 5, 6], 3, async (item) => {
    most = Math.max(most, ++running);
    for (let turn = 0; turn < item; turn++) await Promise.resolve();
    running--;
    ended++;
    if (item === 1) throw new Error("first");
    if (item === 2) throw new Error("second");
  });
  await assert.rejects(failing, { message: "first" });
  assert.deepEqual([most, ended], [3, 3]);
});

Deno.test("sortedKeys() gives each key once, and leaves its argument alone", () => {
  const keys = ["b", "a", "b"].map(bytes);
  assert.deepEqual(sortedKeys(keys).map(text), ["a", "b"]);
  assert.deepEqual(keys.map(text), ["b", "a", "b"]);
});
