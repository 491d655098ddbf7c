import assert from "node:assert/strict";
import {
  Action,
  CheckSecondaryLocksRequest,
  CheckTxnStatusRequest,
  ConflictReason,
  Op,
  PessimisticAction,
  PessimisticLockRequest,
  PrewriteRequest,
  TxnHeartBeatRequest,
} from "../../../lib/tikv/messages_kv.ts";
import type { Encodable, Message } from "../../../lib/tikv/protobuf.ts";
import { KeyFault } from "./key_fault.ts";
import { Mvcc, TS_MAX } from "./mvcc.ts";
import { PessimisticLocks } from "./pessimistic.ts";
import { prewrite } from "./prewrite.ts";

const k = (text: string) => new TextEncoder().encode(text);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A request as it comes off the wire: with every field. */
function full<T, I>(message: Message<T, I>, init: I): T {
  return message.decode(message.encode(init));
}

interface Write {
  op?: number;
  key: string;
  value?: string;
}

/** The model with short words for what the tests do with it. */
function model() {
  const mvcc = new Mvcc();
  const pre = (
    startTs: bigint,
    writes: Write[],
    more: Encodable<typeof PrewriteRequest> = {},
    fallBack = false,
  ) =>
    prewrite(
      mvcc,
      full(PrewriteRequest, {
        mutations: writes.map(({ op = Op.put, key, value = `${key}@${startTs}` }) => ({
          op,
          key: k(key),
          value: k(value),
        })),
        primaryLock: k(writes[0]?.key ?? ""),
        startVersion: startTs,
        lockTtl: 3_000n,
        minCommitTs: startTs + 1n,
        ...more,
      }),
      { fallBack },
    );
  return {
    mvcc,
    pre,
    put(key: string, startTs: bigint, commitTs: bigint, op: number = Op.put) {
      assert.deepEqual(pre(startTs, [{ op, key }]).errors ?? [], []);
      mvcc.commit([k(key)], startTs, commitTs);
    },
    get(key: string, version: bigint, more: { resolved?: bigint[]; committed?: bigint[] } = {}) {
      const found = mvcc.get(k(key), { version, ...more });
      return found === null ? null : text(found.value);
    },
    status: (key: string, lockTs: bigint, more: Encodable<typeof CheckTxnStatusRequest> = {}) =>
      mvcc.checkTxnStatus(full(CheckTxnStatusRequest, {
        primaryKey: k(key),
        lockTs,
        verifyIsPrimary: true,
        ...more,
      })),
    secondaries: (keys: string[], startVersion: bigint) =>
      mvcc.checkSecondaryLocks(full(CheckSecondaryLocksRequest, { keys: keys.map(k), startVersion })),
    lockOf: (key: string) => mvcc.rows.row(k(key)).lock,
  };
}

function fault(run: () => unknown): KeyFault["keyError"] {
  try {
    run();
  } catch (error) {
    if (error instanceof KeyFault) return error.keyError;
    throw error;
  }
  assert.fail("no fault");
}

/** A timestamp `ms` milliseconds after the beginning. */
const at = (ms: number) => BigInt(ms) << 18n;

Deno.test("a read sees the newest version at its timestamp; a delete hides, a Lock does not", () => {
  const { put, get } = model();
  put("a", 1n, 2n);
  put("a", 3n, 4n, Op.delete);
  put("a", 5n, 6n);
  put("a", 7n, 8n, Op.lock);
  assert.deepEqual([1n, 2n, 3n, 4n, 5n, 6n, 8n, TS_MAX].map((ts) => get("a", ts)), [
    null,
    "a@1",
    "a@1",
    null,
    null,
    "a@5",
    "a@5",
    "a@5",
  ]);
});

Deno.test("a lock hides its key only from readers who could see its commit", () => {
  const { pre, get, lockOf } = model();
  pre(10n, [{ key: "a" }, { key: "b", op: Op.lock }, { key: "c" }], { minCommitTs: 15n });
  assert.equal(get("c", 9n), null, "began later");
  assert.equal(get("c", 14n), null, "commits later");
  assert.equal(get("b", 20n), null, "a Lock changes nothing");
  const { locked } = fault(() => get("c", 15n));
  assert.deepEqual([locked?.lockVersion, locked?.lockTtl, text(locked?.primaryLock ?? k(""))], [
    10n,
    3_000n,
    "a",
  ]);
  assert.equal(get("c", 20n, { resolved: [10n] }), null);
  assert.equal(get("c", 20n, { committed: [10n] }), "c@10");
  assert.equal(get("a", TS_MAX), null, "the latest value of the primary is the one before");
  assert.ok(fault(() => get("c", TS_MAX)).locked);
  assert.equal(lockOf("c")?.startTs, 10n);
});

