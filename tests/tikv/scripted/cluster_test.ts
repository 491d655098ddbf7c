import assert from "node:assert/strict";
import { encodeKey } from "../../../lib/tikv/keys.ts";
import { RpcError } from "../../../lib/tikv/errors.ts";
import { ApiVersion, Op } from "../../../lib/tikv/messages_kv.ts";
import { Kv, type Method, Pd, Store, Streams } from "../../../lib/tikv/methods.ts";
import type { Wire } from "../../../lib/tikv/rpc.ts";
import { createRuntime } from "../../../lib/tikv/runtime.ts";
import { createWire } from "../../../lib/tikv/wire.ts";
import { makeCertificate } from "../../parts/tls.ts";
import { Fault } from "./calls.ts";
import { ScriptedCluster, type ScriptedOptions } from "./cluster.ts";
import { contextFor } from "./topology.ts";

const k = (text: string) => new TextEncoder().encode(text);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const OPTIONS = { timeoutMs: 5_000 };
const I64_MAX = 0x7fff_ffff_ffff_ffffn;

interface Setup {
  cluster: ScriptedCluster;
  wire: Wire;
  /** A call to the leader of `key`'s region. */
  kv<QInit, A>(
    key: string,
    // deno-lint-ignore no-explicit-any -- as in Regions.send
    method: Method<any, QInit, A, any>,
    request: QInit,
    timeoutMs?: number,
  ): Promise<A>;
  // deno-lint-ignore no-explicit-any -- as above
  pd<QInit, A>(method: Method<any, QInit, A, any>, request: QInit, member?: number): Promise<A>;
  put(key: string, value: string): Promise<void>;
  get(key: string): Promise<string | null>;
}

async function withCluster(options: ScriptedOptions, body: (setup: Setup) => Promise<void>): Promise<void> {
  await using cluster = await ScriptedCluster.start(options);
  const wire = createWire({ runtime: createRuntime() });
  const kv: Setup["kv"] = (key, method, request, timeoutMs = 5_000) => {
    const address = cluster.topology.stores.get(cluster.topology.leaderStore(k(key)) ?? 1n)?.address ?? "";
    const context = contextFor(cluster.topology, k(key));
    return wire.call(address, method, { ...request, context }, { timeoutMs });
  };
  try {
    await body({
      cluster,
      wire,
      kv,
      pd: (method, request, member = 0) => {
        const header = { clusterId: cluster.pd.clusterId };
        return wire.call(cluster.addresses[member] ?? "", method, { header, ...request }, OPTIONS);
      },
      async put(key, value) {
        const startVersion = cluster.oracle.next();
        const mutations = [{ op: Op.put, key: k(key), value: k(value) }];
        const request = { mutations, primaryLock: k(key), startVersion, lockTtl: 3_000n, tryOnePc: true };
        const { onePcCommitTs, errors } = await kv(key, Kv.prewrite, request);
        assert.ok(onePcCommitTs > 0n, JSON.stringify(errors.map((each) => Object.keys(each))));
      },
      async get(key) {
        const { value, notFound, regionError } = await kv(key, Kv.get, {
          key: k(key),
          version: cluster.oracle.next(),
        });
        assert.equal(regionError, null);
        return notFound ? null : text(value);
      },
    });
  } finally {
    await wire.close();
  }
}

function assertRpc(error: unknown, status: number, message = /./): void {
  assert.ok(error instanceof RpcError, String(error));
  assert.equal(error.status, status, error.message);
  assert.match(error.message, message);
}

Deno.test("what one store writes another reads once it leads", async () => {
  await withCluster({}, async ({ cluster, put, get }) => {
    await put("a", "1");
    cluster.topology.transferLeader(k("a"), 2n);
    assert.equal(await get("a"), "1");
    assert.equal(await get("b"), null);
  });
});

