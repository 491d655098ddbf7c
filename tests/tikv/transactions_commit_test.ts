/** Commits in one phase, async and two phases on the scripted cluster: trips, splits, lost answers, refusals. */
import assert from "node:assert/strict";
import { TikvError } from "../../lib/tikv/errors.ts";
import { HEARTBEAT_EVERY_MS } from "../../lib/tikv/limits.ts";
import { Op } from "../../lib/tikv/messages_kv.ts";
import type { Transaction } from "../../lib/tikv/transaction.ts";
import { waitFor } from "../parts/wait.ts";
import { Fault } from "./scripted/calls.ts";
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

const twoPhase = { commit: { onePhase: false, async: false } };
const asyncOnly = { commit: { onePhase: false, async: true } };

function putting(s: Stage, entries: Record<string, string>, signal?: AbortSignal): Transaction {
  const tx = s.client.begin({ signal });
  for (const [key, value] of Object.entries(entries)) tx.put(bytes(key), bytes(value));
  return tx;
}

Deno.test("each way to commit takes the trips it should, and a commit of nothing takes none", async () => {
  const trips = async (options: object, change: (tx: Transaction) => void) => {
    await using s = await stage(options);
    s.cluster.topology.split(bytes("m"));
    await s.put({ a: "0", z: "0" }); // warms the caches
    await s.settled();
    const tx = s.client.begin();
    await tx.startTs;
    s.cluster.calls.clear();
    change(tx);
    await tx.commit();
    await s.settled();
    return s.cluster.calls.counts();
  };
  const one = (tx: Transaction) => tx.put(bytes("a"), bytes("1"));
  const two = (tx: Transaction) => ["a", "z"].forEach((key) => tx.put(bytes(key), bytes("1")));

  assert.deepEqual(await trips({}, () => {}), {});
  assert.deepEqual(await trips({}, one), { tso: 1, prewrite: 1 });
  assert.deepEqual(await trips({ commit: { causal: true } }, one), { prewrite: 1 });
  assert.deepEqual(
    await trips({}, two),
    { tso: 1, prewrite: 2, commit: 2 },
    "the commits follow in the background",
  );
  assert.deepEqual(await trips(twoPhase, one), { prewrite: 1, tso: 1, commit: 1 });
  assert.deepEqual(await trips(twoPhase, two), { prewrite: 2, tso: 1, commit: 2 });
});

Deno.test("prewrites say what others need to know of the transaction", async () => {
  await using s = await stage(asyncOnly);
  s.cluster.topology.split(bytes("m"));
  await s.put({ a: "0", z: "0" }); // warms the cache
  await s.settled();
  s.cluster.calls.clear();
  const tx = putting(s, { a: "1", b: "2", z: "3" });
  await tx.lock(bytes("c"));
  const startTs = await tx.startTs;
  const commitTs = await tx.commit();
  const [first, second] = s.cluster.calls.of("prewrite").map(({ request }) => request)
    .sort((a, b) => b.mutations.length - a.mutations.length);
  assert.ok(first && second && commitTs !== null && commitTs > startTs + 1n);
  assert.deepEqual(first.secondaries.map(text), ["b", "c", "z"]);
  assert.deepEqual(second.secondaries, []);
  assert.deepEqual([first.txnSize, second.txnSize], [3n, 1n]);
  assert.deepEqual(first.mutations.map(({ op }) => op), [Op.put, Op.put, Op.lock]);
  assert.ok(first.useAsyncCommit && first.minCommitTs > startTs + 1n && first.minCommitTs <= commitTs);
  assert.ok(first.lockTtl >= 3_000n && first.lockTtl < 4_000n);
});

Deno.test("large transactions commit in two phases, in batches, the primary's first and alone", async () => {
  await using s = await stage();
  const entries = Object.fromEntries(
    Array.from({ length: 300 }, (_, at) => [`k${1_000 + at}`, "v".repeat(200)]),
  );
  await s.put(entries);
  await s.settled();
  const prewrites = s.cluster.calls.of("prewrite");
  assert.ok(
    prewrites.length > 2 && prewrites.every(({ request }) => !request.useAsyncCommit && !request.tryOnePc),
  );
  const log = s.cluster.calls.log.map(({ method }) => method);
  assert.ok(log.lastIndexOf("prewrite") < log.indexOf("commit"));
  const [primary, ...others] = s.cluster.calls.of("commit").map(({ request }) => request);
  assert.equal(text(primary?.keys[0] ?? null), "k1000");
  assert.deepEqual([primary?.commitRole, others.every(({ commitRole }) => commitRole === 2)], [1, true]);
  assert.equal((await shown(s.client.snapshot().scan())).length, 300);
});

