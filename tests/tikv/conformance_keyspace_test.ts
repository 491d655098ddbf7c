/**
 * API V2: every key that leaves the client lies in its keyspace, in whatever field of whatever request, and the
 * context says which one. On the scripted cluster, which refuses every other key.
 */
import assert from "node:assert/strict";
import { connect } from "../../lib/tikv/client.ts";
import { compareKeys, decodeKey } from "../../lib/tikv/keys.ts";
import { ApiVersion } from "../../lib/tikv/messages_kv.ts";
import { waitFor } from "../parts/wait.ts";
import { Fault, type MethodName } from "./scripted/calls.ts";
import { ScriptedCluster } from "./scripted/cluster.ts";
import { bytes, fastRuntime, leaveLocks, lockedKeys, shown, text } from "./transactions_testing.ts";

const KEYSPACE = 7;
const PREFIX = "x\0\0\u0007";
const END = Uint8Array.of(0x78, 0, 0, KEYSPACE + 1);
const OF_REGIONS: MethodName[] = [
  "get",
  "batchGet",
  "scan",
  "prewrite",
  "commit",
  "batchRollback",
  "checkTxnStatus",
  "checkSecondaryLocks",
  "resolveLock",
  "scanLock",
  "pessimisticLock",
  "pessimisticRollback",
  "txnHeartBeat",
];
/** Fields that hold bytes, and those of them that hold no key. */
const VALUES = new Set(["value"]);

Deno.test("every key of every request lies in the keyspace, and so does every range", async () => {
  await using cluster = await ScriptedCluster.start({ apiVersion: 2, keyspaces: { own: KEYSPACE } });
  const runtime = fastRuntime(20);
  await using client = await connect({ pd: cluster.addresses, keyspace: "own", runtime });
  const put = (entries: Record<string, string>) =>
    client.transaction((tx) =>
      Object.entries(entries).forEach(([key, value]) => tx.put(bytes(key), bytes(value)))
    );
  const key = (name: string) => bytes(PREFIX + name);

  // One phase, then async and in two phases over regions, with an insertion that is taken back.
  await put({ a: "1", b: "1" });
  cluster.topology.split(key("m"));
  await put({ a: "2", z: "2" });
  cluster.fallsBack = true;
  await client.transaction((tx) => {
    tx.put(bytes("a"), bytes("3"));
    tx.insert(bytes("gone"), bytes("1"));
    tx.delete(bytes("gone"));
    tx.put(bytes("z"), bytes("3"));
  });
  cluster.fallsBack = false;

  // Reads of every kind, over a lock that is passed and one that is cleared.
  const living = leaveLocks(cluster, { puts: { [`${PREFIX}c`]: "no", [`${PREFIX}y`]: "no" }, ttlMs: 60_000 });
  assert.equal(text(await client.snapshot().get(bytes("y"))), null);
  assert.deepEqual(await shown(client.snapshot().scan()), ["a=3", "b=1", "z=3"]);
  assert.deepEqual(await shown(client.snapshot().scan({}, { reverse: true, pagePairs: 1 })), [
    "z=3",
    "b=1",
    "a=3",
  ]);
  assert.deepEqual((await client.snapshot().getMany(["z", "c"].map(bytes))).map(text), ["3", null]);
  cluster.mvcc.rollBack([key("c"), key("y")], living);
  // An async commit whose owner died, and one that never wrote its primary.
  leaveLocks(cluster, { puts: { [`${PREFIX}d`]: "4", [`${PREFIX}x`]: "4" }, async: true });
  leaveLocks(cluster, { puts: { [`${PREFIX}f`]: "no" }, primary: `${PREFIX}e` });
  cluster.oracle.jump(10_000);
  await client.timestamp();
  assert.deepEqual(await shown(client.snapshot().scan({ from: bytes("d") })), ["d=4", "x=4", "z=3"]);
  await waitFor("the locks cleared", 5_000, () => lockedKeys(cluster).length === 0);

  // Pessimistic locks, kept alive and let go; a commit that is taken back.
  const holding = client.begin({ pessimistic: true });
  await holding.lockNow(bytes("a"), bytes("z"));
  await waitFor("a heartbeat", 5_000, () => (cluster.calls.counts().txnHeartBeat ?? 0) > 0);
  await holding.rollback();
  const late = client.begin();
  late.put(bytes("a"), bytes("no"));
  late.put(bytes("z"), bytes("no"));
  await late.startTs;
  await put({ z: "5" });
  await assert.rejects(late.commit(), { code: "conflict" });
  // A lost answer, asked for afterwards.
  cluster.intercept("prewrite", async (_, execute) => (await execute(), Fault.brokenStream()));
  await put({ b: "6" });
  await client.collectGarbage({ retentionMs: 1_000 });
  await waitFor("everything settled", 5_000, () => client.pending === 0);

  const counts = cluster.calls.counts();
  for (const method of OF_REGIONS) {
    assert.ok((counts[method] ?? 0) > 0, `${method} was called`);
    for (const { request } of cluster.calls.of(method)) {
      const { context, ...fields } = request as unknown as { context: Record<string, unknown> };
      assert.deepEqual(
        [context["apiVersion"], context["keyspaceId"], context["keyspaceName"]],
        [ApiVersion.v2, KEYSPACE, "own"],
        method,
      );
      for (const [path, found] of keysIn(fields)) {
        assert.ok(
          method === "scanLock" ? isOfKeyspaces(found) : isOwn(found),
          `${method}.${path} is ${JSON.stringify(text(found))}`,
        );
      }
    }
  }
  for (const { request } of cluster.calls.of("getRegion")) {
    assert.ok(isOfKeyspaces(decodeKey(request.regionKey)));
  }
});

/** In the keyspace, or its end. */
function isOwn(key: Uint8Array): boolean {
  return compareKeys(key, bytes(PREFIX)) >= 0 && compareKeys(key, END) <= 0;
}

/** Garbage collection looks at all keyspaces: the safe point is that of the cluster. */
function isOfKeyspaces(key: Uint8Array): boolean {
  return key[0] === 0x78 || compareKeys(key, bytes("y")) === 0;
}

/** Every bytes field that is filled, by its path. */
function keysIn(value: object, path = ""): [string, Uint8Array][] {
  return Object.entries(value).flatMap(([name, field]): [string, Uint8Array][] => {
    const here = path === "" ? name : `${path}.${name}`;
    if (field instanceof Uint8Array) return field.length === 0 || VALUES.has(name) ? [] : [[here, field]];
    return typeof field === "object" && field !== null ? keysIn(field, here) : [];
  });
}
