import assert from "node:assert/strict";
import fc from "fast-check";
import { compareKeys, inRange } from "./keys.ts";
import { REGION_IDLE_JITTER_MS, REGION_IDLE_MS } from "./limits.ts";
import { RegionCache, RegionEntry } from "./region_cache.ts";
import { newRecord, type StoreRecord } from "./stores.ts";

const key = (text: string) => new TextEncoder().encode(text);
const at = (text: string) => ({ key: key(text), below: false });
const below = (text: string) => ({ key: key(text), below: true });

interface Made {
  id?: bigint;
  version?: bigint;
  confVer?: bigint;
  stores?: StoreRecord[];
  someDown?: boolean;
}

function region(startKey: string, endKey: string, made: Made = {}): RegionEntry {
  const { id = 1n, version = 1n, confVer = 1n, stores = [newRecord(1n)], someDown = false } = made;
  return new RegionEntry({
    id,
    version,
    confVer,
    startKey: key(startKey),
    endKey: key(endKey),
    leader: 0,
    someDown,
    replicas: stores.map((each) => ({
      peer: { id: each.id * 100n, storeId: each.id, role: 0, isWitness: false },
      store: each,
      context: null,
    })),
  });
}

const cacheOf = (...entries: RegionEntry[]) => {
  const cache = new RegionCache(() => 0);
  for (const entry of entries) assert.ok(cache.insert(entry, 0));
  return cache;
};

Deno.test("find() gives the region that holds a key, and what lies just below it", () => {
  const first = region("", "d", { id: 1n });
  const last = region("m", "", { id: 2n });
  const cache = cacheOf(last, first);
  const cases: [ReturnType<typeof at>, RegionEntry | null][] = [
    [at(""), first],
    [at("c"), first],
    [at("d"), null],
    [at("m"), last],
    [at("zzz"), last],
    [below("d"), first],
    [below("da"), null],
    [below("m"), null],
    [below("ma"), last],
    [below(""), last], // the end of everything
  ];
  for (const [place, expected] of cases) {
    assert.equal(cache.find(place, 0), expected, `${place.below} ${new TextDecoder().decode(place.key)}`);
  }
  assert.equal(cacheOf(first).find(below(""), 0), null);
});

Deno.test("insert() refuses what is older than the same region or than an intersecting one", () => {
  const whole = region("a", "z", { version: 5n, confVer: 5n });
  for (const older of [{ version: 4n, confVer: 9n }, { version: 9n, confVer: 4n }]) {
    assert.equal(cacheOf(whole).insert(region("a", "z", older), 0), false);
  }
  assert.equal(cacheOf(whole).insert(region("m", "q", { id: 2n, version: 4n }), 0), false);
  assert.equal(cacheOf(whole).insert(region("m", "q", { id: 2n, version: 5n }), 0), true);
  assert.equal(
    cacheOf(region("a", "z")).insert(region("a", "z"), 0),
    true,
    "the same again: its leader may differ",
  );
});

Deno.test("insert() takes out what it intersects and what was known of the same region elsewhere", () => {
  const parts = [region("a", "g", { id: 1n }), region("g", "p", { id: 2n }), region("p", "z", { id: 3n })];
  const cache = cacheOf(...parts);
  const merged = region("b", "m", { id: 4n, version: 2n });
  assert.ok(cache.insert(merged, 0));
  assert.deepEqual(parts.map(({ dropped }) => dropped), [true, true, false]);
  assert.equal(cache.find(at("a"), 0), null);
  assert.equal(cache.find(at("h"), 0), merged);

  const moved = region("u", "z", { id: 4n, version: 3n });
  assert.ok(cache.insert(moved, 0));
  assert.ok(merged.dropped);
  assert.equal(cache.find(at("h"), 0), null);
  assert.equal(cache.size, 1);
});

Deno.test("find() lets go of a region that was not used for its idle time, and of no other", () => {
  const entry = region("a", "z");
  const cache = cacheOf(entry);
  assert.equal(cache.find(at("b"), REGION_IDLE_MS - 1), entry);
  assert.equal(cache.find(at("b"), 2 * REGION_IDLE_MS - 2), entry, "use keeps it");
  assert.equal(cache.find(at("b"), 3 * REGION_IDLE_MS), null);
  assert.ok(entry.dropped);

  const late = new RegionCache(() => 0.999);
  late.insert(region("a", "z"), 0);
  assert.ok(late.find(at("b"), REGION_IDLE_MS + REGION_IDLE_JITTER_MS / 2), "idle times differ by chance");
});

