/** The lower half of the client (placement driver, timestamps, regions) on real servers, under change and loss. */
import assert from "node:assert/strict";
import { TikvError } from "../../lib/tikv/errors.ts";
import type { TlsOptions } from "../../lib/tikv/grpc_tls.ts";
import { compareKeys, hex, sameKey } from "../../lib/tikv/keys.ts";
import type { Method } from "../../lib/tikv/methods.ts";
import { Kv } from "../../lib/tikv/methods.ts";
import { Operation } from "../../lib/tikv/operation.ts";
import { connectPlacement } from "../../lib/tikv/placement.ts";
import { createRegions } from "../../lib/tikv/regions.ts";
import type { Placement, Regions, Wire } from "../../lib/tikv/rpc.ts";
import { createRuntime } from "../../lib/tikv/runtime.ts";
import { createWire } from "../../lib/tikv/wire.ts";
import { makeCertificate } from "../parts/tls.ts";
import { freePort } from "../parts/wait.ts";
import { startTikv, type TikvCluster, type TikvServer } from "../parts/tikv.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const runtime = createRuntime();

interface Client {
  placement: Placement;
  regions: Regions;
  /** Paths of the calls made, streams left out. */
  calls: string[];
  operation(budgetMs?: number): Operation;
  /** Whether the key is there, at a new timestamp; as a reader does it. */
  has(key: string, budgetMs?: number): Promise<boolean>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function connect(pd: readonly string[], tls?: TlsOptions): Promise<Client> {
  const bare = createWire({ runtime, tls });
  const calls: string[] = [];
  const wire: Wire = {
    ...bare,
    call(address, method, request, options) {
      calls.push(nameOf(method));
      return bare.call(address, method, request, options);
    },
  };
  const life = new AbortController();
  const placement = await connectPlacement({
    addresses: pd,
    wire,
    runtime,
    tls: tls !== undefined,
    timeoutMs: 4_000,
  })
    .catch(async (error) => {
      await bare.close();
      throw error;
    });
  const regions = createRegions({ placement, wire, runtime, signal: life.signal });
  const operation = (budgetMs = 30_000) => new Operation({ name: "test", budgetMs, runtime });
  return {
    placement,
    regions,
    calls,
    operation,
    async has(key, budgetMs) {
      const op = operation(budgetMs);
      const request = { key: bytes(key), version: await placement.timestamp(op) };
      for (let round = 0; round < 1_000; round++) {
        const region = await regions.locate(request.key, op);
        const reply = await regions.send(region, Kv.get, request, { op, timeoutMs: 5_000 });
        if (reply === null) continue;
        assert.equal(reply.error, null);
        return reply.value.length > 0; // unistore never says notFound
      }
      throw new Error("no reply after 1000 rounds: somebody does not wait");
    },
    async [Symbol.asyncDispose]() {
      life.abort();
      placement.close();
      await bare.close();
    },
  };
}

// deno-lint-ignore no-explicit-any -- any method has a path
const nameOf = ({ path }: Method<any, any, any, any>) => path.slice(path.lastIndexOf("/") + 1);

Deno.test("placement driver and regions on a real cluster", async (t) => {
  await using cluster = await startTikv({ pdMembers: 3 });

  await t.step(
    "regions from the first to the last key are found forward, backward and in a scan alike",
    async () => {
      await using client = await connect(cluster.pd);
      await cluster.splitAt([bytes("walk/b"), bytes("walk/c")]);
      const known = (await cluster.regions()).map(({ startKey }) => hex(startKey));

      const forward: string[] = [];
      for (let at = bytes("");;) {
        const region = await client.regions.locate(at, client.operation());
        forward.push(hex(region.startKey));
        if (region.endKey.length === 0) break;
        at = region.endKey;
      }
      const backward: string[] = [];
      for (let at = bytes("");;) {
        const region = await client.regions.locateBefore(at, client.operation());
        backward.unshift(hex(region.startKey));
        if (region.startKey.length === 0) break;
        at = region.startKey;
      }
      assert.deepEqual(forward, known);
      assert.deepEqual(backward, known);
      const scanned = await client.placement.regions(bytes(""), bytes(""), 1_000, client.operation());
      assert.equal(scanned.length, known.length);
    },
  );

  await t.step("a second client finds a region backward that nobody has looked up before", async () => {
    await using client = await connect(cluster.pd);
    const inside = await client.regions.locateBefore(bytes("walk/bb"), client.operation());
    const { startKey, endKey } = inside;
    assert.deepEqual([startKey, endKey], [bytes("walk/b"), bytes("walk/c")]);
    const below = await client.regions.locateBefore(bytes("walk/b"), client.operation());
    assert.ok(sameKey(below.endKey, bytes("walk/b")));
  });

  await t.step("trips: a cold read asks PD for region and store, a warm one only the store", async () => {
    await using client = await connect(cluster.pd);
    client.calls.length = 0;
    assert.equal(await client.has("walk/b1"), false);
    assert.deepEqual(client.calls, ["GetRegion", "GetStore", "KvGet"]);
    client.calls.length = 0;
    await client.has("walk/b2");
    assert.deepEqual(client.calls, ["KvGet"]);
  });

  await t.step("trips: a split and a moved leader cost one trip more", async () => {
    await using client = await connect(cluster.pd);
    await client.has("trip/z");
    await cluster.splitAt([bytes("trip/m")]);
    client.calls.length = 0;
    await client.has("trip/z");
    assert.deepEqual(client.calls.filter((call) => call === "KvGet").length, 2);
    assert.ok(!client.calls.includes("GetRegion"), `${client.calls}`);

    await cluster.transferLeader(bytes("trip/z"));
    client.calls.length = 0;
    await client.has("trip/z");
    assert.deepEqual(client.calls.filter((call) => call === "KvGet").length, 2);
    assert.ok(!client.calls.includes("GetRegion"), `${client.calls}`);
  });

  await t.step("a thousand timestamps at once are distinct, and later than all before", async () => {
    await using client = await connect(cluster.pd);
    let last = 0n;
    for (let round = 0; round < 5; round++) {
      const op = client.operation();
      const given = await Promise.all(Array.from({ length: 1_000 }, () => client.placement.timestamp(op)));
      assert.equal(new Set(given).size, 1_000);
      assert.ok(given.every((each) => each > last));
      last = given.reduce((a, b) => a > b ? a : b);
    }
  });

  await t.step(
    "the death of the store that leads: reads go on at the new leader, then it comes back",
    async () => {
      await using client = await connect(cluster.pd);
      await client.has("dead/1");
      const dead = await leaderOf(cluster, "dead/1");
      await dead.kill();
      assert.equal(await client.has("dead/1", 60_000), false);
      assert.equal(await client.has("dead/2"), false);
      await dead.start();
      await cluster.transferLeader(bytes("dead/1"), dead.address);
      assert.equal(await client.has("dead/1"), false);
    },
  );

  await t.step("a store that hangs is left for the one that leads next", async () => {
    await using client = await connect(cluster.pd);
    await client.has("hang/1");
    const hung = await leaderOf(cluster, "hang/1");
    await hung.pause();
    try {
      assert.equal(await client.has("hang/1", 60_000), false);
    } finally {
      await hung.resume();
    }
    assert.equal(await client.has("hang/1"), false);
  });

  await t.step(
    "the death of PD's leader: timestamps go on, later than before, and so do look-ups",
    async () => {
      await using client = await connect(cluster.pd);
      const before = await client.placement.timestamp(client.operation());
      const dead = await cluster.killPdLeader();
      const after = await Promise.all(
        Array.from({ length: 50 }, () => client.placement.timestamp(client.operation(60_000))),
      );
      assert.ok(after.every((each) => each > before));
      assert.equal(new Set(after).size, 50);
      const found = await client.regions.locate(bytes("walk/b"), client.operation(60_000));
      assert.equal(compareKeys(found.startKey, bytes("walk/b")), 0);
      await dead.start();
    },
  );

  await t.step("safe points move forward only, and a service holds them back", async () => {
    await using client = await connect(cluster.pd);
    const op = client.operation();
    const now = await client.placement.timestamp(op);
    const before = await client.placement.safePoint(op);
    assert.equal(await client.placement.advanceSafePoint(now, op), now);
    assert.equal(await client.placement.safePoint(op), now);
    assert.equal(await client.placement.advanceSafePoint(before, op), now);
    const later = await client.placement.timestamp(op);
    assert.ok(await client.placement.holdSafePoint("test", later, 60n, op) <= later);
    assert.ok(await client.placement.holdSafePoint("test", later, 0n, op) >= 0n);
  });
});

Deno.test("a placement driver that wants certificates", async (t) => {
  await using cluster = await startTikv({ stores: 1, tls: true });
  assert.ok(cluster.certificate);
  const { caFile: ca, certFile: cert, keyFile: key } = cluster.certificate;
  const refused = async (pd: readonly string[], code: string, tls?: TlsOptions) => {
    const startMs = runtime.nowMs();
    await assert.rejects(connect(pd, tls), (error) => error instanceof TikvError && error.code === code);
    return runtime.nowMs() - startMs;
  };

  await t.step("it is followed with the right ones, at the address where it speaks TLS", async () => {
    await using client = await connect(cluster.pdTls, { ca, cert, key });
    assert.ok(await client.placement.timestamp(client.operation()) > 0n);
  });

  await t.step(
    "another authority and a missing certificate of ours are `tls`, before the time is up",
    async () => {
      const folder = await Deno.makeTempDir();
      try {
        const other = await makeCertificate(folder);
        assert.ok(await refused(cluster.pdTls, "tls", { ca: other.caFile, cert, key }) < 3_000);
        assert.ok(await refused(cluster.pdTls, "tls", { ca }) < 3_000);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
    },
  );

  await t.step("nobody at the address, or somebody who speaks plainly, is told within the time", async () => {
    await refused([`127.0.0.1:${freePort()}`], "unavailable");
    await refused([cluster.pdTls[0]?.replace("https://", "") ?? ""], "unavailable");
  });
});

async function leaderOf(cluster: TikvCluster, key: string): Promise<TikvServer> {
  const address = await cluster.leaderOf(bytes(key));
  const store = cluster.stores.find((each) => each.address === address);
  assert.ok(store, `a store at ${address}`);
  return store;
}
