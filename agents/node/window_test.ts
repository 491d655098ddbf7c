import assert from "node:assert/strict";
import { window } from "./window.ts";

Deno.test("window() keeps no more under way than it may", async () => {
  let underWay = 0;
  let most = 0;
  const sent: number[] = [];
  const flow = window<number>(3, async (item) => {
    most = Math.max(most, ++underWay);
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
    underWay--;
    sent.push(item);
  });
  for (let item = 0; item < 20; item++) {
    flow.add(item);
    await flow.room();
  }
  await flow.empty();
  assert.equal(most, 3);
  assert.deepEqual(sent.sort((a, b) => a - b), Array.from({ length: 20 }, (_, item) => item));
});

Deno.test("window() shows the first failure where it is waited for, and only there", async () => {
  const flow = window<string>(2, (item) => Promise.reject(new Error(item)));
  flow.add("first");
  flow.add("second");
  await new Promise((resolve) => setTimeout(resolve, 0));
  await assert.rejects(flow.room(), /first/);
  await assert.rejects(flow.empty(), /first/);
});