Deno.test("a scan counts locked pairs, goes both ways, and reports locks per pair", () => {
  const { put, pre, mvcc } = model();
  for (const key of ["a", "b", "d"]) put(key, 1n, 2n);
  pre(5n, [{ key: "c" }]);
  const scan = (limit: number, reverse: boolean) =>
    mvcc.scan(k("a"), k("d"), { version: 9n, limit, reverse }).map((pair) =>
      "fault" in pair ? "locked" : text(pair.key)
    );
  assert.deepEqual(scan(10, false), ["a", "b", "locked"]);
  assert.deepEqual(scan(2, true), ["locked", "b"]);
});

Deno.test("a prewrite is refused by a newer commit, by a newer rollback and by its own", () => {
  const { put, pre, mvcc } = model();
  put("a", 5n, 10n);
  const conflict = pre(9n, [{ key: "a" }]).errors?.[0]?.conflict;
  assert.deepEqual(
    [conflict?.startTs, conflict?.conflictTs, conflict?.conflictCommitTs, conflict?.reason],
    [9n, 5n, 10n, ConflictReason.optimistic],
  );
  mvcc.rollBack([k("b")], 20n);
  assert.equal(pre(20n, [{ key: "b" }]).errors?.[0]?.conflict?.reason, ConflictReason.selfRolledBack);
  assert.equal(pre(19n, [{ key: "b" }]).errors?.[0]?.conflict?.reason, ConflictReason.optimistic);
});

Deno.test("a prewrite that meets locks names them all and writes nothing", () => {
  const { pre, lockOf } = model();
  pre(1n, [{ key: "a" }]);
  pre(2n, [{ key: "b" }]);
  const { errors } = pre(3n, [{ key: "c" }, { key: "a" }, { key: "b" }]);
  assert.deepEqual(errors?.map(({ locked }) => locked?.lockVersion), [1n, 2n]);
  assert.equal(lockOf("c"), null);
});

Deno.test("prewrite and commit repeated give the same answer and change nothing", () => {
  const { pre, mvcc, get } = model();
  pre(1n, [{ key: "a" }]);
  assert.deepEqual(pre(1n, [{ key: "a" }]).errors ?? [], []);
  mvcc.commit([k("a")], 1n, 5n);
  mvcc.commit([k("a")], 1n, 5n);
  assert.deepEqual(pre(1n, [{ key: "a" }], { useAsyncCommit: true }), { minCommitTs: 5n, onePcCommitTs: 0n });
  assert.equal(get("a", 9n), "a@1");
});

Deno.test("Insert and CheckNotExists want the key absent; CheckNotExists leaves no lock", () => {
  const { put, pre, lockOf } = model();
  put("a", 1n, 2n);
  for (const op of [Op.insert, Op.checkNotExists]) {
    assert.deepEqual(pre(5n, [{ key: "x" }, { op, key: "a" }]).errors?.[0]?.alreadyExist, { key: k("a") });
  }
  put("a", 6n, 7n, Op.delete);
  assert.deepEqual(pre(8n, [{ key: "x" }, { op: Op.checkNotExists, key: "a" }]).errors ?? [], []);
  assert.equal(lockOf("a"), null);
  assert.deepEqual(pre(9n, [{ op: Op.insert, key: "a" }]).errors ?? [], []);
});

Deno.test("a commit below the lock's least timestamp is expired; without its lock it is lost, whole", () => {
  const { pre, mvcc, get } = model();
  pre(1n, [{ key: "a" }, { key: "b" }], { minCommitTs: 9n });
  assert.equal(fault(() => mvcc.commit([k("a")], 1n, 8n)).commitTsExpired?.minCommitTs, 9n);
  const { txnLockNotFound, retryable } = fault(() => mvcc.commit([k("a"), k("missing")], 1n, 9n));
  assert.deepEqual([txnLockNotFound?.key, retryable !== ""], [k("missing"), true]);
  assert.ok(fault(() => get("a", 20n)).locked, "nothing of it was done");
  mvcc.rollBack([k("a"), k("b")], 1n);
  assert.deepEqual(fault(() => mvcc.commit([k("a")], 1n, 9n)).txnLockNotFound?.key, k("a"));
});

