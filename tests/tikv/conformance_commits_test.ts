/**
 * Commits on the scripted cluster, beside transactions_commit_test.ts: their order in time, what a lost answer and a
 * split together do, a clock that jumps, and what other clients may leave that ours never would.
 */
import assert from "node:assert/strict";
import { Op, PrewriteRequest } from "../../lib/tikv/messages_kv.ts";
import { Fault } from "./scripted/calls.ts";
import { prewrite } from "./scripted/prewrite.ts";
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

const MODES = [
  ["one phase", {}],
  ["async", { commit: { onePhase: false } }],
  ["two phases", { commit: { onePhase: false, async: false } }],
] as const;

function putting(s: Stage, keys: string, value: string) {
  const tx = s.client.begin();
  for (const key of keys) tx.put(bytes(key), bytes(value));
  return tx;
}

for (const [mode, options] of MODES) {
  Deno.test(`${mode}: a commit lies above all that was committed or read before it`, async () => {
    await using s = await stage(options);
    let last = 0n;
    for (let round = 0; round < 20; round++) {
      const snapshot = s.client.snapshot();
      const seen = text(await snapshot.get(bytes("a")));
      const version = await snapshot.version;
      assert.ok(version >= last, "a snapshot sees every commit that was acknowledged");
      assert.equal(seen, round === 0 ? null : String(round - 1));
      const tx = putting(s, round % 2 === 0 ? "ab" : "bac", String(round));
      const commitTs = await tx.commit() ?? 0n;
      assert.ok(commitTs > version, "a commit lies above every snapshot that was read before");
      assert.equal(text(await snapshot.get(bytes("a"))), seen, "which reads the same afterwards");
      last = commitTs;
    }
    await s.settled();
    assert.deepEqual(lockedKeys(s.cluster), []);
  });

  Deno.test(`${mode}: the clock jumps an hour between prewrite and commit, and nothing but a timestamp changes`, async () => {
    await using s = await stage(options);
    s.cluster.intercept("prewrite", async (_, execute) => {
      const reply = await execute();
      s.cluster.oracle.jump(60 * 60_000);
      return reply;
    });
    await s.put({ a: "1", b: "1" });
    assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=1", "b=1"]);
  });

  Deno.test(`${mode}: an answer is lost and the region splits before it is asked again: never twice, never half`, async () => {
    await using s = await stage({ ...options, runtime: fastRuntime(20) });
    await s.put({ a: "0", z: "0" });
    await s.settled();
    s.cluster.intercept("prewrite", async (_, execute) => {
      await execute();
      s.cluster.topology.split(bytes("m"));
      return Fault.brokenStream();
    });
    const tx = putting(s, "az", "1");
    const error: unknown = await tx.commit().then(() => null, (error) => error);
    if (error !== null) {
      assert.equal((error as { code?: string }).code, "undetermined", `${error}`);
      assert.equal(mode, "one phase", "the others prewrite the parts again");
      assert.deepEqual(await tx.outcome(), { committed: true, commitTs: tx.commitTs });
    }
    await s.settled();
    assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=1", "z=1"]);
    for (const key of "az") {
      const { writes } = s.cluster.mvcc.rows.row(bytes(key));
      assert.equal(writes.filter(({ kind }) => kind === "put").length, 2, "once of each transaction");
    }
    assert.deepEqual(lockedKeys(s.cluster), []);
  });
}

Deno.test("one phase where the region was split before: async instead, in as many batches as regions", async () => {
  await using s = await stage();
  await s.put({ a: "0", z: "0" });
  s.cluster.topology.split(bytes("m"));
  s.cluster.calls.clear();
  await s.put({ a: "1", z: "1" });
  await s.settled();
  const [first, ...others] = s.cluster.calls.of("prewrite").map(({ request }) => request);
  assert.ok(first?.tryOnePc, "by what the client knew");
  assert.ok(others.length === 2 && others.every(({ tryOnePc }) => !tryOnePc));
  assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=1", "z=1"]);
});

