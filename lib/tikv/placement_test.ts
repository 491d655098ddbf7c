import assert from "node:assert/strict";
import { GrpcStatus, TikvError } from "./errors.ts";
import { decodeKey, encodeKey } from "./keys.ts";
import { CONNECT_MS, LOW_RESOLUTION_REFRESH_MS, MEMBERS_REFRESH_MS } from "./limits.ts";
import { StoreState } from "./messages_meta.ts";
import { PdErrorType, type PdRegion, type TsoRequest } from "./messages_pd.ts";
import { Pd } from "./methods.ts";
import { connectPlacement, type PlacementOptions } from "./placement.ts";
import type { Decoded } from "./protobuf.ts";
import type { Placement } from "./rpc.ts";
import { FakeWire, type FarStream, HurryingRuntime, lost } from "./testing_fakes.ts";

const CLUSTER = 99n;
const key = (text: string) => new TextEncoder().encode(text);
const encoded = (text: string) => text === "" ? key("") : encodeKey(key(text));
const withCode = (code: string) => (error: unknown) => error instanceof TikvError && error.code === code;
const header = (clusterId = CLUSTER) => ({ clusterId });
const refusal = (type: number, message: string) => ({
  header: { clusterId: CLUSTER, error: { type, message } },
});

function region(from: string, to: string, id: bigint, leader: bigint | null = id * 10n): PdRegion {
  return {
    region: {
      id,
      startKey: encoded(from),
      endKey: encoded(to),
      regionEpoch: { confVer: 1n, version: 1n },
      peers: [{ id: id * 10n, storeId: 1n, role: 0, isWitness: false }],
    },
    leader: leader === null ? null : { id: leader, storeId: 1n, role: 0, isWitness: false },
    downPeers: [],
    pendingPeers: [],
  };
}

/** Three drivers of one cluster, the first one leads. */
class Rig {
  readonly runtime = new HurryingRuntime();
  readonly wire = new FakeWire();
  readonly streams: FarStream[] = [];
  leader: string | null = "pd-1:2379";
  logical = 0n;
  placement: Placement | null = null;
  far = (stream: FarStream, count: number) => {
    this.logical += BigInt(count);
    stream.reply({ header: header(), count, timestamp: { physical: 1n, logical: this.logical } });
  };

  constructor() {
    this.wire.on("*", Pd.getMembers, () => ({
      header: header(),
      members: [1, 2, 3].map((id) => ({ name: `pd-${id}`, clientUrls: [`http://pd-${id}:2379`] })),
      leader: this.leader === null ? null : { name: "leader", clientUrls: [`http://${this.leader}`] },
    }));
    this.wire.onStream = (stream, request) => {
      if (!this.streams.includes(stream)) this.streams.push(stream);
      if (stream.address !== this.leader) return stream.end(lost("not leader"));
      this.far(stream, (request as Decoded<typeof TsoRequest>).count);
    };
  }

  async connect(options: Partial<PlacementOptions> = {}): Promise<Placement> {
    this.placement = await connectPlacement({
      addresses: ["pd-1:2379"],
      wire: this.wire,
      runtime: this.runtime,
      ...options,
    });
    return this.placement;
  }

  [Symbol.dispose](): void {
    this.placement?.close();
  }
}

// Finding the leader.

Deno.test("connectPlacement() learns the cluster, its leader and the time in two trips", async () => {
  using rig = new Rig();
  rig.leader = "pd-2:2379";
  const placement = await rig.connect();
  assert.equal(placement.clusterId, CLUSTER);
  assert.equal(placement.recent(), (1n << 18n) + 1n);
  assert.equal(rig.wire.calls.length, 1);
  assert.deepEqual(rig.streams.map(({ address, requests }) => [address, requests.length]), [[
    "pd-2:2379",
    1,
  ]]);
});

Deno.test("connectPlacement() takes one address that answers among those that do not", async () => {
  using rig = new Rig();
  rig.wire.down.add("gone:2379");
  await rig.connect({ addresses: ["http://gone:2379", "http://pd-3:2379/"] });
});

Deno.test("connectPlacement() waits for a leader", async () => {
  using rig = new Rig();
  rig.leader = null;
  const connecting = rig.connect();
  await rig.runtime.sleep(3_000);
  rig.leader = "pd-1:2379";
  assert.equal((await connecting).clusterId, CLUSTER);
});

