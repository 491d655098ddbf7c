/** Locks that dead and living clients left, on the scripted cluster: who waits, who passes, and what becomes of them. */
import assert from "node:assert/strict";
import { connect } from "../../lib/tikv/client.ts";
import { TS_MAX } from "../../lib/tikv/transaction_time.ts";
import { waitFor } from "../parts/wait.ts";
import {
  bytes,
  fastRuntime,
  leaveLocks,
  lockedKeys,
  shown,
  type Stage,
  stage,
  text,
} from "./transactions_testing.ts";

Deno.test("a reader passes a living lock without waiting: one status, one more read", async () => {
  await using s = await stage();
  await s.put({ a: "old", b: "old" });
  const startTs = leaveLocks(s.cluster, { puts: { a: "new", b: "new" } });
  s.cluster.calls.clear();

  assert.equal(await s.value("b"), "old");
  assert.deepEqual(s.cluster.calls.counts(), { tso: 1, get: 2, checkTxnStatus: 1 });
  const [status] = s.cluster.calls.of("checkTxnStatus");
  assert.equal(status?.request.verifyIsPrimary, true);
  assert.equal(status?.request.rollbackIfNotExist, false);
  assert.deepEqual(lockedKeys(s.cluster), ["a", "b"], "the lock lives on");
  const again = s.cluster.calls.of("get").at(-1);
  assert.deepEqual(again?.request.context?.resolvedLocks, [startTs]);

  // Its owner was pushed above the reader, and commits there.
  const commitTs = s.cluster.oracle.next();
  s.cluster.mvcc.commit([bytes("a")], startTs, commitTs);
  assert.equal(await s.value("b"), "new");
  assert.deepEqual(s.corrupt, []);
});

Deno.test("the latest value is read past a living lock, and no timestamp is asked for", async () => {
  await using s = await stage();
  await s.put({ a: "old", b: "old" });
  leaveLocks(s.cluster, { puts: { a: "new", b: "new" } });
  s.cluster.calls.clear();
  assert.equal(text(await s.client.latest(bytes("b"))), "old");
  assert.deepEqual(s.cluster.calls.counts(), { get: 2, checkTxnStatus: 1 });
  assert.equal(s.cluster.calls.of("get")[0]?.request.version, TS_MAX);
});

Deno.test("a reader reads through the secondaries of a committed transaction and clears them behind itself", async () => {
  await using s = await stage();
  await s.put({ a: "old", b: "old", c: "old" });
  const startTs = leaveLocks(s.cluster, { puts: { a: "new", b: "new", c: "new" } });
  s.cluster.mvcc.commit([bytes("a")], startTs, s.cluster.oracle.next());
  s.cluster.calls.clear();

  assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=new", "b=new", "c=new"]);
  assert.deepEqual(s.cluster.calls.of("get").at(-1)?.request.context?.committedLocks, [startTs]);
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
  assert.equal(await s.value("c"), "new");
  assert.equal(s.cluster.calls.counts().checkTxnStatus, 1, "asked once for both keys");
});

Deno.test("a reader whose snapshot is older than the commit reads what was there before", async () => {
  await using s = await stage();
  await s.put({ a: "old", b: "old" });
  const startTs = leaveLocks(s.cluster, { puts: { a: "new", b: "new" }, minCommitTs: 0n });
  const snapshot = s.client.snapshot();
  await snapshot.version;
  s.cluster.mvcc.commit([bytes("a")], startTs, s.cluster.oracle.next());
  const read = Promise.withResolvers<void>();
  s.cluster.intercept("resolveLock", async (_, execute) => {
    await read.promise; // so that it is the lock which is read past
    return await execute();
  });
  assert.equal(text(await snapshot.get(bytes("b"))), "old");
  assert.equal(await s.value("b"), "new");
  read.resolve();
});

Deno.test("a lock whose time has passed is rolled back, not before; thousands of its keys go by region", async () => {
  await using s = await stage();
  const puts = Object.fromEntries(Array.from({ length: 3_000 }, (_, at) => [`k${10_000 + at}`, "new"]));
  await s.put({ k10000: "old", k12999: "old" });
  s.cluster.topology.split(bytes("k11500"));
  leaveLocks(s.cluster, { puts, ttlMs: 5_000, minCommitTs: 0n });
  assert.equal(lockedKeys(s.cluster).length, 3_000);

  const before = s.client.begin();
  before.put(bytes("k12999"), bytes("mine"));
  await before.startTs;
  const waiting = before.commit();
  await asked(s, 3);
  assert.equal(lockedKeys(s.cluster).length, 3_000, "nobody takes a living transaction's locks");

  s.cluster.oracle.jump(6_000);
  await s.client.timestamp();
  await waiting;
  await s.settled();
  assert.deepEqual(await shown(s.client.snapshot().scan()), ["k10000=old", "k12999=mine"]);
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
  assert.ok((s.cluster.calls.counts().resolveLock ?? 0) < 10, "whole regions at once");
});