Deno.test("the clock falls back: `corrupt`, and this client begins and commits nothing more", async () => {
  await using s = await stage();
  const tx = putting(s, "a", "1");
  await tx.startTs;
  s.cluster.oracle.fallBack(60_000);
  await assert.rejects(tx.commit(), { code: "corrupt", retry: false });
  await assert.rejects(s.client.timestamp(), { code: "corrupt" });
  await assert.rejects(s.put({ a: "2" }), { code: "corrupt" });
  assert.equal(text(await s.client.latest(bytes("a"))), null, "reads that need no timestamp go on");
});

Deno.test("one part of an async commit gives up, another is still waiting: the error is that of the first", async () => {
  await using s = await stage({ commit: { onePhase: false }, runtime: fastRuntime(20) });
  s.cluster.topology.split(bytes("m"));
  s.cluster.topology.transferLeader(bytes("z"), 2n); // a stream of its own
  await s.put({ a: "0", z: "0" });
  await s.settled();
  const isOf = (key: string) => ({ request }: { request: { mutations: { key: Uint8Array }[] } }) =>
    text(request.mutations[0]?.key ?? null) === key;
  s.cluster.intercept("prewrite", () => Fault.brokenStream(), { when: isOf("a") });
  s.cluster.intercept("prewrite", () => ({ regionError: { flashbackInProgress: {} } }), { when: isOf("a") });
  s.cluster.intercept("prewrite", () => ({ regionError: { maxTimestampNotSynced: {} } }), {
    when: isOf("z"),
    times: Infinity,
  });
  await assert.rejects(putting(s, "az", "1").commit(), { code: "aborted", message: /flashback/i });
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
  assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=0", "z=0"]);
});

Deno.test("an empty value that another client wrote is an absent key to every read, and in the way of an insert", async () => {
  await using s = await stage();
  await s.put({ a: "1", c: "1" });
  const { cluster } = s;
  const startVersion = cluster.oracle.next();
  const key = bytes("b");
  const lock = { primaryLock: key, startVersion, lockTtl: 3_000n, txnSize: 1n };
  const mutations = [{ op: Op.put, key, value: bytes("") }];
  cluster.calls.clear();
  const { errors = [] } = prewrite(
    cluster.mvcc,
    PrewriteRequest.decode(PrewriteRequest.encode({ mutations, ...lock })),
  );
  assert.deepEqual(errors, []);
  cluster.mvcc.commit([key], startVersion, cluster.oracle.next());

  const snapshot = s.client.snapshot();
  assert.equal(await snapshot.get(key), null);
  assert.equal(await s.client.latest(key), null);
  assert.deepEqual((await snapshot.getMany(["a", "b", "c"].map(bytes))).map(text), ["1", null, "1"]);
  for (const pagePairs of [1, 2, 3]) {
    assert.deepEqual(await shown(snapshot.scan({}, { pagePairs })), ["a=1", "c=1"]);
    assert.deepEqual(await shown(snapshot.scan({}, { pagePairs, reverse: true })), ["c=1", "a=1"]);
  }
  assert.deepEqual(await shown(snapshot.scan({}, { limit: 2 })), ["a=1", "c=1"], "it takes nobody's place");
  const inserting = s.client.transaction((tx) => tx.insert(key, bytes("2")));
  await assert.rejects(inserting, { code: "already-exists" });
  await s.put({ b: "2" });
  assert.equal(await s.value("b"), "2");
});

Deno.test("a lock that never ends keeps a writer for its budget, then: `timeout`", async () => {
  await using s = await stage({ runtime: fastRuntime(50) });
  leaveLocks(s.cluster, { puts: { a: "theirs" }, ttlMs: 3_600_000, minCommitTs: 0n });
  await assert.rejects(putting(s, "a", "ours").commit(), {
    code: "timeout",
    retry: true,
    message: /transaction \d+/,
  });
  await assert.rejects(s.value("a"), { code: "timeout", message: /transaction \d+/ });
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), ["a"]);
});