Deno.test("what the store will not do in one phase or async is committed in two", async () => {
  for (const options of [{}, asyncOnly]) {
    await using s = await stage(options);
    s.cluster.fallsBack = true;
    await s.put({ a: "1", b: "2" });
    await s.settled();
    assert.deepEqual(s.cluster.calls.counts(), { tso: 3, prewrite: 1, commit: 1 });
    assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=1", "b=2"]);
  }
});

Deno.test("a split before, or during, prewrite and commit is followed without a wait", async () => {
  for (const options of [{}, asyncOnly, twoPhase]) {
    await using s = await stage(options);
    await s.put({ a: "0", b: "0", c: "0" });
    s.cluster.intercept("prewrite", (_, execute) => {
      s.cluster.topology.split(bytes("b"));
      return execute();
    });
    s.cluster.intercept("commit", (_, execute) => {
      s.cluster.topology.split(bytes("c"));
      return execute();
    });
    await s.put({ a: "1", b: "1", c: "1" });
    await s.settled();
    assert.deepEqual(lockedKeys(s.cluster), []);
    assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=1", "b=1", "c=1"]);
    const sizes = s.cluster.calls.of("prewrite").slice(-2).map(({ request }) => request.txnSize);
    assert.deepEqual(sizes, [(1n << 64n) - 1n, (1n << 64n) - 1n], "nobody may clear a few keys only");
  }
});

Deno.test("a commit that a reader pushed takes a newer timestamp", async () => {
  await using s = await stage(twoPhase);
  await s.put({ a: "old" });
  s.cluster.intercept("commit", async (_, execute) => {
    assert.equal(await s.value("a"), "old"); // passes the lock and pushes it
    return await execute();
  });
  const tx = putting(s, { a: "new" });
  s.cluster.calls.clear();
  const commitTs = await tx.commit();
  assert.equal(s.cluster.calls.of("commit").length, 2);
  assert.equal(s.cluster.calls.of("commit")[1]?.request.commitVersion, commitTs);
  assert.equal(await s.value("a"), "new");
});

Deno.test("of two that change one key the second fails with a conflict, and leaves nothing", async () => {
  for (const options of [{}, asyncOnly, twoPhase]) {
    await using s = await stage(options);
    const [first, second] = [putting(s, { a: "1", b: "1" }), putting(s, { b: "2", c: "2" })];
    await second.startTs;
    await first.startTs;
    await first.commit();
    await assert.rejects(second.commit(), { code: "conflict", retry: true });
    await s.settled();
    assert.deepEqual(lockedKeys(s.cluster), []);
    assert.deepEqual(await second.outcome(), { committed: false });
    assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=1", "b=1"]);
    await assert.rejects(second.commit(), { code: "invalid" });
  }
});

Deno.test("write skew is possible, until the keys that were read are locked", async () => {
  for (const locks of [false, true]) {
    await using s = await stage();
    await s.put({ x: "1", y: "1" });
    const withdraw = async (tx: Transaction, own: string, other: string) => {
      await tx.getMany([bytes(own), bytes(other)]);
      if (locks) await tx.lock(bytes(other));
      tx.put(bytes(own), bytes("0"));
    };
    const [first, second] = [s.client.begin(), s.client.begin()];
    await withdraw(first, "x", "y");
    await withdraw(second, "y", "x");
    await first.commit();
    if (locks) await assert.rejects(second.commit(), { code: "conflict" });
    else await second.commit();
  }
});