Deno.test("many calls at once are answered out of order and in parts", async () => {
  await withCluster({}, async ({ cluster, put, get }) => {
    const keys = Array.from({ length: 50 }, (_, at) => `k${at}`);
    await Promise.all(keys.map((key) => put(key, `of ${key}`)));
    assert.deepEqual(await Promise.all(keys.map(get)), keys.map((key) => `of ${key}`));
    assert.ok(cluster.calls.of("get").every(({ batched }) => batched));
  });
});

Deno.test("a store without BatchCommands is asked one by one", async () => {
  await withCluster({ batches: false }, async ({ cluster, put, get }) => {
    await put("a", "1");
    assert.equal(await get("a"), "1");
    assert.deepEqual(cluster.calls.log.map(({ method, batched }) => [method, batched]), [
      ["prewrite", false],
      ["get", false],
    ]);
  });
});

Deno.test("a scan stays in its region, forwards and backwards, and drops values when asked", async () => {
  await withCluster({}, async ({ cluster, put, kv }) => {
    for (const key of ["a", "b", "m", "n"]) await put(key, "v");
    cluster.topology.split(k("m"));
    const version = cluster.oracle.next();
    const scan = async (key: string, request: Parameters<typeof Kv.scan.request.encode>[0]) =>
      (await kv(key, Kv.scan, { version, limit: 10, ...request })).pairs.map(({ key, value }) =>
        text(key) + text(value)
      );
    assert.deepEqual(await scan("a", { startKey: k("a") }), ["av", "bv"]);
    assert.deepEqual(await scan("m", { startKey: k(""), reverse: true, endKey: k(""), keyOnly: true }), [
      "n",
      "m",
    ]);
    assert.deepEqual(await scan("m", { startKey: k("n"), reverse: true, endKey: k("a") }), ["mv"]);
  });
});

Deno.test("a call may be answered by the test, or end in every way", async () => {
  await withCluster({}, async ({ cluster, kv, get }) => {
    const call = (timeoutMs?: number) =>
      kv("a", Kv.get, { key: k("a"), version: 1n }, timeoutMs).catch((error) => error);
    const undo = cluster.intercept("get", () => ({ regionError: { serverIsBusy: { reason: "test" } } }), {
      times: 2,
    });
    assert.equal((await call()).regionError.serverIsBusy.reason, "test");
    undo();
    assert.equal(await get("a"), null);

    cluster.intercept("get", () => ({ error: { abort: "test" } }));
    assert.equal((await call()).error.abort, "test");
    cluster.intercept("get", () => Fault.silence());
    assertRpc(await call(60), 4);
    cluster.intercept("get", () => Fault.brokenStream());
    assertRpc(await call(), 14);
    cluster.intercept("get", () => Fault.closedConnection());
    assertRpc(await call(), 14);
    cluster.intercept("get", () => Fault.status(9, "cluster id"));
    assertRpc(await call(), 9, /cluster id/);
    assert.equal(await get("a"), null);
  });
});

Deno.test("a reply may be lost after the call was executed, and a call held back", async () => {
  await withCluster({}, async ({ cluster, put, get }) => {
    cluster.intercept("prewrite", async (_, execute) => {
      await execute();
      return Fault.brokenStream();
    });
    assertRpc(await put("a", "1").catch((error) => error), 14);
    assert.equal(await get("a"), "1");

    const gate = Promise.withResolvers<void>();
    cluster.intercept("get", async (_, execute) => {
      await gate.promise;
      return execute();
    });
    const [held, other] = [get("a"), get("b")];
    assert.equal(await other, null);
    gate.resolve();
    assert.equal(await held, "1");
  });
});