Deno.test("a rollback of what is committed is refused; of what never was it leaves a tombstone", () => {
  const { put, pre, mvcc } = model();
  put("a", 1n, 2n);
  assert.match(fault(() => mvcc.rollBack([k("a")], 1n)).abort ?? "", /Committed/);
  mvcc.rollBack([k("b")], 5n);
  assert.equal(pre(5n, [{ key: "b" }]).errors?.[0]?.conflict?.reason, ConflictReason.selfRolledBack);
});

Deno.test("a rollback at the timestamp of another's commit is kept with that commit", () => {
  const { put, pre, mvcc, get, status } = model();
  put("a", 5n, 10n);
  assert.equal(status("a", 10n, { rollbackIfNotExist: true }).action, Action.lockNotExistRollback);
  assert.equal(get("a", 20n), "a@5");
  assert.equal(pre(10n, [{ key: "a" }]).errors?.[0]?.conflict?.reason, ConflictReason.selfRolledBack);
  // The same, where the commit comes after the rollback.
  pre(15n, [{ key: "b" }], { minCommitTs: 0n });
  status("b", 20n, { rollbackIfNotExist: true });
  mvcc.rows.row(k("b")).writes = [];
  mvcc.commit([k("b")], 15n, 20n);
  assert.equal(pre(20n, [{ key: "b" }]).errors?.[0]?.conflict?.reason, ConflictReason.selfRolledBack);
});

Deno.test("async commit: above everything read, secondaries at the primary only, nothing without asking", () => {
  const { pre, get, lockOf } = model();
  get("z", 50n);
  get("z", TS_MAX);
  const reply = pre(10n, [{ key: "a" }, { key: "b" }], {
    useAsyncCommit: true,
    secondaries: [k("b"), k("c")],
  });
  assert.deepEqual(reply, { minCommitTs: 51n, onePcCommitTs: 0n });
  assert.deepEqual(lockOf("a")?.secondaries.map(text), ["b", "c"]);
  assert.deepEqual([lockOf("b")?.secondaries, lockOf("b")?.useAsyncCommit], [[], true]);
  assert.deepEqual(pre(20n, [{ key: "d" }]), { minCommitTs: 0n, onePcCommitTs: 0n });
});

Deno.test("one-phase commit commits at once and leaves no lock", () => {
  const { pre, get, lockOf } = model();
  assert.deepEqual(pre(10n, [{ key: "a" }, { key: "b" }], { tryOnePc: true }), {
    minCommitTs: 0n,
    onePcCommitTs: 11n,
  });
  assert.deepEqual([get("a", 11n), get("b", 11n), lockOf("a")], ["a@10", "b@10", null]);
  assert.deepEqual(pre(10n, [{ key: "a" }], { tryOnePc: true }).onePcCommitTs, 11n, "repeated");
});

Deno.test("async and one-phase commit fall back: when told to, and over max_commit_ts", () => {
  const { pre, lockOf } = model();
  const secondaries = [k("b")];
  assert.equal(
    pre(1n, [{ key: "a" }, { key: "b" }], { useAsyncCommit: true, secondaries }, true).minCommitTs,
    0n,
  );
  assert.deepEqual([lockOf("a")?.useAsyncCommit, lockOf("a")?.secondaries], [false, []]);
  assert.equal(pre(2n, [{ key: "c" }], { tryOnePc: true, maxCommitTs: 2n }).onePcCommitTs, 0n);
  assert.equal(lockOf("c")?.useAsyncCommit, false);
});

Deno.test("check of a transaction: committed, rolled back, unknown", () => {
  const { put, mvcc, status, pre } = model();
  put("a", 1n, 2n);
  assert.deepEqual(status("a", 1n), { commitVersion: 2n });
  mvcc.rollBack([k("b")], 5n);
  assert.deepEqual(status("b", 5n), { action: Action.none });
  assert.deepEqual(fault(() => status("c", 7n)).txnNotFound, { startTs: 7n, primaryKey: k("c") });
  assert.equal(status("c", 7n, { rollbackIfNotExist: true, resolvingPessimisticLock: true }).action, 5);
  assert.deepEqual(pre(7n, [{ key: "c" }]).errors ?? [], [], "which did nothing");
  assert.equal(status("d", 7n, { rollbackIfNotExist: true }).action, Action.lockNotExistRollback);
  assert.equal(pre(7n, [{ key: "d" }]).errors?.[0]?.conflict?.reason, ConflictReason.selfRolledBack);
});