Deno.test("insert fails where the key is, also when it was deleted again in the same transaction", async () => {
  await using s = await stage();
  await s.put({ there: "1" });
  const inserting = (key: string, then: (tx: Transaction) => void = () => {}) => {
    const tx = s.client.begin();
    tx.insert(bytes(key), bytes("2"));
    then(tx);
    return tx.commit();
  };
  const remove = (key: string) => (tx: Transaction) => tx.delete(bytes(key));
  await assert.rejects(inserting("there"), { code: "already-exists", retry: false });
  await assert.rejects(inserting("there", remove("there")), { code: "already-exists" });
  const andMore = (tx: Transaction) => (tx.delete(bytes("there")), tx.put(bytes("more"), bytes("1")));
  await assert.rejects(inserting("there", andMore), { code: "already-exists" });
  assert.equal(await inserting("absent", remove("absent")), null);
  await inserting("new", (tx) => tx.put(bytes("new"), bytes("3")));
  await inserting("gone", (tx) => (tx.delete(bytes("gone")), tx.put(bytes("other"), bytes("4"))));
  await s.settled();
  assert.deepEqual(await shown(s.client.snapshot().scan()), ["new=3", "other=4", "there=1"]);
  assert.deepEqual(lockedKeys(s.cluster), []);
});

Deno.test("an answer that was lost once is asked for again, and nothing is committed twice", async () => {
  for (
    const [options, method] of [[{}, "prewrite"], [asyncOnly, "prewrite"], [twoPhase, "commit"]] as const
  ) {
    await using s = await stage(options);
    s.cluster.intercept(method, async (_, execute) => (await execute(), Fault.brokenStream()));
    const tx = putting(s, { a: "1" });
    const commitTs = await tx.commit();
    assert.ok(commitTs !== null);
    await s.settled();
    const writes = s.cluster.mvcc.rows.row(bytes("a")).writes;
    assert.deepEqual(writes.map(({ commitTs }) => commitTs), [commitTs]);
    assert.equal(s.cluster.calls.of(method)[1]?.request.context?.isRetryRequest, true);
  }
});

Deno.test("a commit whose answer stays lost is undetermined, and its outcome is what happened", async () => {
  const cases = [[{}, "prewrite"], [asyncOnly, "prewrite"], [twoPhase, "commit"]] as const;
  for (const [options, method] of cases) {
    for (const executed of [true, false]) {
      await using s = await stage({ ...options, runtime: fastRuntime(5) });
      const abort = new AbortController();
      s.cluster.intercept(method, async (_, execute) => {
        if (executed) await execute();
        abort.abort();
        return Fault.silence();
      });
      const tx = putting(s, { a: "1", b: "2" }, abort.signal);
      await assert.rejects(tx.commit(), { code: "undetermined", retry: false }, `${method}, ${executed}`);
      assert.equal(s.cluster.calls.counts().batchRollback, undefined, "nothing is taken back");
      const asked = tx.outcome();
      s.cluster.oracle.jump(10_000); // a prewrite that is under way for ever is not waited for
      await s.client.timestamp();
      const outcome = await asked;
      assert.equal(outcome.committed, executed, `${method}, ${executed}`);
      if (outcome.committed) assert.equal(outcome.commitTs, tx.commitTs);
      assert.deepEqual(await tx.outcome(), outcome);
      const expected = executed ? ["a=1", "b=2"] : [];
      assert.deepEqual(await shown(s.client.snapshot().scan()), expected, `${method}, ${executed}`);
      await s.settled();
      assert.deepEqual(lockedKeys(s.cluster), []);
      assert.deepEqual(s.corrupt, []);
    }
  }
});

Deno.test("a lost one-phase commit whose region was split meanwhile is not followed by a second phase", async () => {
  await using s = await stage();
  s.cluster.intercept("prewrite", async (_, execute) => {
    await execute();
    s.cluster.topology.split(bytes("b"));
    return Fault.brokenStream();
  });
  const tx = putting(s, { a: "1", b: "1" });
  await assert.rejects(tx.commit(), { code: "undetermined" });
  const outcome = await tx.outcome();
  for (const key of ["a", "b"]) {
    const [write] = s.cluster.mvcc.rows.row(bytes(key)).writes;
    assert.deepEqual(outcome, { committed: true, commitTs: write?.commitTs });
  }
});

Deno.test("a conflict with itself does not make a lost commit a failed one, as simple stores report it", async () => {
  await using s = await stage();
  s.cluster.intercept("prewrite", async (_, execute) => (await execute(), Fault.brokenStream()));
  s.cluster.intercept("prewrite", ({ request: { startVersion } }) => ({
    errors: [{ conflict: { startTs: startVersion, conflictTs: startVersion, key: bytes("a") } }],
  }));
  let runs = 0;
  await s.client.transaction((tx) => tx.put(bytes("a"), bytes(String(++runs))));
  assert.deepEqual([runs, await s.value("a")], [1, "1"]);
});

