import assert from "node:assert/strict";
import { isSalarError } from "../errors.ts";
import { realRandom, realScope } from "./real_scope.ts";

const cancelled = (error: unknown) => isSalarError(error, "cancelled");

Deno.test("sleep() resolves after its time and rejects at once when the scope ends", async () => {
  const end = new AbortController();
  const scope = realScope({ name: "test", signal: end.signal });
  const before = scope.monoMs();
  await scope.sleep(20);
  assert.ok(scope.monoMs() - before >= 19);

  const long = scope.sleep(60_000);
  end.abort();
  await assert.rejects(long, cancelled);
  await assert.rejects(scope.sleep(1), cancelled);
});

Deno.test("timeout() gives the result, the error, or `deadline` and ends the scope of the work", async () => {
  const scope = realScope({ name: "test" });
  assert.equal(await scope.timeout(1_000, () => Promise.resolve(7)), 7);
  await assert.rejects(scope.timeout(1_000, () => Promise.reject(new Error("own"))), /own/);
  await assert.rejects(
    scope.timeout(1_000, () => {
      throw new Error("sync");
    }),
    /sync/,
  );

  const inner = Promise.withResolvers<unknown>();
  const late = scope.timeout(10, (scope) => {
    scope.sleep(60_000).catch(inner.resolve);
    return new Promise<never>(() => {}); // looks away: R1 holds nevertheless
  });
  await assert.rejects(late, (error) => isSalarError(error, "deadline"));
  assert.ok(cancelled(await inner.promise));
});

Deno.test("timeout() rejects with `cancelled` when the outer scope ends", async () => {
  const end = new AbortController();
  const scope = realScope({ name: "test", signal: end.signal });
  const waiting = scope.timeout(60_000, (scope) => scope.sleep(60_000));
  end.abort();
  await assert.rejects(waiting, cancelled);
  await assert.rejects(scope.timeout(60_000, () => Promise.resolve()), cancelled);
});

Deno.test("spawn() reports errors, synchronous ones too, and keeps quiet about its own end", async () => {
  const end = new AbortController();
  const seen: string[] = [];
  const scope = realScope({
    name: "test",
    signal: end.signal,
    onError: (work, error) => seen.push(`${work}: ${error}`),
  });
  scope.spawn("first", () => Promise.reject(new Error("a")));
  scope.spawn("second", () => {
    throw new Error("b");
  });
  scope.spawn("third", () => scope.sleep(60_000));
  await scope.sleep(1);
  end.abort();
  await realScope({ name: "wait" }).sleep(1);
  assert.deepEqual(seen.sort(), ["first: Error: a", "second: Error: b"]);
});

Deno.test("every() goes on after an error and stops when the scope ends", async () => {
  const end = new AbortController();
  const errors: unknown[] = [];
  const scope = realScope({
    name: "test",
    signal: end.signal,
    onError: (_work, error) => errors.push(error),
  });
  const thrice = Promise.withResolvers<void>();
  let runs = 0;
  scope.every(1, "count", () => {
    runs += 1;
    if (runs === 3) thrice.resolve();
    return runs === 2 ? Promise.reject(new Error("second")) : Promise.resolve();
  });
  await thrice.promise;
  end.abort();
  await realScope({ name: "wait" }).sleep(10);
  assert.equal(runs, 3);
  assert.equal(errors.length, 1);
});

Deno.test("child() ends with its parent and with its own signal", () => {
  const parent = new AbortController();
  const own = new AbortController();
  const scope = realScope({ name: "test", signal: parent.signal });
  const a = scope.child("a", own.signal);
  const b = scope.child("b");
  own.abort();
  assert.deepEqual([a.signal.aborted, b.signal.aborted, scope.signal.aborted], [true, false, false]);
  parent.abort();
  assert.ok(b.signal.aborted);
});

Deno.test("open() ends by hand, with its parent or with any signal, and lets go of them", () => {
  const [parent, first, second] = [new AbortController(), new AbortController(), new AbortController()];
  const scope = realScope({ name: "test", signal: parent.signal });
  const byHand = scope.open("by hand", first.signal);
  const bySignal = scope.open("by signal", first.signal, second.signal);
  const byParent = scope.open("by parent");
  const aborted = () => [byHand, bySignal, byParent].map(({ signal }) => signal.aborted);

  byHand.end();
  assert.deepEqual(aborted(), [true, false, false]);
  second.abort();
  assert.deepEqual(aborted(), [true, true, false]);
  parent.abort();
  assert.deepEqual(aborted(), [true, true, true]);
  assert.ok(scope.open("too late").signal.aborted);
  assert.ok(isSalarError(byHand.signal.reason, "cancelled"));
});

Deno.test("realRandom() draws in range, ids of 26 characters, any number of bytes", () => {
  const random = realRandom();
  const drawn = Array.from({ length: 300 }, () => random.below(3));
  assert.deepEqual([...new Set(drawn)].sort(), [0, 1, 2]);
  assert.match(random.id(), /^[a-z2-7]{26}$/);
  assert.notEqual(random.id(), random.id());
  const many = random.bytes(200_000);
  assert.ok(many.subarray(-1_000).some((byte) => byte !== 0));
});
