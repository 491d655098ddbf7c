import assert from "node:assert/strict";
import { TikvError } from "./errors.ts";
import { Heartbeats } from "./heartbeat.ts";
import {
  HEARTBEAT_EVERY_MS,
  HEARTBEAT_FAILURES_MAX,
  HEARTBEAT_TTL_MS,
  TRANSACTION_AGE_MS_MAX,
} from "./limits.ts";
import { KeyError, type TxnHeartBeatRequest, TxnHeartBeatResponse } from "./messages_kv.ts";
import type { Decoded } from "./protobuf.ts";
import type { Located, Regions } from "./rpc.ts";
import { HurryingRuntime } from "./testing_fakes.ts";

type Reply = Decoded<typeof TxnHeartBeatResponse>;

const EMPTY = new Uint8Array(0);
const EVERYTHING: Located = { id: 1n, confVer: 1n, version: 1n, startKey: EMPTY, endKey: EMPTY };
const WELL: Reply = TxnHeartBeatResponse.decode(EMPTY);
const GONE: Reply = { ...WELL, error: KeyError.decode(EMPTY) };

/** Heartbeats of which the n-th is answered by `answer(n)`, counted from 1. */
function heartbeats(answer: (count: number) => Reply | Error) {
  const runtime = new HurryingRuntime();
  const ending = new AbortController();
  const sent: { atMs: number; ttlMs: number }[] = [];
  const startedAtMs = runtime.nowMs();
  const regions = {
    locate: () => Promise.resolve(EVERYTHING),
    locateBefore: () => Promise.resolve(EVERYTHING),
    send(_region: Located, _method: unknown, { adviseLockTtl }: Decoded<typeof TxnHeartBeatRequest>) {
      sent.push({ atMs: runtime.nowMs() - startedAtMs, ttlMs: Number(adviseLockTtl) });
      const given = answer(sent.length);
      return given instanceof Error ? Promise.reject(given) : Promise.resolve(given);
    },
  } as unknown as Regions;
  const beats = new Heartbeats({ regions, runtime, signal: ending.signal });
  const start = (firstAfterMs = 1_500) =>
    beats.start({ primary: new Uint8Array([1]), startTs: 7n, startedAtMs, firstAfterMs });
  return { runtime, ending, sent, start, rest: (ms: number) => runtime.sleep(ms) };
}

Deno.test("Heartbeats sends none for a transaction that ends before the first is due", async () => {
  const { sent, start, rest, runtime } = heartbeats(() => WELL);
  for (let count = 0; count < 100; count++) start()();
  const stop = start();
  await rest(1_400);
  stop();
  await rest(20_000);
  assert.deepEqual(sent, []);
  assert.ok(runtime.slept.length < 10, "one clock for all, and none while there are none");
});

Deno.test("Heartbeats keeps a lock alive from its first on, until it is stopped", async () => {
  const { sent, start, rest } = heartbeats(() => WELL);
  const stop = start();
  await rest(12_500);
  stop();
  await rest(60_000);
  assert.equal(sent.length, 2);
  const [first, second] = sent;
  assert.ok(first && second);
  assert.ok(first.atMs >= 1_500 && first.atMs <= 2_000, `at ${first.atMs} ms`);
  assert.ok(second.atMs - first.atMs >= HEARTBEAT_EVERY_MS);
  for (const { atMs, ttlMs } of sent) assert.equal(ttlMs, atMs + HEARTBEAT_TTL_MS);
});

Deno.test("Heartbeats stops when the lock is gone, and after failures in a row, not in all", async () => {
  const gone = heartbeats(() => GONE);
  gone.start();
  await gone.rest(100_000);
  assert.equal(gone.sent.length, 1);

  const failing = heartbeats((count) => count === 1 ? WELL : new TikvError("unavailable", "nobody there"));
  failing.start();
  await failing.rest(500_000);
  assert.equal(failing.sent.length, 1 + HEARTBEAT_FAILURES_MAX);

  const recovering = heartbeats((count) =>
    count % 2 === 0 ? WELL : new TikvError("unavailable", "nobody there")
  );
  const stop = recovering.start();
  await recovering.rest(500_000);
  stop();
  assert.ok(recovering.sent.length > 2 * HEARTBEAT_FAILURES_MAX);
});

Deno.test("Heartbeats stops for a transaction that is too old to commit, and with the client", async () => {
  const old = heartbeats(() => WELL);
  old.start(TRANSACTION_AGE_MS_MAX + 1);
  await old.rest(TRANSACTION_AGE_MS_MAX + 10_000);
  assert.deepEqual(old.sent, []);

  const closed = heartbeats(() => WELL);
  closed.start();
  closed.ending.abort(new TikvError("closed", "this client is closed"));
  await closed.rest(60_000);
  assert.deepEqual(closed.sent, []);
});
