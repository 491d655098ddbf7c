/** Pessimistic locks on the scripted cluster: waiting, deadlocks, latest values, what is let go. */
import assert from "node:assert/strict";
import type { Transaction } from "../../lib/tikv/transaction.ts";
import { waitFor } from "../parts/wait.ts";
import { Fault } from "./scripted/calls.ts";
import { bytes, fastRuntime, lockedKeys, shown, stage, text } from "./transactions_testing.ts";

Deno.test("lockNow() gives the latest values, and later reads of these keys the same", async () => {
  await using s = await stage();
  await s.put({ a: "1", b: "1" });
  const tx = s.client.begin();
  assert.equal(text(await tx.get(bytes("a"))), "1");
  await s.put({ a: "2", c: "2" });
  assert.deepEqual((await tx.lockNow(...["c", "a", "none"].map(bytes))).map(text), ["2", "2", null]);
  assert.equal(text(await tx.get(bytes("a"))), "2");
  assert.deepEqual((await tx.getMany(["a", "b", "c", "none"].map(bytes))).map(text), ["2", "1", "2", null]);
  assert.deepEqual(await shown(tx.scan()), ["a=2", "b=1", "c=2"]);
  tx.put(bytes("a"), bytes("3"));
  assert.ok(await tx.commit());
  await s.settled();
  assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=3", "b=1", "c=2"]);
  assert.deepEqual(lockedKeys(s.cluster), []);
});

Deno.test("two that lock one key take turns, and no addition is lost or run twice", async () => {
  await using s = await stage();
  await s.put({ n: "0" });
  let runs = 0;
  const add = () =>
    s.client.transaction(async (tx) => {
      runs++;
      await tx.lock(bytes("n"));
      tx.put(bytes("n"), bytes(String(Number(text(await tx.get(bytes("n")))) + 1)));
    }, { pessimistic: true });
  await Promise.all(Array.from({ length: 8 }, add));
  assert.deepEqual([await s.value("n"), runs], ["8", 8]);
});

Deno.test("a ring of waiting transactions is broken: one gives way, runs again and succeeds", async () => {
  await using s = await stage();
  await s.put({ a: "0", b: "0" });
  let runs = 0;
  const both = Promise.withResolvers<void>();
  const move = (from: string, to: string) =>
    s.client.transaction(async (tx) => {
      await tx.lock(bytes(from));
      if (++runs === 2) both.resolve();
      await both.promise;
      await tx.lock(bytes(to));
      for (const key of [from, to]) {
        tx.put(bytes(key), bytes(String(Number(text(await tx.get(bytes(key)))) + 1)));
      }
    }, { pessimistic: true });
  await Promise.all([move("a", "b"), move("b", "a")]);
  assert.deepEqual([await s.value("a"), await s.value("b")], ["2", "2"]);
  assert.equal(runs, 3);
});

Deno.test("rollback, and a function that throws, let every lock go", async () => {
  await using s = await stage();
  const tx = s.client.begin();
  await tx.lockNow(bytes("a"), bytes("b"));
  assert.deepEqual(lockedKeys(s.cluster), ["a", "b"]);
  await tx.rollback();
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
  const failing = s.client.transaction(async (tx) => {
    await tx.lock(bytes("a"));
    throw new Error("boom");
  }, { pessimistic: true });
  await assert.rejects(failing, /boom/);
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
});

Deno.test("keys written without a lock are checked against the snapshot, as ever", async () => {
  await using s = await stage();
  await s.put({ a: "1", b: "1", there: "1" });
  const attempt = async (change: (tx: Transaction) => void) => {
    const tx = s.client.begin();
    await tx.startTs;
    await s.put({ b: "2" });
    await tx.lockNow(bytes("a"));
    change(tx);
    return await tx.commit();
  };
  await assert.rejects(attempt((tx) => tx.put(bytes("b"), bytes("3"))), { code: "conflict" });
  await assert.rejects(attempt((tx) => tx.insert(bytes("there"), bytes("2"))), { code: "already-exists" });
  await assert.rejects(attempt((tx) => (tx.insert(bytes("there"), bytes("2")), tx.delete(bytes("there")))), {
    code: "already-exists",
  });
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
  await attempt((tx) => (tx.insert(bytes("new"), bytes("1")), tx.delete(bytes("a"))));
  assert.deepEqual(await shown(s.client.snapshot().scan()), ["b=2", "new=1", "there=1"]);
});

Deno.test("its heartbeat keeps a held key from others until the end, and a dead holder's key is free in time", async () => {
  await using s = await stage({ runtime: fastRuntime(10) });
  const holder = s.client.begin();
  await holder.lockNow(bytes("a"));
  await waitFor("a heartbeat", 5_000, () => (s.cluster.calls.counts().txnHeartBeat ?? 0) > 0);
  assert.deepEqual(lockedKeys(s.cluster), ["a"]);
  const other = s.client.transaction((tx) => tx.put(bytes("a"), bytes("other")));
  s.cluster.intercept("txnHeartBeat", () => Fault.silence(), { times: Infinity });
  s.cluster.oracle.jump(60_000);
  await s.client.timestamp();
  await other;
  assert.equal(await s.value("a"), "other");
  holder.put(bytes("a"), bytes("late"));
  await assert.rejects(holder.commit());
  assert.equal(await s.value("a"), "other");
});

Deno.test("locks that were asked for and whose answer was lost are let go too", async () => {
  await using s = await stage();
  const abort = new AbortController();
  s.cluster.intercept("pessimisticLock", async (_, execute) => {
    await execute();
    abort.abort();
    return Fault.silence();
  });
  const tx = s.client.begin({ signal: abort.signal });
  await assert.rejects(tx.lockNow(bytes("a")), { code: "cancelled" });
  assert.deepEqual(lockedKeys(s.cluster), ["a"]);
  await tx.rollback();
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
});