Deno.test("steps fit by store, condition and count", async () => {
  await withCluster({}, async ({ cluster, get, kv }) => {
    const refuse = () => ({ regionError: { staleCommand: {} } });
    cluster.intercept("get", refuse, { store: 2n, times: Infinity });
    cluster.intercept("get", refuse, { when: ({ request }) => text(request.key) === "x", after: 1 });
    const stale = async (key: string) =>
      (await kv(key, Kv.get, { key: k(key), version: 1n })).regionError !== null;
    assert.deepEqual([
      await stale("a"),
      await stale("x"),
      await stale("a"),
      await stale("x"),
      await stale("x"),
    ], [
      false,
      false,
      false,
      true,
      false,
    ]);
    cluster.topology.transferLeader(k("a"), 2n);
    assert.equal(await stale("a"), true);
    cluster.topology.transferLeader(k("a"), 3n);
    cluster.calls.clear();
    await get("a");
    assert.deepEqual(cluster.calls.counts(), { get: 1 });
    assert.deepEqual(cluster.calls.of("get")[0]?.target, { store: 3n });
  });
});

Deno.test("a split before a prewrite is executed makes it a stale one", async () => {
  await withCluster({}, async ({ cluster, put, get }) => {
    cluster.intercept("prewrite", (_, execute) => {
      cluster.topology.split(k("m"));
      return execute();
    });
    await assert.rejects(put("z", "1"));
    assert.equal(await get("z"), null);
  });
});

Deno.test("a store stops, comes back at its address, moves to another, and changes places", async () => {
  await withCluster({}, async ({ cluster, wire, get }) => {
    const store = cluster.topology.stores.get(1n);
    assert.ok(store !== undefined);
    const before = store.address;
    const health = () =>
      wire.call(before, Store.health, {}, OPTIONS).then(({ status }) => status, (error) => error);
    assert.equal(await health(), 1);
    await cluster.stopStore(1n);
    assertRpc(await health(), 14);
    await cluster.startStore(1n);
    assert.equal(store.address, before);
    wire.disconnect(before);
    assert.equal(await health(), 1);

    await cluster.moveStore(1n);
    assert.notEqual(store.address, before);
    assert.equal(await get("a"), null);
    await cluster.swapStores(1n, 2n);
    wire.disconnect(store.address);
    assert.equal(await get("a"), null);
    const context = contextFor(cluster.topology, k("a"));
    const other = cluster.topology.stores.get(2n)?.address ?? "";
    wire.disconnect(other);
    const { regionError } = await wire.call(other, Kv.get, { context, key: k("a") }, OPTIONS);
    assert.deepEqual(regionError?.storeNotMatch, { requestStoreId: 1n, actualStoreId: 2n });
  });
});

Deno.test("keys and requests over TiKV's limits are refused", async () => {
  await withCluster({}, async ({ kv }) => {
    const prewrite = (key: string, bytes: number) =>
      kv("a", Kv.prewrite, {
        mutations: [{ key: k(key), value: new Uint8Array(bytes) }],
        primaryLock: k(key),
        startVersion: 1n,
      });
    assert.match((await prewrite("a".repeat(8_000), 1)).errors[0]?.abort ?? "", /KeyTooLarge/);
    assert.ok((await prewrite("a", 9 * 1024 * 1024)).regionError?.raftEntryTooLarge);
  });
});

Deno.test("a server of version 2 wants the keyspace in context and key, one of version 1 does not know it", async () => {
  const key = new Uint8Array([0x78, 0, 0, 5, 0x61]);
  const request = { key, version: 1n };
  const v2 = { apiVersion: ApiVersion.v2, keyspaceId: 5 };
  for (const apiVersion of [1, 2] as const) {
    await withCluster({ apiVersion, keyspaces: { five: 5 } }, async ({ cluster, wire, pd }) => {
      const get = async (more: object) => {
        const context = { ...contextFor(cluster.topology, key), ...more };
        const address = cluster.topology.stores.get(1n)?.address ?? "";
        const { error } = await wire.call(address, Kv.get, { ...request, context }, OPTIONS);
        return error?.abort.split(":")[0] ?? null;
      };
      const wrong = "ApiVersionNotMatched";
      assert.deepEqual([await get({}), await get(v2), await get({ ...v2, keyspaceId: 6 })], [
        apiVersion === 1 ? null : wrong,
        apiVersion === 1 ? wrong : null,
        apiVersion === 1 ? wrong : "InvalidKeyMode",
      ]);
      assert.equal((await pd(Pd.loadKeyspace, { name: "five" })).keyspace?.id, 5);
      assert.equal((await pd(Pd.loadKeyspace, { name: "six" })).header?.error?.type, 9);
    });
  }
});