Deno.test("connectPlacement() ends with `unavailable` within its time when nobody answers or leads", async () => {
  for (const timeoutMs of [CONNECT_MS, 500]) {
    using rig = new Rig();
    rig.leader = null;
    rig.wire.down.add("down:2379");
    const startMs = rig.runtime.nowMs();
    await assert.rejects(rig.connect({ addresses: ["pd-1:2379", "down:2379"], timeoutMs }), (error) => {
      assert.ok(withCode("unavailable")(error), String(error));
      assert.match((error as Error).message, /pd-1:2379 knows no leader; down:2379 refused the connection/);
      return true;
    });
    assert.ok(rig.runtime.nowMs() - startMs <= timeoutMs);
    for (const call of rig.wire.calls) assert.ok(call.timeoutMs <= timeoutMs);
  }
});

Deno.test("connectPlacement() ends with `cancelled` when its caller aborts", async () => {
  using rig = new Rig();
  rig.leader = null;
  const abort = new AbortController();
  const connecting = rig.connect({ signal: abort.signal });
  abort.abort();
  await assert.rejects(connecting, withCode("cancelled"));
});

Deno.test("connectPlacement() fails at once for a certificate or bytes that will never do", async () => {
  for (const code of ["tls", "malformed"] as const) {
    using rig = new Rig();
    rig.wire.on("*", Pd.getMembers, () => new TikvError(code, "no good"));
    await assert.rejects(rig.connect(), withCode(code));
    assert.equal(rig.wire.calls.length, 1);
  }
});

Deno.test("connectPlacement() refuses addresses of two clusters: `wrong-cluster`", async () => {
  using rig = new Rig();
  rig.wire.on("other:2379", Pd.getMembers, async () => {
    await rig.runtime.sleep(100);
    return {
      header: header(7n),
      members: [{ clientUrls: ["http://other:2379"] }],
      leader: { clientUrls: ["http://other:2379"] },
    };
  });
  await assert.rejects(rig.connect({ addresses: ["pd-1:2379", "other:2379"] }), withCode("wrong-cluster"));
});

Deno.test("connectPlacement() refuses addresses that can never be right: `invalid`", async () => {
  using rig = new Rig();
  for (
    const addresses of [[], ["pd"], ["https://pd:2379"], ["ftp://pd:1"], ["pd:0"], ["pd:70000"], ["a@pd:1"]]
  ) {
    await assert.rejects(rig.connect({ addresses }), withCode("invalid"), String(addresses));
  }
  await assert.rejects(rig.connect({ addresses: ["http://pd-1:2379"], tls: true }), withCode("invalid"));
  await rig.connect({ addresses: ["https://pd-1:2379"], tls: true });
  assert.equal(rig.wire.calls[0]?.address, "pd-1:2379");
});

Deno.test("connectPlacement() goes where the leader listens in the way the client speaks", async () => {
  for (const [tls, expected] of [[false, "plain:2379"], [true, "secure:2379"]] as const) {
    using rig = new Rig();
    rig.leader = expected;
    const clientUrls = ["http://plain:2379", "https://secure:2379"];
    rig.wire.on(
      "*",
      Pd.getMembers,
      () => ({ header: header(), members: [{ clientUrls }], leader: { clientUrls } }),
    );
    await rig.connect({ tls });
    assert.equal(rig.streams[0]?.address, expected);
  }
  using rig = new Rig(); // whose members believe in http
  await rig.connect({ tls: true });
});

// Following it.

Deno.test("calls follow the leader when it changes, by either layer of errors or a lost connection", async () => {
  const changes: ((rig: Rig) => void)[] = [
    (rig) => rig.wire.on("pd-1:2379", Pd.getStore, () => lost("not leader")),
    (rig) => rig.wire.on("pd-1:2379", Pd.getStore, () => lost("server not started", GrpcStatus.unknown)),
    (rig) =>
      rig.wire.on(
        "pd-1:2379",
        Pd.getStore,
        () => refusal(PdErrorType.unknown, "pd is not leader of the cluster"),
      ),
    (rig) => rig.wire.on("pd-1:2379", Pd.getStore, () => lost("took too long", GrpcStatus.deadlineExceeded)),
    (rig) => rig.wire.down.add("pd-1:2379"),
  ];
  for (const [at, change] of changes.entries()) {
    using rig = new Rig();
    const placement = await rig.connect();
    rig.wire.on(
      "*",
      Pd.getStore,
      ({ storeId }) => ({ header: header(), store: { id: storeId, address: "s:1" } }),
    );
    change(rig);
    rig.leader = "pd-2:2379";
    const { address } = await placement.store(1n, rig.runtime.operation());
    assert.equal(address, "s:1");
    assert.deepEqual(
      rig.wire.callsOf(Pd.getStore).map((call) => call.address),
      ["pd-1:2379", "pd-2:2379"],
      `${at}`,
    );
  }
});

