import assert from "node:assert/strict";
import { createPool } from "./pool.ts";
import { testScope } from "./testing_scope.ts";

/** A pool of at most two that run and three that wait, whose work ends when the test says so. */
function heldPool() {
  const scope = testScope();
  const started: number[] = [];
  const dropped: number[] = [];
  const ends = new Map<number, PromiseWithResolvers<void>>();
  const pool = createPool<number>(scope, {
    name: "pool",
    runningMax: 2,
    waitingMax: 3,
    work(item) {
      started.push(item);
      const end = Promise.withResolvers<void>();
      ends.set(item, end);
      return end.promise;
    },
    dropped: (item) => dropped.push(item),
  });
  return { scope, pool, started, dropped, ends, settled: () => scope.sleep(0) };
}

Deno.test("createPool() starts no work in the turn of its push, then in order, so many at once", async () => {
  const { pool, started, ends, settled } = heldPool();
  for (const item of [1, 2, 3]) pool.push(item);
  assert.deepEqual(started, []);
  await settled();
  assert.deepEqual([started, pool.held()], [[1, 2], 3]);
  ends.get(2)?.resolve();
  await settled();
  assert.deepEqual([started, pool.held()], [[1, 2, 3], 2]);
});

Deno.test("createPool() pushes out the one that waited longest when too many wait, in one turn or over many", async () => {
  const { pool, started, dropped, ends, settled } = heldPool();
  for (const item of [1, 2, 3, 4, 5, 6]) pool.push(item);
  await settled();
  pool.push(7);
  assert.deepEqual([started, dropped], [[2, 3], [1, 4]]);
  for (const item of [2, 3]) ends.get(item)?.resolve();
  await settled();
  assert.deepEqual(started, [2, 3, 5, 6]);
});

Deno.test("createPool() tells the host what work throws, and goes on", async () => {
  const { scope, pool, started, ends, settled } = heldPool();
  for (const item of [1, 2, 3]) pool.push(item);
  await settled();
  ends.get(1)?.reject(new Error("planned"));
  await settled();
  assert.deepEqual([started, scope.failures], [[1, 2, 3], ["planned"]]);
});

Deno.test("createPool() is idle when all that was pushed has ended, or when it was stopped before it began", async () => {
  const { pool, started, ends, settled } = heldPool();
  let idle = false;
  pool.push(1);
  void pool.idle().then(() => idle = true);
  await settled();
  assert.deepEqual([started, idle], [[1], false]);
  ends.get(1)?.resolve();
  await settled();
  assert.equal(idle, true);

  pool.push(2);
  const stopped = pool.idle();
  pool.stop();
  await stopped;
  assert.deepEqual(started, [1]);
});