Deno.test("an undetermined answer of a region is settled by the client, and the function runs once", async () => {
  await using s = await stage(twoPhase);
  s.cluster.intercept("commit", async (_, execute) => {
    await execute();
    return { regionError: { message: "", undeterminedResult: {} } };
  });
  let runs = 0;
  const result = await s.client.transaction((tx) => {
    tx.put(bytes("a"), bytes(String(++runs)));
    return runs;
  });
  assert.deepEqual([result, await s.value("a")], [1, "1"]);
});

Deno.test("one key that was surely refused makes an async commit whose other answers were lost fail for sure", async () => {
  await using s = await stage(asyncOnly);
  s.cluster.topology.split(bytes("m"));
  const tx = putting(s, { a: "1", z: "1" });
  await tx.startTs;
  await s.put({ z: "2" });
  await s.settled();
  s.cluster.intercept("prewrite", () => Fault.silence(), {
    when: ({ request }) => text(request.mutations[0]?.key ?? null) === "a",
  });
  let ended = false;
  const committing = tx.commit().finally(() => ended = true);
  committing.catch(() => {});
  await waitFor("the refusal, without the lost answer", 10_000, () => ended);
  await assert.rejects(committing, { code: "conflict" });
  await s.settled();
  assert.ok((s.cluster.calls.counts().batchRollback ?? 0) > 0);
  assert.equal(await s.value("a"), null);
});

Deno.test("a caller that aborts before the commit was sent is told that nothing happened, and it is taken back", async () => {
  await using s = await stage(twoPhase);
  const abort = new AbortController();
  s.cluster.intercept("prewrite", async (_, execute) => {
    const reply = await execute();
    abort.abort();
    return reply;
  });
  const tx = putting(s, { a: "1", b: "1" }, abort.signal);
  await assert.rejects(tx.commit(), { code: "cancelled" });
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
  assert.deepEqual(await tx.outcome(), { committed: false });
});

Deno.test("a transaction that another client rolled back fails with a conflict", async () => {
  await using s = await stage(twoPhase);
  s.cluster.intercept("commit", ({ request }, execute) => {
    s.cluster.mvcc.rollBack(request.keys, request.startVersion);
    return execute();
  });
  const tx = putting(s, { a: "1" });
  await assert.rejects(tx.commit(), { code: "conflict" });
  await s.settled();
  assert.equal(await s.value("a"), null);
});

Deno.test("secondaries that were taken back after their primary committed are damage, and are reported", async () => {
  await using s = await stage(twoPhase);
  s.cluster.topology.split(bytes("m"));
  s.cluster.intercept("commit", ({ request }, execute) => {
    s.cluster.mvcc.rollBack(request.keys, request.startVersion);
    return execute();
  }, { after: 1 });
  await s.put({ a: "1", z: "1" });
  await s.settled();
  assert.equal(s.corrupt.length, 1);
  assert.equal(s.warnings.length, 1);
});

Deno.test("a store that refuses to end a transaction without a reason is asked again, and reports no damage", async () => {
  await using s = await stage(twoPhase);
  s.cluster.topology.split(bytes("m"));
  const refusal = { error: { abort: "proposal dropped" } };
  s.cluster.intercept("commit", () => refusal, { times: 2 });
  s.cluster.intercept("commit", () => refusal, { after: 1 });
  await s.put({ a: "1", z: "1" });
  await s.settled();
  assert.deepEqual([lockedKeys(s.cluster), s.corrupt, s.warnings], [[], [], []]);

  s.cluster.intercept("batchRollback", () => refusal);
  const tx = putting(s, { a: "2", z: "2" });
  await tx.startTs;
  await s.put({ z: "3" });
  await assert.rejects(tx.commit(), { code: "conflict" });
  await s.settled();
  assert.deepEqual([lockedKeys(s.cluster), s.warnings], [[], []]);

  s.cluster.intercept("commit", () => refusal, { times: Infinity });
  await assert.rejects(putting(s, { a: "4" }).commit(), { code: "aborted", retry: true });
  await s.settled();
  assert.deepEqual([await s.value("a"), lockedKeys(s.cluster)], ["1", []]);
});