Deno.test("find() lets go of a region with a down peer after the idle time, used or not", () => {
  const cache = cacheOf(region("a", "z", { someDown: true }));
  assert.ok(cache.find(at("b"), REGION_IDLE_MS - 1));
  assert.equal(cache.find(at("b"), REGION_IDLE_MS), null);
});

Deno.test("find() lets go of every region whose leader's store failed since", () => {
  const [one, two] = [newRecord(1n), newRecord(2n)];
  const ofOne = region("a", "g", { id: 1n, stores: [one, two] });
  const ofTwo = region("g", "p", { id: 2n, stores: [two, one] });
  const cache = cacheOf(ofOne, ofTwo);
  one.failures += 1;
  assert.equal(cache.find(at("b"), 0), null);
  assert.equal(cache.find(at("h"), 0), ofTwo);
  ofTwo.lead(1);
  assert.equal(cache.find(at("h"), 0), ofTwo, "the store is known to lead after its failure");
});

Deno.test("insert() sweeps out regions that nobody asks for", () => {
  const cache = new RegionCache(() => 0);
  for (let id = 0; id < 50; id++) {
    cache.insert(region(`a${id + 10}`, `a${id + 10}x`, { id: BigInt(id) }), 0);
  }
  for (let id = 100; id < 150; id++) {
    cache.insert(region(`b${id}`, `b${id}x`, { id: BigInt(id) }), 2 * REGION_IDLE_MS);
  }
  assert.ok(cache.size < 60, `${cache.size} left`);
});

Deno.test("gap() is one for places that no region parts", () => {
  const cache = cacheOf(region("d", "g", { id: 1n }), region("m", "p", { id: 2n }));
  assert.equal(cache.gap(at("a")), cache.gap(below("d")));
  assert.equal(cache.gap(at("h")), cache.gap(below("m")));
  assert.equal(cache.gap(at("g")), cache.gap(at("l")));
  assert.notEqual(cache.gap(at("a")), cache.gap(at("h")));
  assert.equal(cache.gap(at("q")), cache.gap(below("")));
});

Deno.test("whatever comes in, regions never overlap, never go back, and are found where they lie", () => {
  const letter = fc.integer({ min: 0, max: 11 });
  const insertion = fc.record({
    id: fc.bigInt({ min: 1n, max: 4n }),
    version: fc.bigInt({ min: 1n, max: 5n }),
    confVer: fc.bigInt({ min: 1n, max: 3n }),
    from: letter,
    size: fc.integer({ min: 1, max: 11 }),
    drop: fc.boolean(),
  });
  const text = (index: number) => index === 0 || index > 10 ? "" : String.fromCharCode(96 + index);
  fc.assert(fc.property(fc.array(insertion, { maxLength: 30 }), (insertions) => {
    const cache = new RegionCache(() => 0);
    let alive: RegionEntry[] = [];
    for (const { from, size, drop, ...made } of insertions) {
      const start = Math.min(from, 10);
      const entry = region(text(start), text(start + size), made);
      const older = alive.filter((each) =>
        each.id === entry.id && (each.version > entry.version || each.confVer > entry.confVer) ||
        each.id !== entry.id && each.version > entry.version && overlap(each, entry)
      );
      assert.equal(cache.insert(entry, 0), older.length === 0);
      if (older.length === 0) {
        alive = [...alive.filter((each) => each.id !== entry.id && !overlap(each, entry)), entry];
      }
      if (drop && alive[0] !== undefined) cache.drop(alive.shift() as RegionEntry);
      assert.equal(cache.size, alive.length);
      for (const each of alive) assert.ok(!each.dropped);
      for (const place of ["", "a", "b", "bb", "e", "j", "k", "zz"]) {
        const holder = alive.find(({ startKey, endKey }) => inRange(key(place), startKey, endKey));
        assert.equal(cache.find(at(place), 0), holder ?? null);
        const lower = alive.find(({ startKey, endKey }) =>
          (place === "" || compareKeys(startKey, key(place)) < 0) &&
          (endKey.length === 0 || (place !== "" && compareKeys(endKey, key(place)) >= 0))
        );
        assert.equal(cache.find(below(place), 0), lower ?? null);
      }
    }
  }));
});

function overlap(a: RegionEntry, b: RegionEntry): boolean {
  const startsInside = (one: RegionEntry, other: RegionEntry) =>
    inRange(one.startKey, other.startKey, other.endKey);
  return startsInside(a, b) || startsInside(b, a);
}