Deno.test("timestamps follow the leader when it changes and stay in order", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  const before = await placement.timestamp(rig.runtime.operation());
  rig.leader = "pd-3:2379";
  const after = await Promise.all(
    Array.from({ length: 20 }, () => placement.timestamp(rig.runtime.operation())),
  );
  assert.ok(after.every((each) => each > before));
  assert.equal(new Set(after).size, 20);
  assert.equal(rig.streams.at(-1)?.address, "pd-3:2379");
});

Deno.test("a timestamp waits out a time without leader", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  rig.leader = null;
  const waiting = placement.timestamp(rig.runtime.operation());
  await rig.runtime.sleep(5_000);
  rig.leader = "pd-2:2379";
  assert.ok(await waiting > 0n);
});

Deno.test("a timestamp that falls back ends with `corrupt`, and so does every later one", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  rig.far = (stream, count) => stream.reply({ count, timestamp: { physical: 0n, logical: 1n } });
  await assert.rejects(placement.timestamp(rig.runtime.operation()), withCode("corrupt"));
  await assert.rejects(placement.timestamp(rig.runtime.operation()), withCode("corrupt"));
});

Deno.test("no driver answers any more: `unavailable` once the budget is used, slow calls counted", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  rig.wire.on("*", Pd.getMembers, () => lost());
  rig.wire.on("*", Pd.getStore, async () => {
    await rig.runtime.sleep(3_000);
    return lost("no answer", GrpcStatus.deadlineExceeded);
  });
  const startMs = rig.runtime.nowMs();
  await assert.rejects(placement.store(1n, rig.runtime.operation("get", 20_000)), withCode("unavailable"));
  assert.ok(rig.runtime.nowMs() - startMs < 24_000, `${rig.runtime.nowMs() - startMs} ms`);
});

Deno.test("the members are asked once a minute who leads", async () => {
  using rig = new Rig();
  await rig.connect();
  const asked = () => rig.wire.callsOf(Pd.getMembers).length;
  const before = asked();
  await rig.runtime.sleep(MEMBERS_REFRESH_MS * 2.5);
  assert.equal(asked() - before, 2 * 3, "all three, twice");
});

Deno.test("the rate limit of a driver is waited out, at the same driver", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  let refused = 2;
  rig.wire.on(
    "*",
    Pd.getGcSafePoint,
    () =>
      refused-- > 0
        ? lost("too many requests", GrpcStatus.resourceExhausted)
        : { header: header(), safePoint: 5n },
  );
  const asked = rig.wire.callsOf(Pd.getMembers).length;
  const op = rig.runtime.operation();
  assert.equal(await placement.safePoint(op), 5n);
  assert.equal(rig.wire.callsOf(Pd.getMembers).length, asked);
});

Deno.test("another cluster behind the same address is `wrong-cluster`, by status and by members", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  const mismatch = () => lost("mismatch cluster id, need 7 but got 99", GrpcStatus.failedPrecondition);
  rig.wire.on("*", Pd.getStore, mismatch);
  await assert.rejects(placement.store(1n, rig.runtime.operation()), withCode("wrong-cluster"));
  rig.wire.on("*", Pd.getStore, () => lost());
  rig.wire.on(
    "*",
    Pd.getMembers,
    () => ({ header: header(7n), leader: { clientUrls: ["http://pd-1:2379"] } }),
  );
  await assert.rejects(placement.store(1n, rig.runtime.operation()), withCode("wrong-cluster"));
});

Deno.test("a refusal that says nothing more is `aborted`, at once", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  rig.wire.on("*", Pd.getAllStores, () => refusal(PdErrorType.incompatibleVersion, "too old"));
  await assert.rejects(placement.stores(rig.runtime.operation()), withCode("aborted"));
  assert.equal(rig.wire.callsOf(Pd.getAllStores).length, 1);
});