Deno.test("a lock whose primary is not written yet is waited for until its time has passed", async () => {
  await using s = await stage();
  await s.put({ b: "old" });
  leaveLocks(s.cluster, { puts: { b: "new" }, primary: "a", ttlMs: 1_000 });
  s.cluster.calls.clear();
  const reading = s.value("b");
  await asked(s, 3);
  const statuses = s.cluster.calls.of("checkTxnStatus");
  assert.ok(statuses.every(({ request }) => !request.rollbackIfNotExist));

  s.cluster.oracle.jump(1_000);
  await s.client.timestamp();
  assert.equal(await reading, "old");
  assert.equal(s.cluster.calls.of("checkTxnStatus").at(-1)?.request.rollbackIfNotExist, true);
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
  assert.deepEqual(s.cluster.mvcc.rows.row(bytes("a")).writes.map(({ kind }) => kind), ["rollback"]);
});

Deno.test("a primary that arrives while it is waited for is found", async () => {
  await using s = await stage();
  await s.put({ a: "old", b: "old" });
  const startTs = leaveLocks(s.cluster, { puts: { b: "new" }, primary: "a" });
  const reading = s.value("b");
  await asked(s, 1);
  leaveLocks(s.cluster, { puts: { a: "new" }, primary: "a", startTs });
  assert.equal(await reading, "old");
  assert.deepEqual(lockedKeys(s.cluster), ["a", "b"]);
});

Deno.test("an async commit whose keys all hold locks is committed at the latest of their bounds", async () => {
  await using s = await stage();
  await s.put({ a: "old", b: "old", c: "old" });
  const startTs = leaveLocks(s.cluster, {
    puts: { a: "new", b: "new" },
    secondaries: ["b", "c"],
    async: true,
  });
  const late = startTs + 1_000n;
  leaveLocks(s.cluster, { puts: { c: "new" }, primary: "a", startTs, minCommitTs: late, async: true });
  s.cluster.topology.split(bytes("c"));
  s.cluster.oracle.jump(10_000);
  assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=new", "b=new", "c=new"]);
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
  for (const key of ["a", "b", "c"]) {
    assert.equal(s.cluster.mvcc.rows.row(bytes(key)).writes[0]?.commitTs, late);
  }
});

Deno.test("an async commit with a key that was never prewritten is rolled back, and its late prewrite fails", async () => {
  await using s = await stage();
  await s.put({ a: "old", b: "old" });
  const startTs = leaveLocks(s.cluster, { puts: { a: "new" }, secondaries: ["b"], async: true });
  s.cluster.oracle.jump(10_000);
  assert.equal(await s.value("a"), "old");
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
  assert.throws(() => leaveLocks(s.cluster, { puts: { b: "new" }, primary: "a", startTs, async: true }));
});

Deno.test("an async commit that another began to settle is settled the same way", async () => {
  await using s = await stage();
  const puts = { a: "new", b: "new", c: "new" };
  const startTs = leaveLocks(s.cluster, { puts, async: true });
  const minCommitTs = s.cluster.mvcc.rows.row(bytes("a")).lock?.minCommitTs ?? 0n;
  s.cluster.mvcc.commit([bytes("b")], startTs, minCommitTs);
  s.cluster.oracle.jump(10_000);
  assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=new", "b=new", "c=new"]);
});

Deno.test("an async commit whose owner fell back to two phases is settled by its primary alone", async () => {
  await using s = await stage();
  await s.put({ a: "old", b: "old" });
  const startTs = leaveLocks(s.cluster, { puts: { a: "new" }, secondaries: ["b"], async: true });
  leaveLocks(s.cluster, { puts: { b: "new" }, primary: "a", startTs });
  s.cluster.oracle.jump(10_000);
  s.cluster.calls.clear();
  assert.equal(await s.value("b"), "old");
  const [first, second] = s.cluster.calls.of("checkTxnStatus");
  assert.deepEqual([first?.request.forceSyncCommit, second?.request.forceSyncCommit], [false, true]);
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
});

