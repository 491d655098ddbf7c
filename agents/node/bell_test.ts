import assert from "node:assert/strict";
import { isSalarError } from "../../lib/errors.ts";
import { TestingClock } from "../../lib/mesh/testing_clock.ts";
import { bell } from "./bell.ts";

Deno.test("bell() ends a wait at a ring, at its time, or with its scope", async () => {
  const clock = new TestingClock();
  const ending = new AbortController();
  const scope = clock.scope({ name: "test", signal: ending.signal });
  const hints = bell();
  const waited: string[] = [];
  const wait = (name: string) => {
    hints.wait(scope, 1_000).then(() => waited.push(name), (error) => waited.push(error.code));
  };

  wait("late");
  await clock.advance(999);
  assert.deepEqual(waited, []);
  await clock.advance(1);
  wait("rung");
  await clock.advance(1);
  hints.ring();
  await clock.advance(1);
  hints.ring(); // while nobody waits
  hints.ring();
  wait("kept");
  await clock.advance(1);
  wait("once only");
  await clock.advance(1);
  assert.deepEqual(waited, ["late", "rung", "kept"]);
  ending.abort();
  await clock.advance(1);
  assert.equal(waited.at(-1), "cancelled");
  await assert.rejects(hints.wait(scope, 1), (error) => isSalarError(error, "cancelled"));
});