Deno.test("a cluster that is not bootstrapped yet is waited for", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  let refused = 2;
  rig.wire.on(
    "*",
    Pd.getGcSafePoint,
    () =>
      refused-- > 0
        ? refusal(PdErrorType.notBootstrapped, "cluster is not bootstrapped")
        : { header: header() },
  );
  assert.equal(await placement.safePoint(rig.runtime.operation()), 0n);
});

Deno.test("a driver that is still starting, of cluster 0, is waited for", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  let refused = 2;
  rig.wire.on("*", Pd.getGcSafePoint, () => {
    if (refused-- === 0) return { header: header() };
    return lost("mismatch cluster id, need 0 but got 99", GrpcStatus.failedPrecondition);
  });
  let starting = 2;
  rig.wire.on("*", Pd.getMembers, () => ({
    header: header(starting-- > 0 ? 0n : CLUSTER),
    leader: { clientUrls: ["http://pd-1:2379"] },
  }));
  assert.equal(await placement.safePoint(rig.runtime.operation()), 0n);
});

Deno.test("every call says which cluster it means", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  rig.wire.on("*", Pd.getAllStores, ({ header }) => {
    assert.equal(header?.clusterId, CLUSTER);
    return { header: { clusterId: CLUSTER }, stores: [{ id: 4n, address: "s:4" }] };
  });
  assert.deepEqual((await placement.stores(rig.runtime.operation())).map(({ id }) => id), [4n]);
});

// Regions.

Deno.test("region() asks by the encoded key", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  rig.wire.on("*", Pd.getRegion, ({ regionKey }) => {
    assert.deepEqual(decodeKey(regionKey), key("k"));
    return { header: header(), ...region("a", "z", 5n) };
  });
  assert.equal((await placement.region(key("k"), rig.runtime.operation())).region?.id, 5n);
});

Deno.test("region() waits while the region is empty or has no leader, and ends with its budget", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  const answers = [
    { header: header() },
    { header: header(), region: {} },
    { header: header(), ...region("a", "z", 5n, null) },
    { header: header(), ...region("a", "z", 5n, 0n) },
    refusal(PdErrorType.regionNotFound, "region not found"),
  ];
  rig.wire.on("*", Pd.getRegion, () => answers.shift() ?? { header: header(), ...region("a", "z", 5n) });
  assert.equal((await placement.region(key("k"), rig.runtime.operation())).leader?.id, 50n);
  assert.equal(answers.length, 0);

  rig.wire.on("*", Pd.getRegion, () => ({ header: header(), ...region("a", "z", 5n, null) }));
  await assert.rejects(placement.region(key("k"), rig.runtime.operation()), withCode("timeout"));
});

Deno.test("regionBefore() finds what lies below a key inside a region, at its start, and at the end of all", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  const all = [region("", "g", 1n), region("g", "p", 2n), region("p", "", 3n)];
  const holder = (wanted: Uint8Array) =>
    all.findLastIndex(({ region }) => region !== null && !above(region.startKey, wanted));
  rig.wire.on("*", Pd.getRegion, ({ regionKey }) => ({ header: header(), ...all[holder(regionKey)] }));
  rig.wire.on(
    "*",
    Pd.getPrevRegion,
    ({ regionKey }) => ({ header: header(), ...all[holder(regionKey) - 1] }),
  );
  const cases = { "b": 1n, "g": 1n, "h": 2n, "p": 2n, "z": 3n, "": 3n };
  for (const [at, id] of Object.entries(cases)) {
    assert.equal((await placement.regionBefore(key(at), rig.runtime.operation())).region?.id, id, at);
  }
});

function above(a: Uint8Array, b: Uint8Array): boolean {
  return a.toHex() > b.toHex();
}

Deno.test("regions() gives them up to the first gap or leaderless one, and waits for the first", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  const ids = async () =>
    (await placement.regions(key("b"), key(""), 10, rig.runtime.operation())).map(({ region }) => region?.id);
  const answers: [PdRegion[], bigint[]][] = [
    [[region("", "g", 1n), region("g", "p", 2n), region("p", "", 3n)], [1n, 2n, 3n]],
    [[region("a", "g", 1n), region("h", "p", 2n)], [1n]],
    [[region("a", "g", 1n), region("g", "p", 2n, null), region("p", "", 3n)], [1n]],
    [[region("c", "g", 1n)], [9n]],
    [[region("a", "g", 1n, 0n)], [9n]],
    [[], [9n]],
  ];
  for (const [regions, expected] of answers) {
    let asked = 0;
    rig.wire.on("*", Pd.scanRegions, ({ startKey, endKey, limit }) => {
      assert.deepEqual([decodeKey(startKey), endKey, limit], [key("b"), key(""), 10]);
      return { header: header(), regions: ++asked < 3 ? regions : [region("a", "", 9n)] };
    });
    assert.deepEqual(await ids(), expected);
  }
});

