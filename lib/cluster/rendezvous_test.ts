import assert from "node:assert/strict";
import fc from "fast-check";
import { type Contender, hashOf, ln, uniform, winner } from "./rendezvous.ts";

interface Named extends Contender {
  name: string;
}

function contenders(weights: number[], seed = 0): Named[] {
  return weights.map((weight, at) => {
    const name = `node-${String(at).padStart(4, "0")}`;
    return { name, weight, hash: hashOf(name, seed) };
  });
}

const anybody = () => true;
const weights = fc.array(fc.double({ min: 0.01, max: 100, noNaN: true }), { minLength: 1, maxLength: 12 });

Deno.test("ln() agrees with Math.log to the last bits, over the whole range", () => {
  fc.assert(
    fc.property(fc.double({ min: Number.MIN_VALUE, max: Number.MAX_VALUE, noNaN: true }), (x) => {
      const expected = Math.log(x);
      assert.ok(Math.abs(ln(x) - expected) <= 4e-16 * Math.abs(expected), `${x}: ${ln(x)}, not ${expected}`);
    }),
    { numRuns: 20_000 },
  );
});

Deno.test("ln() agrees with Math.log on what placement draws, close to 1 above all", () => {
  const draws = fc.oneof(fc.nat({ max: 2 ** 32 - 1 }), fc.nat({ max: 1000 }).map((n) => 2 ** 32 - 1 - n));
  fc.assert(
    fc.property(draws, (draw) => {
      const x = (draw + 0.5) / 2 ** 32;
      assert.ok(Math.abs(ln(x) - Math.log(x)) <= 4e-16 * Math.abs(Math.log(x)), String(x));
    }),
    { numRuns: 20_000 },
  );
  assert.equal(ln(1), 0);
  assert.equal(ln(2), Math.LN2);
});

Deno.test("ln() refuses what has no logarithm", () => {
  for (const x of [0, -1, NaN, Infinity]) assert.throws(() => ln(x), RangeError);
});

Deno.test("ln(), hashOf() and uniform() give the bits that stored plans were made with", () => {
  assert.equal(ln(0.3), -1.203972804325936); // V8's Math.log ends in 61
  assert.deepEqual(hashOf("node-1"), { a: -1989289654, b: 819440360 });
  assert.deepEqual(hashOf(1_000_010_001), { a: 2140135043, b: -1302197554 });
  assert.equal(uniform(hashOf("node-1"), hashOf(1_000_010_001)), 0.5819126454880461);
});

Deno.test("hashOf() tells names, number ranges and seeds apart", () => {
  const names = fc.oneof(fc.string(), fc.maxSafeNat());
  fc.assert(fc.property(names, names, fc.integer(), fc.integer(), (x, y, seed, other) => {
    if (x !== y) assert.notDeepEqual(hashOf(x, seed), hashOf(y, seed));
    if ((seed | 0) !== (other | 0)) assert.notDeepEqual(hashOf(x, seed), hashOf(x, other));
  }));
});

Deno.test("hashOf() has no collision among a million consecutive ids", () => {
  const seen = new Set<number>();
  for (let id = 1_000_000_000; id < 1_001_000_000; id++) {
    const { a, b } = hashOf(id);
    seen.add((a >>> 0) * 2 ** 20 + (b >>> 12));
  }
  assert.equal(seen.size, 1_000_000);
});

Deno.test("winner() is null without a contender that may, and never one that may not", () => {
  assert.equal(winner(hashOf(1), [], anybody), null);
  fc.assert(fc.property(weights, fc.nat(), fc.nat({ max: 11 }), (weights, id, closed) => {
    const nodes = contenders(weights);
    const chosen = winner(hashOf(id), nodes, ({ name }) => name !== nodes[closed]?.name);
    const others = nodes.filter((_, at) => at !== closed);
    assert.equal(chosen, winner(hashOf(id), others, anybody));
    assert.equal(winner(hashOf(id), nodes, () => false), null);
  }));
});

Deno.test("winner() has the shortest race time", () => {
  fc.assert(fc.property(weights, fc.nat(), (weights, id) => {
    const nodes = contenders(weights);
    const times = nodes.map(({ hash, weight }) => -ln(uniform(hash, hashOf(id))) / weight);
    assert.equal(winner(hashOf(id), nodes, anybody), nodes[times.indexOf(Math.min(...times))]);
  }));
});

Deno.test("winner() changes only to a contender that was added", () => {
  fc.assert(fc.property(weights, fc.nat(), (weights, id) => {
    const nodes = contenders(weights);
    const before = winner(hashOf(id), nodes.slice(0, -1), anybody);
    const after = winner(hashOf(id), nodes, anybody);
    assert.ok(after === before || after === nodes.at(-1));
  }));
});

Deno.test("winner() gives every contender its weight's share of consecutive ids", () => {
  const weights = [1, 1, 2, 4, 0.5, 1.5];
  const nodes = contenders(weights, 7);
  const total = weights.reduce((all, weight) => all + weight, 0);
  const count = 60_000;
  const wins = new Map(nodes.map(({ name }) => [name, 0]));
  for (let id = 0; id < count; id++) {
    const name = winner(hashOf(1_000_000_000 + id, 7), nodes, anybody)?.name ?? "";
    wins.set(name, (wins.get(name) ?? 0) + 1);
  }
  for (const { name, weight } of nodes) {
    const share = weight / total;
    const deviation = Math.abs((wins.get(name) ?? 0) - count * share) /
      Math.sqrt(count * share * (1 - share));
    assert.ok(deviation < 4, `${name}: ${wins.get(name)} of ${count}, ${deviation} standard deviations off`);
  }
});
