import assert from "node:assert/strict";
import { createRuntime } from "./runtime.ts";

Deno.test("sleep() ends after its time, and nowMs() says so", async () => {
  const runtime = createRuntime();
  const startMs = runtime.nowMs();
  await runtime.sleep(5);
  assert.ok(runtime.nowMs() - startMs >= 4); // timers and clock round differently
});

Deno.test("sleep() rejects with the reason of an abort, before and during, and leaves no timer", async () => {
  const runtime = createRuntime();
  const reason = new Error("enough");
  await assert.rejects(runtime.sleep(60_000, AbortSignal.abort(reason)), reason);
  const abort = new AbortController();
  const sleeping = runtime.sleep(60_000, abort.signal);
  abort.abort(reason);
  await assert.rejects(sleeping, reason);
});

Deno.test("random() lies in [0, 1)", () => {
  const { random } = createRuntime();
  for (let count = 0; count < 100; count++) {
    const given = random();
    assert.ok(given >= 0 && given < 1);
  }
});
