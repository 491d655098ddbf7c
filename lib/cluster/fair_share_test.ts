import assert from "node:assert/strict";
import fc from "fast-check";
import { apportion, shareAt, WaterLevel } from "./fair_share.ts";

const holders = fc.array(
  fc.record({
    weight: fc.oneof(fc.constant(1), fc.constant(0), fc.double({ min: 0.01, max: 100, noNaN: true })),
    capacity: fc.nat({ max: 1_000 }),
  }),
  { maxLength: 20 },
);
const totals = fc.nat({ max: 12_000 });

function sum(values: number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

Deno.test("WaterLevel: shares at the level add up to the total, or to what fits", () => {
  fc.assert(fc.property(holders, totals, (holders, total) => {
    const level = new WaterLevel(holders).at(total);
    const able = sum(holders.map(({ weight, capacity }) => weight > 0 ? capacity : 0));
    const shared = sum(holders.map((holder) => shareAt(level, holder)));
    assert.ok(Math.abs(shared - Math.min(total, able)) < 1e-6, `${shared} of ${total}, ${able} fit`);
    if (total >= able) assert.equal(level, Infinity);
  }));
});

Deno.test("WaterLevel: never falls when the total rises", () => {
  fc.assert(fc.property(holders, totals, totals, (holders, x, y) => {
    const level = new WaterLevel(holders);
    assert.ok(level.at(Math.min(x, y)) <= level.at(Math.max(x, y)));
  }));
});

Deno.test("apportion() gives whole shares within one of the fair ones, within capacity, that add up", () => {
  fc.assert(fc.property(holders, totals, (holders, total) => {
    const level = new WaterLevel(holders).at(total);
    const shares = apportion(total, holders);
    const able = sum(holders.map(({ weight, capacity }) => weight > 0 ? capacity : 0));
    assert.equal(sum(shares), Math.min(total, able));
    for (const [at, holder] of holders.entries()) {
      const share = shares[at] ?? NaN;
      assert.ok(Number.isInteger(share) && share >= 0 && share <= holder.capacity);
      assert.ok(Math.abs(share - shareAt(level, holder)) < 1 + 1e-9);
      if (holder.weight === 0) assert.equal(share, 0);
    }
  }));
});

Deno.test("apportion() fills small holders and shares the rest by weight", () => {
  const holders = [{ weight: 1, capacity: 5 }, { weight: 1, capacity: 100 }, { weight: 2, capacity: 100 }];
  assert.deepEqual(apportion(35, holders), [5, 10, 20]);
  assert.deepEqual(apportion(1_000, holders), [5, 100, 100]);
  assert.deepEqual(apportion(5, [{ weight: 2, capacity: 9 }, { weight: 1, capacity: 9 }]), [3, 2]);
  assert.equal(new WaterLevel(holders).at(204), 99); // 5 + 99 + 100: all but the second are full
  assert.equal(new WaterLevel(holders).at(205), Infinity);
  assert.deepEqual(apportion(0, holders), [0, 0, 0]);
  assert.deepEqual(apportion(7, []), []);
  assert.deepEqual(apportion(5, [1, 1, 1].map((weight) => ({ weight, capacity: 9 }))), [2, 2, 1]);
});