Deno.test("check of a transaction: a living lock is pushed above the reader, an expired one rolled back", () => {
  const { pre, status, lockOf } = model();
  const startTs = at(1_000);
  pre(startTs, [{ key: "a" }]);
  const alive = status("a", startTs, { callerStartTs: startTs + 50n, currentTs: at(4_000) });
  assert.deepEqual([alive.action, alive.lockTtl, alive.lockInfo?.minCommitTs], [3, 3_000n, at(4_000)]);
  assert.equal(status("a", startTs, { callerStartTs: TS_MAX }).action, Action.minCommitTsPushed);
  assert.equal(status("a", startTs, { callerStartTs: 0n, currentTs: at(2_000) }).action, Action.none);
  assert.equal(status("a", startTs, { currentTs: at(4_001) }).action, Action.ttlExpireRollback);
  assert.equal(lockOf("a"), null);
});

Deno.test("check of a transaction: a lock without a least timestamp is not pushed", () => {
  const { pre, status } = model();
  pre(1n, [{ key: "a" }], { minCommitTs: 0n });
  assert.equal(status("a", 1n, { callerStartTs: 50n }).action, Action.none);
});

Deno.test("check of a transaction: async commit is left alone until it is forced", () => {
  const { pre, status } = model();
  const startTs = at(1_000);
  pre(startTs, [{ key: "a" }], { useAsyncCommit: true, secondaries: [k("b")] });
  const late = { currentTs: at(60_000), callerStartTs: at(60_000) };
  const left = status("a", startTs, late);
  assert.deepEqual([left.action ?? 0, left.lockTtl, left.lockInfo?.useAsyncCommit], [0, 3_000n, true]);
  assert.equal(status("a", startTs, { ...late, forceSyncCommit: true }).action, Action.ttlExpireRollback);
});

Deno.test("check of a transaction: a lock that is not the primary is told so", () => {
  const { pre, status } = model();
  pre(1n, [{ key: "a" }, { key: "b" }]);
  assert.deepEqual(text(fault(() => status("b", 1n)).primaryMismatch?.lockInfo?.primaryLock ?? k("")), "a");
});

Deno.test("check of secondaries: locks as they are; a missing one decides against the transaction, for good", () => {
  const { pre, secondaries, mvcc } = model();
  pre(10n, [{ key: "a" }, { key: "b" }], { useAsyncCommit: true, secondaries: [k("b"), k("c")] });
  assert.deepEqual(secondaries(["b"], 10n).locks?.map(({ minCommitTs }) => minCommitTs), [11n]);
  assert.deepEqual(secondaries(["b", "c"], 10n), { commitTs: 0n });
  assert.equal(pre(10n, [{ key: "c" }]).errors?.[0]?.conflict?.reason, ConflictReason.selfRolledBack);
  mvcc.commit([k("b")], 10n, 12n);
  assert.deepEqual(secondaries(["b"], 10n), { commitTs: 12n });
});

Deno.test("a heartbeat makes the TTL longer, never shorter, and finds no lock that is gone", () => {
  const { pre, mvcc } = model();
  const beat = (startVersion: bigint, adviseLockTtl: bigint) =>
    mvcc.heartBeat(full(TxnHeartBeatRequest, { primaryLock: k("a"), startVersion, adviseLockTtl }));
  pre(1n, [{ key: "a" }]);
  assert.deepEqual([beat(1n, 20_000n), beat(1n, 5n)], [20_000n, 20_000n]);
  assert.equal(fault(() => beat(2n, 1n)).txnNotFound?.startTs, 2n);
});

Deno.test("resolve commits or rolls back what a transaction holds", () => {
  const { pre, mvcc, get } = model();
  pre(1n, [{ key: "a" }, { key: "b" }, { key: "c" }]);
  mvcc.resolve([k("a")], 1n, 5n);
  assert.equal(get("a", 9n), "a@1");
  assert.deepEqual(mvcc.lockedBy(1n, k("b"), k("c")).map(text), ["b"]);
  assert.equal(mvcc.scanLocks(k(""), k(""), 9n, 0).length, 2);
  assert.equal(mvcc.scanLocks(k(""), k(""), 9n, 1).length, 1);
  assert.equal(mvcc.scanLocks(k(""), k(""), 0n, 0).length, 0);
  mvcc.resolve(mvcc.lockedBy(1n, k(""), k("")), 1n, 0n);
  assert.equal(get("b", 9n), null);
});

Deno.test("collect() takes versions that no snapshot from the safe point on sees", () => {
  const { put, get, mvcc } = model();
  put("a", 1n, 2n);
  put("a", 3n, 4n);
  put("b", 1n, 2n);
  put("b", 3n, 4n, Op.delete);
  mvcc.collect(6n);
  assert.deepEqual([get("a", 2n), get("a", 6n), get("b", 6n)], [null, "a@3", null]);
  assert.equal(mvcc.rows.row(k("b")).writes.length, 0);
});