Deno.test("a writer waits for a living lock and goes on when it is let go; a younger one it yields to at once", async () => {
  await using s = await stage();
  const older = leaveLocks(s.cluster, { puts: { a: "theirs" }, ttlMs: 20_000 });
  const tx = putting(s, { a: "ours" });
  const committing = tx.commit();
  await waitFor("a try", 5_000, () => s.cluster.calls.counts().checkTxnStatus === 1);
  s.cluster.mvcc.rollBack([bytes("a")], older);
  await committing;
  assert.equal(await s.value("a"), "ours");

  const late = putting(s, { a: "late" });
  await late.startTs;
  leaveLocks(s.cluster, { puts: { a: "theirs" }, ttlMs: 20_000 });
  s.cluster.calls.clear();
  await assert.rejects(late.commit(), { code: "conflict" });
  assert.equal(s.cluster.calls.counts().checkTxnStatus, undefined);
});

Deno.test("a prewrite that takes long is kept alive by heartbeats", async () => {
  const runtime = fastRuntime(10);
  await using s = await stage({ ...twoPhase, runtime });
  s.cluster.topology.split(bytes("m"));
  const held = Promise.withResolvers<void>();
  s.cluster.intercept("prewrite", async (_, execute) => {
    await held.promise;
    return await execute();
  }, { when: ({ request }) => text(request.mutations[0]?.key ?? null) === "z" });
  const committing = putting(s, { a: "1", z: "1" }).commit();
  await waitFor("a heartbeat", 5_000, () => (s.cluster.calls.counts().txnHeartBeat ?? 0) > 0);
  assert.ok((s.cluster.mvcc.rows.row(bytes("a")).lock?.ttlMs ?? 0n) >= 20_000n);
  held.resolve();
  await committing;
  const beats = s.cluster.calls.counts().txnHeartBeat;
  const endedAtMs = runtime.nowMs();
  await waitFor("an interval", 5_000, () => runtime.nowMs() > endedAtMs + 1.2 * HEARTBEAT_EVERY_MS);
  assert.equal(s.cluster.calls.counts().txnHeartBeat, beats, "they end with the commit");
});

Deno.test("a transaction that is too old commits nothing", async () => {
  const runtime = fastRuntime(1);
  await using s = await stage({ runtime });
  const tx = putting(s, { a: "1" });
  await tx.startTs;
  runtime.skip(61 * 60_000);
  s.cluster.calls.clear();
  await assert.rejects(tx.commit(), { code: "too-old", retry: true });
  assert.equal(s.cluster.calls.counts().prewrite, undefined);
});

Deno.test("transaction() runs again what may succeed then, with growing waits, and nothing else", async () => {
  await using s = await stage();
  let runs = 0;
  const result = await s.client.transaction(async (tx) => {
    const seen = await tx.get(bytes("n"));
    if (++runs < 4) await s.put({ n: String(runs) });
    tx.put(bytes("n"), bytes(`${text(seen)}+`));
    return runs;
  });
  assert.deepEqual([result, await s.value("n")], [4, "3+"]);

  runs = 0;
  const always = s.client.transaction(async (tx) => {
    runs++;
    tx.put(bytes("n"), bytes("mine"));
    await tx.startTs;
    await s.put({ n: "theirs" });
  }, { attempts: 3 });
  await assert.rejects(always, { code: "conflict" });
  assert.equal(runs, 3);

  const boom = new Error("boom");
  const failing = s.client.transaction((tx) => {
    tx.put(bytes("n"), bytes("lost"));
    return Promise.reject(boom);
  });
  await assert.rejects(failing, (error) => error === boom);
  assert.equal(await s.value("n"), "theirs");

  const slow = s.client.transaction(async (tx) => {
    await tx.get(bytes("n"));
    await new Promise((resolve) => setTimeout(resolve, 50));
    await tx.get(bytes("n"));
  }, { timeoutMs: 20 });
  await assert.rejects(slow, (error) => error instanceof TikvError && error.code === "timeout");
});

Deno.test("a client that closes waits for its secondaries, then takes nothing more", async () => {
  const s = await stage(twoPhase);
  s.cluster.topology.split(bytes("m"));
  await s.put({ a: "1", z: "1" });
  assert.ok(s.client.pending > 0);
  await s.client.close();
  assert.deepEqual(lockedKeys(s.cluster), []);
  assert.throws(() => s.client.begin(), { code: "closed" });
  await assert.rejects(s.client.latest(bytes("a")), { code: "closed" });
  await assert.rejects(s.client.transaction(() => {}), { code: "closed" });
  await s.client.close();
  await s.cluster.stop();
});
