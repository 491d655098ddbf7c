/** Garbage collection on the scripted cluster: what it settles, what holds it back, who of many does it. */
import assert from "node:assert/strict";
import { connect } from "../../lib/tikv/client.ts";
import { SAFE_POINT_REFRESH_MS } from "../../lib/tikv/limits.ts";
import type { GarbageRound } from "../../lib/tikv/garbage.ts";
import { physicalMs, timestampAt } from "../../lib/tikv/transaction_time.ts";
import { waitFor } from "../parts/wait.ts";
import { bytes, fastRuntime, leaveLocks, lockedKeys, stage } from "./transactions_testing.ts";

const HOUR = 3_600_000;

Deno.test("collectGarbage() settles old locks in every region before the safe point moves, and leaves young ones", async () => {
  await using s = await stage();
  s.cluster.topology.split(bytes("b"), bytes("c"));
  const committed = leaveLocks(s.cluster, { puts: { a: "1", c: "1" }, ttlMs: 10 * HOUR });
  s.cluster.mvcc.commit([bytes("a")], committed, s.cluster.oracle.next());
  leaveLocks(s.cluster, { puts: { b: "2", d: "2" }, ttlMs: 10 * HOUR });
  leaveLocks(s.cluster, { puts: { e: "3", f: "3" }, ttlMs: 10 * HOUR, async: true });
  s.cluster.oracle.jump(3 * HOUR);
  leaveLocks(s.cluster, { puts: { young: "4" } });
  s.cluster.calls.clear();

  const progress: unknown[] = [];
  const round = await s.client.collectGarbage({
    retentionMs: HOUR,
    onProgress: (each) => progress.push(each),
  });
  assert.deepEqual([round.regions, round.locks, round.advanced], [3, 5, true]);
  assert.equal(progress.length, 3);
  assert.equal(round.safePoint, s.cluster.pd.gcSafePoint);
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), ["young"]);
  assert.equal(await s.value("c"), "1");
  assert.equal(await s.value("d"), null);
  assert.equal(await s.value("f"), "3", "every key was there, so it was committed");
  const log = s.cluster.calls.log.map(({ method }) => method);
  assert.ok(log.lastIndexOf("scanLock") < log.indexOf("updateGcSafePoint"));
});

Deno.test("a reader older than the safe point is refused, a younger one is not", async () => {
  const runtime = fastRuntime(1);
  await using s = await stage({ runtime });
  await s.put({ a: "1" });
  const old = s.client.snapshot();
  await old.version;
  s.cluster.oracle.jump(3 * HOUR);
  await old.get(bytes("a")); // nobody collects yet
  await s.client.collectGarbage({ retentionMs: HOUR });
  runtime.skip(SAFE_POINT_REFRESH_MS);
  await assert.rejects(old.get(bytes("a")), { code: "too-old", retry: true });
  await assert.rejects(old.getMany([bytes("a")]), { code: "too-old", retry: true });
  await assert.rejects(old.scan().next(), { code: "too-old" });
  assert.equal(await s.value("a"), "1");
});

Deno.test("a hold keeps the safe point back until it is let go, and comes too late for what has passed", async () => {
  await using s = await stage();
  const now = await s.client.timestamp();
  s.cluster.oracle.jump(3 * HOUR);
  await s.client.holdSafePoint("backup", now, 10 * HOUR);
  await s.client.holdSafePoint("export", now + 1n, 10 * HOUR);
  const held = await s.client.collectGarbage({ retentionMs: HOUR });
  assert.equal(held.safePoint, now);

  await s.client.holdSafePoint("backup", now, 0);
  const next = await s.client.collectGarbage({ retentionMs: HOUR });
  assert.equal(next.safePoint, now + 1n);
  await s.client.holdSafePoint("export", now + 1n, 0);
  const free = await s.client.collectGarbage({ retentionMs: HOUR });
  assert.ok(free.safePoint > now + 1n);
  await assert.rejects(s.client.holdSafePoint("late", now, HOUR), { code: "too-old" });
  await assert.rejects(s.client.collectGarbage({ retentionMs: 1 }), { code: "invalid" });
});

Deno.test("one of many collects; when it goes another takes over, and a second of its name is refused", async () => {
  await using s = await stage({ name: "one", runtime: fastRuntime(5) });
  await using two = await connect({ pd: s.cluster.addresses, name: "two", runtime: fastRuntime(5) });
  await using twin = await connect({ pd: s.cluster.addresses, name: "two", runtime: fastRuntime(5) });
  s.cluster.oracle.jump(3 * HOUR);
  const rounds: [string, GarbageRound][] = [];
  const errors: unknown[] = [];
  const loop = (name: string, signal: AbortSignal) => ({
    prefix: bytes("gc/"),
    retentionMs: HOUR,
    everyMs: 1_000,
    leaseMs: 1_500,
    signal,
    onRound: (round: GarbageRound) => rounds.push([name, round]),
    onError: (error: unknown) => errors.push(error),
  });
  const [first, second] = [new AbortController(), new AbortController()];
  const running = s.client.runGarbageCollector(loop("one", first.signal));
  await waitFor("a round", 5_000, () => rounds.length > 0);
  const standing = two.runGarbageCollector(loop("two", second.signal));
  await waitFor("more rounds", 5_000, () => rounds.length > 3);
  assert.ok(rounds.every(([name]) => name === "one"));
  assert.ok(rounds[0]?.[1].advanced);
  assert.ok(physicalMs(rounds[0]?.[1].safePoint ?? 0n) > physicalMs(timestampAt(Date.now())));

  await assert.rejects(twin.runGarbageCollector(loop("twin", second.signal)), { code: "name-taken" });

  first.abort();
  await running;
  await waitFor("the other's round", 5_000, () => rounds.some(([name]) => name === "two"));
  second.abort();
  await standing;
  assert.deepEqual(errors, []);
  assert.equal(await s.value("gc/lease"), null, "whoever leaves takes its records along");
});

Deno.test("a collector that lost its lease in the middle of a round moves nothing", async () => {
  await using s = await stage({ name: "one" });
  s.cluster.oracle.jump(3 * HOUR);
  const round = await s.client.collectGarbage({
    retentionMs: HOUR,
    mayAdvance: () => Promise.resolve(false),
  });
  assert.deepEqual([round.advanced, s.cluster.pd.gcSafePoint], [false, 0n]);
});
