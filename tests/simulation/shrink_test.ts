import assert from "node:assert/strict";
import { shrink } from "./shrink.ts";

const names = Array.from({ length: 100 }, (_, n) => `loss@bus#${n}`);

Deno.test("shrink() leaves what is needed, in its order, and asks far fewer times than there are subsets", () => {
  const needed = ["loss@bus#3", "loss@bus#50", "loss@bus#51"];
  let tries = 0;
  const least = shrink(names, (some) => {
    tries++;
    return needed.every((name) => some.includes(name));
  });
  assert.deepEqual(least, needed);
  assert.ok(tries <= 100, `${tries} tries`);
});

Deno.test("shrink() gives nothing where nothing is needed, and all where all is", () => {
  assert.deepEqual(shrink(names, () => true), []);
  assert.deepEqual(shrink(names, () => false), names);
  assert.deepEqual(shrink([], () => true), []);
});