Deno.test("a living async commit is waited for, and nothing of it is touched", async () => {
  await using s = await stage();
  await s.put({ a: "old" });
  const startTs = leaveLocks(s.cluster, { puts: { a: "new" }, async: true });
  const reading = s.value("a");
  await asked(s, 3);
  assert.equal(s.cluster.calls.counts().checkSecondaryLocks, undefined);
  const { minCommitTs = 0n } = s.cluster.mvcc.rows.row(bytes("a")).lock ?? {};
  s.cluster.mvcc.commit([bytes("a")], startTs, minCommitTs);
  assert.equal(await reading, "new");
});

Deno.test("keys that tell of two commits of one transaction are damage, and are reported", async () => {
  await using s = await stage();
  const startTs = leaveLocks(s.cluster, { puts: { a: "new", b: "new", c: "new" }, async: true });
  const { minCommitTs = 0n } = s.cluster.mvcc.rows.row(bytes("a")).lock ?? {};
  s.cluster.topology.split(bytes("c"));
  s.cluster.mvcc.commit([bytes("b")], startTs, minCommitTs);
  s.cluster.mvcc.commit([bytes("c")], startTs, minCommitTs + 1n);
  s.cluster.oracle.jump(10_000);
  await assert.rejects(s.value("a"), { code: "corrupt" });
  assert.equal(s.corrupt.length, 1);
});

Deno.test("locks in a scan and in a batch get are reported by pair or by reply, and settled either way", async () => {
  for (const wholeReply of [false, true]) {
    await using s = await stage();
    await s.put({ a: "1", b: "2", c: "3" });
    const startTs = leaveLocks(s.cluster, { puts: { b: "new", d: "new" } });
    s.cluster.mvcc.commit([bytes("b")], startTs, s.cluster.oracle.next());
    const gone = leaveLocks(s.cluster, { puts: { c: "new", e: "new" } });
    s.cluster.mvcc.rollBack([bytes("c")], gone);
    const locked = {
      error: { locked: { primaryLock: bytes("b"), key: bytes("d"), lockVersion: startTs, lockTtl: 3_000n } },
    };
    if (wholeReply) {
      s.cluster.intercept("scan", () => locked);
      s.cluster.intercept("batchGet", () => locked);
    }
    assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=1", "b=new", "c=3", "d=new"]);
    const keys = ["a", "d", "e"].map(bytes);
    assert.deepEqual((await s.client.snapshot().getMany(keys)).map(text), ["1", "new", null]);
    const reverse = s.client.snapshot().scan({}, { reverse: true, pagePairs: 2 });
    assert.deepEqual(await shown(reverse), ["d=new", "c=3", "b=new", "a=1"]);
  }
});

Deno.test("two clients: what one leaves in the middle of a commit the other settles", async () => {
  await using s = await stage({ commit: { onePhase: false, async: false } });
  await s.put({ a: "old", b: "old" });
  s.cluster.topology.split(bytes("b"));
  const second = s.cluster.intercept("commit", () => ({}), {
    times: Infinity,
    when: ({ request }) => request.commitRole === 2,
  });
  await s.put({ a: "new", b: "new" }); // its secondaries are never committed, though it was told so
  await s.settled();
  second();
  assert.deepEqual(lockedKeys(s.cluster), ["b"]);

  await using other = await connect({ pd: s.cluster.addresses });
  assert.equal(text(await other.snapshot().get(bytes("b"))), "new");
  await other.transaction((tx) => tx.put(bytes("b"), bytes("newer")));
  assert.equal(await s.value("b"), "newer");
});

/** Waits until statuses of transactions were asked for so often. */
async function asked({ cluster }: Stage, times: number): Promise<void> {
  await waitFor(`${times} statuses`, 10_000, () => cluster.calls.of("checkTxnStatus").length >= times);
}

Deno.test("a store that keeps reporting a lock, though it took the clearing, does not make its reader spin", async () => {
  await using s = await stage({ runtime: fastRuntime(10) });
  const startTs = leaveLocks(s.cluster, { puts: { a: "1", b: "1" } });
  s.cluster.mvcc.commit([bytes("a")], startTs, s.cluster.oracle.next());
  const lock = { primaryLock: bytes("a"), key: bytes("b"), lockVersion: startTs, lockTtl: 3_000n };
  s.cluster.intercept("resolveLock", () => ({}), { times: Infinity });
  s.cluster.intercept("get", () => ({ error: { locked: lock } }), { times: Infinity });
  s.cluster.calls.clear();
  await assert.rejects(s.value("b"), { code: "timeout" });
  assert.ok((s.cluster.calls.counts().get ?? 0) < 40);
});
