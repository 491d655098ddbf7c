import assert from "node:assert/strict";
import { TikvError } from "./errors.ts";
import { Operation, type WaitKind } from "./operation.ts";
import { HurryingRuntime } from "./testing_fakes.ts";

const withCode = (code: string) => (error: unknown) => error instanceof TikvError && error.code === code;

Deno.test("wait() doubles from base to cap, half of it random where the table says so", async () => {
  const runtime = new HurryingRuntime();
  const op = runtime.operation("get");
  for (let count = 0; count < 10; count++) await op.wait("regionMiss", "no leader");
  assert.deepEqual(runtime.slept, [2, 4, 8, 16, 32, 64, 128, 256, 500, 500]);

  runtime.slept.length = 0;
  for (let count = 0; count < 3; count++) await op.wait("storeCall", "connection lost");
  assert.deepEqual(runtime.slept, [75, 150, 300]); // three quarters: chance is 0.5 here
});

Deno.test("wait() never sleeps longer than it is told to", async () => {
  const runtime = new HurryingRuntime();
  await runtime.operation().wait("witness", "witness", { atMostMs: 7 });
  assert.deepEqual(runtime.slept, [7]);
});

Deno.test("wait() ends the operation once its budget is used, with the causes seen", async () => {
  const codes: [WaitKind, string][] = [
    ["regionMiss", "timeout"],
    ["storeCall", "unavailable"],
    ["placementCall", "unavailable"],
    ["members", "unavailable"],
    ["diskFull", "disk-full"],
  ];
  for (const [kind, code] of codes) {
    const op = new HurryingRuntime().operation("prewrite", 3_000);
    await op.wait("scheduling", "a first cause");
    const ended = async () => {
      for (let count = 0; count < 100; count++) await op.wait(kind, "the last cause");
    };
    await assert.rejects(ended, (error) => {
      assert.ok(withCode(code)(error), `${kind}: ${error}`);
      assert.match((error as Error).message, /^prewrite: gave up after .*a first cause; the last cause/);
      return true;
    });
  }
});

Deno.test("wait() counts the time of a vain attempt", async () => {
  const op = new HurryingRuntime().operation("get", 3_000);
  await op.wait("regionMiss", "a", { lostMs: 2_900 });
  await assert.rejects(op.wait("regionMiss", "a", { lostMs: 200 }), withCode("timeout"));
});

Deno.test("wait() for a busy store has a budget of its own", async () => {
  const runtime = new HurryingRuntime();
  const op = runtime.operation("get", 1_000);
  for (let count = 0; count < 10; count++) await op.wait("serverBusy", "busy");
  assert.ok(runtime.nowMs() > 40_000);
  const ended = async () => {
    for (let count = 0; count < 1_000; count++) await op.wait("serverBusy", "busy");
  };
  await assert.rejects(ended, withCode("timeout"));
  assert.ok(runtime.nowMs() <= 602_000);
});

Deno.test("wait() and until() end with the caller's abort", async () => {
  const never = new Promise<void>(() => {});
  for (
    const pause of [
      (op: Operation) => op.wait("witness", "x"),
      (op: Operation) => op.until(never),
    ]
  ) {
    const abort = new AbortController();
    const waiting = pause(new HurryingRuntime().operation("get", 20_000, abort.signal));
    abort.abort(new Error("enough"));
    await assert.rejects(waiting, withCode("cancelled"));
    const after = pause(new HurryingRuntime().operation("get", 20_000, abort.signal));
    await assert.rejects(after, withCode("cancelled"));
  }
});

Deno.test("an abort whose reason is a TikvError ends the operation with that", async () => {
  const signal = AbortSignal.abort(new TikvError("closed", "closed"));
  const op = new HurryingRuntime().operation("get", 1, signal);
  await assert.rejects(op.until(new Promise(() => {})), withCode("closed"));
});

Deno.test("part() has its own budget and the same end", async () => {
  const abort = new AbortController();
  const op = new HurryingRuntime().operation("commit", 10, abort.signal);
  const part = op.part("rollback", 1_000);
  await part.wait("storeCall", "x");
  abort.abort();
  await assert.rejects(part.wait("storeCall", "x"), withCode("cancelled"));
});

Deno.test("fork() has what is left of the budget, and its waits go on growing", async () => {
  const runtime = new HurryingRuntime();
  const op = runtime.operation("prewrite", 1_000);
  for (let tries = 0; tries < 5; tries++) await op.wait("regionMiss", "x"); // 2 + 4 + 8 + 16 + 32 ms
  const [one, other] = [op.fork(), op.fork()];
  for (const fork of [one, other]) {
    const startMs = runtime.nowMs();
    await fork.wait("regionMiss", "x");
    assert.equal(runtime.nowMs() - startMs, 64);
    await fork.wait("regionMiss", "x");
    await fork.wait("regionMiss", "x");
    await assert.rejects(fork.wait("regionMiss", "y"), { message: /seen: x; y/ });
  }
});