Deno.test("a pessimistic lock waits on the wire while other calls go on", async () => {
  await withCluster({}, async ({ kv, get }) => {
    const lock = (startVersion: bigint, waitTimeout: bigint) =>
      kv("a", Kv.pessimisticLock, {
        mutations: [{ op: Op.pessimisticLock, key: k("a") }],
        primaryLock: k("a"),
        startVersion,
        forUpdateTs: startVersion,
        lockTtl: 3_000n,
        waitTimeout,
      });
    assert.deepEqual((await lock(1n, 0n)).errors, []);
    const waiting = lock(2n, 5_000n);
    assert.equal(await get("a"), null);
    await kv("a", Kv.pessimisticRollback, { keys: [k("a")], startVersion: 1n, forUpdateTs: 1n });
    assert.ok((await waiting).errors[0]?.conflict);
    assert.equal((await lock(1n, 0n)).errors.length, 0);
  });
});

Deno.test("an empty value is a value", async () => {
  await withCluster({}, async ({ put, get }) => {
    await put("a", "");
    assert.equal(await get("a"), "");
  });
});

Deno.test("all of it speaks TLS when it is given a certificate", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { caFile, certFile, keyFile } = await makeCertificate(folder);
    const [cert, key] = await Promise.all([certFile, keyFile].map((file) => Deno.readTextFile(file)));
    await using cluster = await ScriptedCluster.start({ tls: { cert: cert ?? "", key: key ?? "" } });
    const wire = createWire({ runtime: createRuntime(), tls: { ca: caFile } });
    const { members } = await wire.call(cluster.addresses[0] ?? "", Pd.getMembers, {}, OPTIONS);
    assert.deepEqual(members[0]?.clientUrls, [`https://${cluster.addresses[0]}`]);
    const context = contextFor(cluster.topology, k("a"));
    const address = cluster.topology.stores.get(1n)?.address ?? "";
    assert.equal(
      (await wire.call(address, Kv.get, { context, key: k("a"), version: 1n }, OPTIONS)).notFound,
      true,
    );
    await wire.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

// The placement driver.

Deno.test("members know each other; only the leader answers the rest, and only to its cluster", async () => {
  await withCluster({ members: 3 }, async ({ cluster, pd }) => {
    const { members, leader, header } = await pd(Pd.getMembers, { header: null }, 1);
    assert.deepEqual(
      members.map(({ clientUrls }) => clientUrls),
      cluster.addresses.map((each) => [`http://${each}`]),
    );
    assert.deepEqual([leader?.name, header?.clusterId], ["pd-0", cluster.pd.clusterId]);
    const region = (member: number, header = { clusterId: cluster.pd.clusterId }) =>
      pd(Pd.getRegion, { header, regionKey: encodeKey(k("a")) }, member).catch((error) => error);
    assert.ok((await region(0)).region);
    assertRpc(await region(1), 14, /not leader/);
    assertRpc(await region(0, { clusterId: 5n }), 9, /mismatch cluster id/);
    cluster.pd.leader = 1;
    assert.ok((await region(1)).region);
    cluster.pd.leader = null;
    assertRpc(await region(1), 14, /no leader/);
    assert.equal((await pd(Pd.getMembers, {}, 2)).leader, null);
  });
});

Deno.test("regions are found by key, by id, before a key and in ranges", async () => {
  await withCluster({}, async ({ cluster, pd }) => {
    cluster.topology.split(k("f"), k("m"));
    const starts = (regions: ({ region: { startKey: Uint8Array } | null })[]) =>
      regions.map(({ region }) => region === null ? null : region.startKey);
    const [first = k(""), second, third] = [k(""), encodeKey(k("f")), encodeKey(k("m"))];
    const found = await pd(Pd.getRegion, { regionKey: encodeKey(k("g")) });
    assert.deepEqual([found.region?.startKey, found.leader?.storeId], [second, 1n]);
    assert.deepEqual((await pd(Pd.getRegionById, { regionId: found.region?.id ?? 0n })).region, found.region);
    assert.deepEqual(starts([await pd(Pd.getPrevRegion, { regionKey: third })]), [second]);
    assert.deepEqual(starts([await pd(Pd.getPrevRegion, { regionKey: first })]), [null]);
    const scan = async (startKey: Uint8Array, endKey: Uint8Array, limit: number) =>
      starts((await pd(Pd.scanRegions, { startKey, endKey, limit })).regions);
    assert.deepEqual(await scan(k(""), k(""), 0), [first, second, third]);
    assert.deepEqual(await scan(encodeKey(k("a")), encodeKey(k("g")), 9), [first, second]);
    assert.deepEqual(await scan(second, k(""), 1), [second]);
    const ranges = [{ startKey: first, endKey: second }, { startKey: third, endKey: k("") }];
    assert.deepEqual(starts((await pd(Pd.batchScanRegions, { ranges, limit: 5 })).regions), [first, third]);
    cluster.pd.hidesLeaders = true;
    assert.equal((await pd(Pd.getRegion, { regionKey: second })).leader, null);
  });
});

Deno.test("stores are found by id, an unknown one is an error in the reply", async () => {
  await withCluster({}, async ({ cluster, pd }) => {
    const { store } = await pd(Pd.getStore, { storeId: 2n });
    assert.equal(store?.address, cluster.topology.stores.get(2n)?.address);
    assert.match((await pd(Pd.getStore, { storeId: 9n })).header?.error?.message ?? "", /invalid store ID 9/);
    assert.equal((await pd(Pd.getAllStores, {})).stores.length, 3);
  });
});

Deno.test("timestamps grow, in batches; they jump and fall back when the test says so", async () => {
  await withCluster({}, async ({ cluster, wire }) => {
    const replies: bigint[] = [];
    let arrived: () => void = () => {};
    const stream = await wire.stream(cluster.addresses[0] ?? "", Streams.tso, {
      onMessage({ timestamp }) {
        replies.push(((timestamp?.physical ?? 0n) << 18n) | (timestamp?.logical ?? 0n));
        arrived();
      },
      onEnd: () => {},
    });
    const ask = (count: number) =>
      new Promise<bigint>((resolve) => {
        arrived = () => resolve(replies.at(-1) ?? 0n);
        stream.send({ header: { clusterId: cluster.pd.clusterId }, count });
      });
    const first = await ask(1);
    assert.ok(await ask(100) >= first + 100n);
    cluster.oracle.jump(3_600_000);
    assert.ok(await ask(1) - first > 3_000_000n << 18n);
    cluster.oracle.fallBack(7_200_000);
    assert.ok(await ask(1) < first);
    stream.close();
  });
});

Deno.test("safe points: of garbage they only grow, of services the least holds", async () => {
  await withCluster({}, async ({ pd }) => {
    const service = async (id: string, safePoint: bigint, ttl: bigint) => {
      const reply = await pd(Pd.updateServiceGcSafePoint, { serviceId: k(id), safePoint, ttl });
      return [text(reply.serviceId), reply.minSafePoint];
    };
    assert.deepEqual(await service("backup", 50n, 60n), ["gc_worker", 0n]);
    assert.deepEqual(await service("gc_worker", 100n, I64_MAX), ["backup", 50n]);
    assert.deepEqual(await service("late", 40n, 60n), ["backup", 50n], "refused: below the least");
    assert.deepEqual(await service("backup", 0n, 0n), ["gc_worker", 100n]);
    assert.equal((await pd(Pd.updateGcSafePoint, { safePoint: 100n })).newSafePoint, 100n);
    assert.equal((await pd(Pd.updateGcSafePoint, { safePoint: 90n })).newSafePoint, 100n);
    assert.equal((await pd(Pd.getGcSafePoint, {})).safePoint, 100n);
  });
});
