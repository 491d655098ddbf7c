import assert from "node:assert/strict";
import { Background } from "./client_background.ts";
import { BACKGROUND_TASKS_MAX } from "./limits.ts";
import { HurryingRuntime } from "./testing_fakes.ts";

function background(runtime = new HurryingRuntime()) {
  const failed: string[] = [];
  return { runtime, failed, tasks: new Background(runtime, (_, name) => failed.push(name)) };
}

Deno.test("Background.close() waits for tasks and reports those that fail", async () => {
  const { tasks, failed, runtime } = background();
  const done: string[] = [];
  tasks.start("slow", 1_000, async (op) => {
    await runtime.sleep(500, op.signal);
    done.push("slow");
  });
  tasks.start("bad", 1_000, () => Promise.reject(new Error("no")));
  assert.equal(tasks.count, 2);
  await tasks.close(3_000);
  assert.deepEqual([done, failed, tasks.count], [["slow"], ["bad"], 0]);
});

Deno.test("Background.close() ends what takes too long", async () => {
  const { tasks, failed, runtime } = background();
  tasks.start("endless", 1_000, (op) => runtime.sleep(1e9, op.signal));
  await tasks.close(3_000);
  assert.deepEqual([failed, tasks.count], [["endless"], 0]);
});

Deno.test("Background.offer() lets go what there is no room for, and room() waits for it", async () => {
  const { tasks, runtime } = background();
  const gates = Array.from({ length: BACKGROUND_TASKS_MAX }, () => Promise.withResolvers<void>());
  for (const { promise } of gates) tasks.start("held", 1_000, () => promise);
  assert.equal(tasks.offer("one more", 1_000, () => Promise.resolve()), false);

  let hasRoom = false;
  const room = tasks.room(runtime.operation()).then(() => hasRoom = true);
  await Promise.resolve();
  assert.equal(hasRoom, false);
  gates[0]?.resolve();
  await room;
  assert.equal(tasks.offer("one more", 1_000, () => Promise.resolve()), true);

  const abort = new AbortController();
  tasks.start("held", 1_000, () => gates[1]?.promise ?? Promise.resolve());
  const waiting = tasks.room(runtime.operation("commit", 1_000, abort.signal));
  abort.abort();
  await assert.rejects(waiting, { code: "cancelled" });
  for (const { resolve } of gates) resolve();
  await tasks.close(3_000);
});
