/** Snapshots and a transaction's own reads on the scripted cluster: pages, splits, read-your-writes, refusals. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { connect } from "../../lib/tikv/client.ts";
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from "../../lib/tikv/limits.ts";
import { timestampAt } from "../../lib/tikv/transaction_time.ts";
import { waitFor } from "../parts/wait.ts";
import { ScriptedCluster } from "./scripted/cluster.ts";
import { bytes, leaveLocks, lockedKeys, shown, stage, text } from "./transactions_testing.ts";

const numbered = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${1_000 + at}`, `${at}`]));

Deno.test("each way to read takes the trips it should", async () => {
  await using s = await stage();
  await s.put(numbered(300));
  s.cluster.topology.split(bytes("k1100"));
  await shown(s.client.snapshot().scan()); // warms the caches
  const trips = async (read: () => Promise<unknown>) => {
    s.cluster.calls.clear();
    await read();
    return s.cluster.calls.counts();
  };
  const { client } = s;
  const all = ["k1000", "k1001", "k1299", "none"].map(bytes);
  assert.deepEqual(await trips(() => client.latest(bytes("k1000"))), { get: 1 });
  assert.deepEqual(await trips(() => client.snapshot().get(bytes("k1000"))), { tso: 1, get: 1 });
  assert.deepEqual(await trips(() => client.snapshot().getMany(all)), { tso: 1, batchGet: 2 });
  assert.deepEqual(await trips(() => client.snapshot().getMany([])), { tso: 1 });
  assert.deepEqual(await trips(() => shown(client.snapshot().scan())), { tso: 1, scan: 2 });
  assert.deepEqual(await trips(() => shown(client.snapshot().scan({}, { reverse: true }))), {
    tso: 1,
    scan: 2,
  });
  assert.deepEqual(await trips(() => shown(client.snapshot().scan({}, { limit: 7 }))), { tso: 1, scan: 1 });
  const pages = { from: bytes("k1100"), to: bytes("k1300") };
  assert.deepEqual(await trips(() => shown(client.snapshot().scan(pages, { pagePairs: 60 }))), {
    tso: 1,
    scan: 4,
  });
  assert.deepEqual(await trips(() => shown(client.snapshot().scan({ from: bytes("b"), to: bytes("a") }))), {
    tso: 1,
  });
  const tx = client.begin();
  const twice = async () => (await tx.get(bytes("k1000")), await tx.get(bytes("k1001")));
  assert.deepEqual((await trips(twice)).get, 2);
});

Deno.test("a scan keeps one page ahead, and asks for nothing more once its reader has stopped", async () => {
  await using s = await stage();
  await s.put(numbered(100));
  s.cluster.calls.clear();
  const scan = s.client.snapshot().scan({}, { pagePairs: 10 });
  assert.equal(s.cluster.calls.counts().scan, undefined, "nothing before the first is wanted");
  await scan.next();
  await waitFor("the page ahead", 5_000, () => s.cluster.calls.counts().scan === 2);
  for (let at = 0; at < 9; at++) await scan.next();
  assert.equal(s.cluster.calls.counts().scan, 2);
  await scan.return();
  await s.client.latest(bytes("k1000"));
  assert.equal(s.cluster.calls.counts().scan, 2);
});

Deno.test("regions may split and merge between pages, and leaders move: a scan sees each key once", async () => {
  for (const reverse of [false, true]) {
    await using s = await stage();
    await s.put(numbered(100));
    await s.settled();
    let page = 0;
    s.cluster.intercept("scan", (_, execute) => {
      page++;
      const at = bytes(`k${1_000 + (page * 37) % 100}`);
      if (page % 3 === 0) s.cluster.topology.merge(bytes("k1000"));
      else s.cluster.topology.split(at);
      s.cluster.topology.transferLeader(at, BigInt(page % 3 + 1));
      return execute();
    }, { times: 12 });
    const seen = await shown(s.client.snapshot().scan({}, { reverse, pagePairs: 7 }));
    const expected = Object.entries(numbered(100)).map(([key, value]) => `${key}=${value}`);
    assert.deepEqual(seen, reverse ? expected.reverse() : expected);
    assert.ok(page >= 12);
  }
});

Deno.test("a batch get over a region that splits gives every key once, in the order asked for", async () => {
  await using s = await stage();
  await s.put(numbered(10));
  s.cluster.intercept("batchGet", (_, execute) => {
    s.cluster.topology.split(bytes("k1003"), bytes("k1007"));
    return execute();
  });
  const keys = ["k1009", "k1000", "none", "k1005", "k1000"];
  assert.deepEqual((await s.client.snapshot().getMany(keys.map(bytes))).map(text), [
    "9",
    "0",
    null,
    "5",
    "0",
  ]);
});

Deno.test("a snapshot reads the same before and after others commit; one of the past reads the past", async () => {
  await using s = await stage();
  await s.put({ a: "1", b: "1" });
  const snapshot = s.client.snapshot();
  const version = await snapshot.version;
  await s.put({ a: "2", c: "2" });
  await s.client.transaction((tx) => tx.delete(bytes("b")));
  for (const old of [snapshot, s.client.snapshot({ at: version })]) {
    assert.deepEqual(await shown(old.scan()), ["a=1", "b=1"]);
    assert.equal(text(await old.get(bytes("b"))), "1");
  }
  assert.deepEqual(await shown(s.client.snapshot().scan()), ["a=2", "c=2"]);
});

Deno.test("what lies in the future cannot be read", async () => {
  await using s = await stage();
  for (const at of [timestampAt(Date.now() + 3_600_000), (1n << 64n) - 1n, 0n, -1n]) {
    await assert.rejects(s.client.snapshot({ at }).get(bytes("a")), { code: "invalid" });
  }
  assert.equal(s.cluster.calls.counts().get, undefined);
});

Deno.test("a transaction reads its own changes, whatever way it reads, like a map that they were made to", async () => {
  await using s = await stage();
  const key = fc.constantFrom(..."bcdefgh");
  const value = fc.constantFrom("x", "y");
  const change = fc.tuple(fc.constantFrom("put", "delete", "lock"), key, value);
  await fc.assert(
    fc.asyncProperty(
      fc.dictionary(key, fc.constantFrom("1", "2")),
      fc.array(change, { maxLength: 10 }),
      fc.record({ from: fc.constantFrom("", "c", "e"), to: fc.constantFrom("", "e", "g") }),
      fc.record({
        reverse: fc.boolean(),
        limit: fc.integer({ min: 1, max: 9 }),
        pagePairs: fc.integer({ min: 1, max: 4 }),
      }),
      async (stored, changes, { from, to }, options) => {
        await s.client.transaction(async (tx) => {
          for await (const { key } of tx.scan()) tx.delete(key);
          for (const [key, value] of Object.entries(stored)) tx.put(bytes(key), bytes(value));
        });
        const tx = s.client.begin();
        const model = new Map<string, string>(Object.entries(stored));
        for (const [op, key, value] of changes) {
          if (op === "put") tx.put(bytes(key), bytes(value)), model.set(key, value);
          else if (op === "delete") tx.delete(bytes(key)), model.delete(key);
          else await tx.lock(bytes(key));
        }
        const keys = [..."hgfedcb"];
        assert.deepEqual(
          (await tx.getMany(keys.map(bytes))).map(text),
          keys.map((key) => model.get(key) ?? null),
        );
        assert.equal(text(await tx.get(bytes("d"))), model.get("d") ?? null);
        const inside = [...model].filter(([key]) => key >= from && (to === "" || key < to))
          .sort(([a], [b]) => (a < b ? -1 : 1) * (options.reverse ? -1 : 1)).slice(0, options.limit);
        const scan = tx.scan({ from: bytes(from), to: bytes(to) }, options);
        assert.deepEqual(await shown(scan), inside.map(([key, value]) => `${key}=${value}`));
        await tx.commit();
        const all = [...model].sort(([a], [b]) => a < b ? -1 : 1).map(([key, value]) => `${key}=${value}`);
        assert.deepEqual(await shown(s.client.snapshot().scan()), all);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("a scan does not see what is changed while it runs", async () => {
  await using s = await stage();
  await s.put({ a: "1", c: "1" });
  const tx = s.client.begin();
  tx.put(bytes("b"), bytes("own"));
  const seen: (string | null)[] = [];
  for await (const { key } of tx.scan()) {
    seen.push(text(key));
    tx.put(bytes(`${text(key)}+`), bytes("later"));
    tx.delete(bytes("c"));
  }
  assert.deepEqual(seen, ["a", "b", "c"]);
  assert.deepEqual(await shown(tx.scan({}, { keysOnly: true })), ["a=", "a+=", "b=", "b+=", "c+="]);
});

Deno.test("bad input is refused before anything is sent", async () => {
  await using s = await stage();
  const tx = s.client.begin();
  await tx.startTs;
  s.cluster.calls.clear();
  const long = new Uint8Array(KEY_BYTES_MAX + 1);
  assert.throws(() => tx.put(bytes(""), bytes("v")), { code: "invalid" });
  assert.throws(() => tx.put(bytes("k"), bytes("")), { code: "invalid" });
  assert.throws(() => tx.insert(bytes("k"), bytes("")), { code: "invalid" });
  assert.throws(() => tx.put(long, bytes("v")), { code: "too-large" });
  assert.throws(() => tx.delete(long), { code: "too-large" });
  assert.throws(() => tx.put(bytes("k"), new Uint8Array(VALUE_BYTES_MAX + 1)), { code: "too-large" });
  await assert.rejects(tx.get(bytes("")), { code: "invalid" });
  await assert.rejects(tx.getMany([bytes("k"), long]), { code: "too-large" });
  await assert.rejects(shown(tx.scan({}, { limit: 0 })), { code: "invalid" });
  await assert.rejects(shown(tx.scan({}, { pagePairs: 1.5 })), { code: "invalid" });
  await assert.rejects(s.client.transaction(() => {}, { attempts: 0 }), { code: "invalid" });
  await tx.rollback();
  assert.throws(() => tx.put(bytes("k"), bytes("v")), { code: "invalid" });
  await assert.rejects(tx.get(bytes("k")), { code: "invalid" });
  assert.deepEqual(s.cluster.calls.counts(), {});
});

Deno.test("an aborted read ends at once, in the middle of a wait as of a call", async () => {
  await using s = await stage();
  const abort = new AbortController();
  s.cluster.intercept("get", () => {
    abort.abort();
    return { regionError: { message: "", serverIsBusy: {} } };
  }, { times: Infinity });
  await assert.rejects(s.client.snapshot().get(bytes("a"), { signal: abort.signal }), { code: "cancelled" });
  await assert.rejects(s.client.snapshot().get(bytes("a"), { signal: AbortSignal.abort() }), {
    code: "cancelled",
  });
});

Deno.test("keyspaces do not see each other, in reads, scans of either kind, locks and conflicts", async () => {
  await using cluster = await ScriptedCluster.start({
    apiVersion: 2,
    keyspaces: { one: 1, two: 2, last: 0xff_ffff },
  });
  await using one = await connect({ pd: cluster.addresses, keyspace: "one" });
  await using two = await connect({ pd: cluster.addresses, keyspace: "two" });
  await using last = await connect({ pd: cluster.addresses, keyspace: "last" });
  for (const [client, value] of [[one, "1"], [two, "2"], [last, "3"]] as const) {
    await client.transaction((tx) => {
      for (const key of "abc") tx.put(bytes(key), bytes(value));
    });
  }
  cluster.topology.split(Uint8Array.of(0x78, 0, 0, 1, 0x62), Uint8Array.of(0x78, 0, 0, 2));
  for (const [client, value] of [[one, "1"], [two, "2"], [last, "3"]] as const) {
    const expected = ["a", "b", "c"].map((key) => `${key}=${value}`);
    assert.deepEqual(await shown(client.snapshot().scan()), expected);
    assert.deepEqual(await shown(client.snapshot().scan({}, { reverse: true })), expected.toReversed());
    assert.deepEqual((await client.snapshot().getMany(["c", "d"].map(bytes))).map(text), [value, null]);
  }
  const startTs = leaveLocks(cluster, { puts: { "x\0\0\u0001b": "new", "x\0\0\u0001c": "new" } });
  cluster.mvcc.commit([bytes("x\0\0\u0001b")], startTs, cluster.oracle.next());
  assert.equal(text(await one.snapshot().get(bytes("c"))), "new");
  await waitFor("the lock cleared", 5_000, () => lockedKeys(cluster).length === 0);

  const inserting = one.transaction((tx) => tx.insert(bytes("a"), bytes("4")));
  await assert.rejects(inserting, { code: "already-exists" });
  await assert.rejects(connect({ pd: cluster.addresses, keyspace: "none" }), { code: "invalid" });
  const round = await one.collectGarbage({ retentionMs: 1_000 });
  assert.ok(round.advanced);
});

Deno.test("a client without a keyspace is refused by a server that has only those, with its reason", async () => {
  await using cluster = await ScriptedCluster.start({ apiVersion: 2 });
  await using client = await connect({ pd: cluster.addresses });
  await assert.rejects(client.latest(bytes("a")), { code: "unsupported", message: /keyspace/ });
});

Deno.test("connect() refuses another cluster than the one asked for", async () => {
  await using cluster = await ScriptedCluster.start();
  await assert.rejects(connect({ pd: cluster.addresses, clusterId: 1n }), { code: "wrong-cluster" });
});

Deno.test("checkHealth() tells which stores serve", async () => {
  await using s = await stage();
  await s.cluster.stopStore(3n);
  const { clusterId, stores, nowMs } = await s.client.checkHealth();
  assert.equal(clusterId, s.client.clusterId);
  assert.ok(Math.abs(nowMs - Date.now()) < 10_000);
  assert.deepEqual(stores.map(({ id, serving }) => [id, serving]), [[1n, true], [2n, true], [3n, false]]);
});
