import assert from "node:assert/strict";
import { IDEMPOTENCY_KEEP_MS, STORE_VALUE_BYTES_MAX } from "../limits.ts";
import { silentLog } from "../log.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import { type AnswerContext, answerOnce, sweepAnswers } from "./idempotency.ts";
import { meshKeys } from "./keys.ts";
import { realCrypt } from "./real_crypt.ts";
import { TestingClock } from "./testing_clock.ts";

const asked = { principal: "token:a", key: "k", requestHash: "h", secretReply: false };

async function inContext(
  test: (context: AnswerContext, clock: TestingClock) => Promise<void>,
): Promise<void> {
  const clock = new TestingClock();
  const store = openSqliteStore({ path: ":memory:" });
  await test({ store, scope: clock.scope({ name: "test" }), crypt: realCrypt(), log: silentLog }, clock);
  await store.close();
}

/** Asks; gives the answer's body, and counts and keeps the token when it had to run. */
async function ask(context: AnswerContext, body: string, runs: string[]): Promise<string> {
  const once = await answerOnce(context, asked, (token) => {
    runs.push(token);
    return Promise.resolve({ answer: { status: 200, body, etag: null }, result: body });
  });
  return "kept" in once ? once.kept.body : once.result;
}

Deno.test("answerOnce() keeps an answer for IDEMPOTENCY_KEEP_MS; then the key is new, with a new token", async () => {
  await inContext(async (context, clock) => {
    const runs: string[] = [];
    assert.equal(await ask(context, "first", runs), "first");
    await clock.advance(IDEMPOTENCY_KEEP_MS - 1);
    assert.equal(await ask(context, "second", runs), "first");
    await clock.advance(1);
    assert.equal(await ask(context, "third", runs), "third");
    assert.equal(new Set(runs).size, 2);
  });
});

Deno.test("answerOnce() runs again under the same token when the answer was never kept", async () => {
  await inContext(async (context) => {
    const runs: string[] = [];
    const large = "x".repeat(STORE_VALUE_BYTES_MAX); // cannot be kept: K3
    assert.equal(await ask(context, large, runs), large);
    assert.equal(await ask(context, "again", runs), "again");
    assert.deepEqual(runs[0], runs[1]);

    const crash = answerOnce(context, { ...asked, key: "k2" }, (token) => {
      runs.push(token);
      return Promise.reject(new Error("crash"));
    });
    await assert.rejects(crash, /crash/);
    await answerOnce(context, { ...asked, key: "k2" }, (token) => {
      runs.push(token);
      return Promise.resolve({ answer: null, result: null });
    });
    assert.deepEqual(runs[2], runs[3]);
  });
});

Deno.test("sweepAnswers() forgets what is too old, and not a key that was claimed anew", async () => {
  await inContext(async (context, clock) => {
    const count = () =>
      context.store.read(context.scope, async (tx) => {
        const all = await tx.scan({ from: "mesh/", to: "mesh0" }, { limit: 100 });
        return { all: all.length, index: all.filter(({ key }) => key.startsWith(meshKeys.answersAt)).length };
      });
    const runs: string[] = [];
    await ask(context, "first", runs);
    assert.equal(await sweepAnswers(context), 0);
    await clock.advance(IDEMPOTENCY_KEEP_MS + 1);
    await ask(context, "anew", runs);
    assert.deepEqual(await count(), { all: 3, index: 2 });
    assert.equal(await sweepAnswers(context), 1);
    assert.deepEqual(await count(), { all: 2, index: 1 });
    assert.equal(await ask(context, "no", runs), "anew");
    await clock.advance(IDEMPOTENCY_KEEP_MS + 1);
    assert.equal(await sweepAnswers(context), 1);
    assert.deepEqual(await count(), { all: 0, index: 0 });
  });
});