// Pessimistic locks.

function pessimistic() {
  const base = model();
  const locks = new PessimisticLocks(base.mvcc);
  const lock = (startTs: bigint, key: string, more: Encodable<typeof PessimisticLockRequest> = {}) =>
    locks.acquire(full(PessimisticLockRequest, {
      mutations: [{ op: Op.pessimisticLock, key: k(key) }],
      primaryLock: k(key),
      startVersion: startTs,
      forUpdateTs: startTs,
      lockTtl: 3_000n,
      waitTimeout: -1n,
      ...more,
    }));
  return { ...base, lock };
}

Deno.test("a pessimistic lock gives the value, hides nothing from readers, and is prewritten later", async () => {
  const { put, lock, get, pre, mvcc } = pessimistic();
  put("a", 1n, 2n);
  assert.deepEqual(await lock(5n, "a", { returnValues: true }), { values: [k("a@1")], notFounds: [false] });
  assert.deepEqual(await lock(5n, "b", { returnValues: true }), { values: [k("")], notFounds: [true] });
  assert.equal(get("a", 9n), "a@1");
  const more = { forUpdateTs: 5n, pessimisticActions: [PessimisticAction.doPessimisticCheck] };
  assert.equal(pre(5n, [{ key: "a" }]).errors?.[0]?.abort, "LockTypeNotMatch");
  assert.deepEqual(pre(5n, [{ key: "a" }], more).errors ?? [], []);
  mvcc.commit([k("a")], 5n, 11n);
  assert.equal(get("a", 11n), "a@5");
});

Deno.test("a pessimistic lock conflicts with a commit after for_update_ts; a lost one is found at prewrite", async () => {
  const { put, lock, pre, mvcc } = pessimistic();
  put("a", 10n, 20n);
  const { errors } = await lock(5n, "a", { forUpdateTs: 15n });
  assert.equal(errors?.[0]?.conflict?.reason, ConflictReason.pessimisticRetry);
  assert.deepEqual((await lock(5n, "a", { forUpdateTs: 20n })).errors ?? [], []);
  mvcc.rollBackPessimistic([k("a")], 5n, 20n);
  put("a", 30n, 31n);
  const more = { forUpdateTs: 20n, pessimisticActions: [PessimisticAction.doPessimisticCheck] };
  assert.match(pre(5n, [{ key: "a" }], more).errors?.[0]?.abort ?? "", /PessimisticLockNotFound/);
});

Deno.test("who waits for a lock is woken by its end, or gives up after its time", async () => {
  const { lock, mvcc } = pessimistic();
  await lock(1n, "a");
  assert.equal((await lock(2n, "a")).errors?.[0]?.locked?.lockVersion, 1n, "does not wait");
  assert.equal((await lock(2n, "a", { waitTimeout: 20n })).errors?.[0]?.locked?.lockVersion, 1n);
  const waiting = lock(2n, "a", { waitTimeout: 5_000n });
  mvcc.rollBackPessimistic([k("a")], 1n, 1n);
  assert.equal((await waiting).errors?.[0]?.conflict?.conflictTs, 1n);
});

Deno.test("a ring of waiters is a deadlock for the one who closes it", async () => {
  const { lock, mvcc } = pessimistic();
  for (const [startTs, key] of [[1n, "a"], [2n, "b"], [3n, "c"]] as const) await lock(startTs, key);
  const wait = { waitTimeout: 5_000n };
  const waiters = [lock(1n, "b", wait), lock(2n, "c", wait)];
  assert.equal((await lock(3n, "a", wait)).errors?.[0]?.deadlock?.lockTs, 1n);
  mvcc.rollBackPessimistic([k("c")], 3n, 3n);
  mvcc.rollBackPessimistic([k("b")], 2n, 2n);
  for (const each of await Promise.all(waiters)) assert.ok(each.errors?.[0]?.conflict);
});

Deno.test("an expired pessimistic primary goes without a trace for a pessimistic lock, for good for a prewritten one", async () => {
  const { lock, status, pre } = pessimistic();
  const startTs = at(1_000);
  const late = { currentTs: at(60_000) };
  await lock(startTs, "a");
  assert.equal(status("a", startTs, { ...late, resolvingPessimisticLock: true }).action, 4);
  await lock(startTs, "a");
  assert.equal(status("a", startTs, late).action, Action.ttlExpireRollback);
  const more = { forUpdateTs: startTs, pessimisticActions: [PessimisticAction.doPessimisticCheck] };
  assert.ok(pre(startTs, [{ key: "a" }], more).errors?.[0]?.abort);
});