Deno.test("regions() asks in the newer way where the older one has gone", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  rig.wire.on("*", Pd.scanRegions, () => lost("gone", GrpcStatus.unimplemented));
  rig.wire.on("*", Pd.batchScanRegions, ({ ranges, limit, containAllKeyRange }) => {
    assert.deepEqual([ranges.length, limit, containAllKeyRange], [1, 4, true]);
    assert.deepEqual(decodeKey(ranges[0]?.endKey ?? key("")), key("q"));
    return { header: header(), regions: [region("", "", 8n)] };
  });
  const found = await placement.regions(key("b"), key("q"), 4, rig.runtime.operation());
  assert.deepEqual(found.map(({ region }) => region?.id), [8n]);
});

// The rest.

Deno.test("store() of one that is gone is a tombstone", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  const answers = [
    refusal(PdErrorType.unknown, "invalid store ID 9, not found"),
    refusal(PdErrorType.storeTombstone, "store is tombstone"),
    { header: header(), store: { id: 9n, state: StoreState.tombstone } },
  ];
  rig.wire.on("*", Pd.getStore, () => answers.shift() ?? {});
  for (let count = 0; count < 3; count++) {
    assert.equal((await placement.store(9n, rig.runtime.operation())).state, StoreState.tombstone);
  }
});

Deno.test("safe points are read, advanced and held", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  const op = rig.runtime.operation();
  rig.wire.on(
    "*",
    Pd.updateGcSafePoint,
    ({ safePoint }) => ({ header: header(), newSafePoint: safePoint + 1n }),
  );
  rig.wire.on("*", Pd.updateServiceGcSafePoint, ({ serviceId, ttl, safePoint }) => {
    assert.deepEqual([new TextDecoder().decode(serviceId), ttl, safePoint], ["backup", -1n, 7n]);
    return { header: header(), minSafePoint: 3n };
  });
  assert.equal(await placement.advanceSafePoint(8n, op), 9n);
  assert.equal(await placement.holdSafePoint("backup", 7n, -1n, op), 3n);
});

Deno.test("keyspace() gives the id of an enabled one and refuses others: `invalid`, `unsupported`", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  const op = () => rig.runtime.operation();
  await assert.rejects(placement.keyspace("salar", op()), withCode("unsupported"));
  rig.wire.on(
    "*",
    Pd.loadKeyspace,
    ({ name }) =>
      name === "salar"
        ? { header: header(), keyspace: { id: 4, name } }
        : name === "off"
        ? { header: header(), keyspace: { id: 5, name, state: 1 } }
        : refusal(PdErrorType.unknown, "keyspace does not exist"),
  );
  assert.equal(await placement.keyspace("salar", op()), 4);
  await assert.rejects(placement.keyspace("off", op()), withCode("invalid"));
  await assert.rejects(placement.keyspace("none", op()), withCode("invalid"));
});

Deno.test("recent() is kept fresh without anybody asking", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  const before = placement.recent();
  await rig.runtime.sleep(LOW_RESOLUTION_REFRESH_MS * 2);
  assert.ok(placement.recent() > before);
});

Deno.test("recent() is not asked for while timestamps are taken anyway", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  for (let count = 0; count < 10; count++) {
    await rig.runtime.sleep(LOW_RESOLUTION_REFRESH_MS * 0.4);
    await placement.timestamp(rig.runtime.operation());
  }
  assert.equal(rig.streams[0]?.requests.length, 11);
});

Deno.test("close() ends what goes on in the background and every later call: `closed`", async () => {
  using rig = new Rig();
  const placement = await rig.connect();
  placement.close();
  await assert.rejects(placement.timestamp(rig.runtime.operation()), withCode("closed"));
  await assert.rejects(placement.stores(rig.runtime.operation()), withCode("closed"));
  const asked = rig.wire.calls.length;
  await rig.runtime.sleep(MEMBERS_REFRESH_MS * 2);
  assert.equal(rig.wire.calls.length, asked);
});
