import assert from "node:assert/strict";
import { GrpcStatus, TikvError } from "./errors.ts";
import { encodeKey } from "./keys.ts";
import { REPLICA_TRIES_MAX } from "./limits.ts";
import type { GetRequest } from "./messages_kv.ts";
import { type Region, type RegionError, type Store, StoreState } from "./messages_meta.ts";
import type { PdRegion } from "./messages_pd.ts";
import { Kv, Store as StoreMethods } from "./methods.ts";
import type { Operation } from "./operation.ts";
import type { Decoded, Encodable } from "./protobuf.ts";
import { createRegions } from "./regions.ts";
import type { Fate, Located, Placement, Regions, SendOptions } from "./rpc.ts";
import { FakeWire, HurryingRuntime, lost, refused } from "./testing_fakes.ts";

type Get = Decoded<typeof GetRequest>;
type Answer = { value?: Uint8Array; regionError?: Encodable<typeof RegionError> } | Error;

const key = (text: string) => new TextEncoder().encode(text);
const encoded = (text: string) => text === "" ? key("") : encodeKey(key(text));
const withCode = (code: string) => (error: unknown) => error instanceof TikvError && error.code === code;
const address = (storeId: bigint | number) => `store-${storeId}:20160`;
const peerOf = (regionId: bigint, storeId: bigint) => ({
  id: regionId * 10n + storeId,
  storeId,
  role: 0,
  isWitness: false,
});

interface Facts {
  id?: bigint;
  version?: bigint;
  confVer?: bigint;
  leader?: bigint;
  stores?: bigint[];
  down?: bigint[];
}

/** Ids of peers are region · 10 + store. */
function metaRegion(from: string, to: string, facts: Facts = {}): Region {
  const { id = 5n, version = 7n, confVer = 3n, stores = [1n, 2n, 3n] } = facts;
  return {
    id,
    startKey: encoded(from),
    endKey: encoded(to),
    regionEpoch: { confVer, version },
    peers: stores.map((storeId) => peerOf(id, storeId)),
  };
}

/** What the placement driver says of a region. */
function pdRegion(from: string, to: string, facts: Facts = {}): PdRegion {
  const { id = 5n, leader = 1n, down = [] } = facts;
  return {
    region: metaRegion(from, to, facts),
    leader: peerOf(id, leader),
    downPeers: down.map((storeId) => ({ peer: peerOf(id, storeId) })),
    pendingPeers: [],
  };
}

function storeMessage(id: bigint, facts: Partial<Store> = {}): Store {
  return {
    id,
    address: address(id),
    state: StoreState.up,
    labels: [],
    version: "",
    statusAddress: "",
    nodeState: 0,
    ...facts,
  };
}

/** Three stores that are well, one region, and a placement driver that can be told what to say. */
class Rig {
  readonly runtime = new HurryingRuntime();
  readonly wire = new FakeWire();
  readonly life = new AbortController();
  readonly warnings: string[] = [];
  readonly lookUps: string[] = [];
  /** What the placement driver says, for a place as text: `k` or `<k`. */
  layout: (place: string) => PdRegion = () => pdRegion("", "");
  stores = new Map([1n, 2n, 3n].map((id) => [id, storeMessage(id)]));
  /** Answers of all stores to a get, in order; at the end `value`. */
  answers: Answer[] = [];
  readonly regions: Regions;

  constructor() {
    this.wire.on("*", StoreMethods.health, () => ({ status: 1 }));
    this.wire.on("*", Kv.get, () => this.answers.shift() ?? { value: key("value") });
    const unasked = () => Promise.reject(new Error("not for this test"));
    const placement: Placement = {
      clusterId: 99n,
      timestamp: unasked,
      recent: () => 0n,
      region: (at) => this.#lookUp(new TextDecoder().decode(at)),
      regionBefore: (at) => this.#lookUp(`<${new TextDecoder().decode(at)}`),
      regions: unasked,
      store: (id) => {
        this.lookUps.push(`store ${id}`);
        return Promise.resolve(this.stores.get(id) ?? storeMessage(id, { state: StoreState.tombstone }));
      },
      stores: unasked,
      safePoint: unasked,
      advanceSafePoint: unasked,
      holdSafePoint: unasked,
      keyspace: unasked,
      close: () => {},
    };
    this.regions = createRegions({
      placement,
      wire: this.wire,
      runtime: this.runtime,
      signal: this.life.signal,
      context: { apiVersion: 2, keyspaceId: 7 },
      onWarning: (message) => this.warnings.push(message),
    });
  }

  async #lookUp(place: string): Promise<PdRegion> {
    this.lookUps.push(place);
    await Promise.resolve();
    return this.layout(place);
  }

  async locate(at = "k", op = this.runtime.operation()): Promise<Located> {
    return await this.regions.locate(key(at), op);
  }

  /** One send to the region of `k`. */
  async send(options: Partial<SendOptions> = {}, op = this.runtime.operation()) {
    const region = await this.locate("k", op);
    return await this.regions.send(region, Kv.get, { key: key("k") }, { op, timeoutMs: 1_000, ...options });
  }

  /** As a caller does: locate and send until there is a reply. */
  async get(op: Operation = this.runtime.operation(), fate?: Fate) {
    for (let round = 0; round < 1_000; round++) {
      const reply = await this.send(fate === undefined ? {} : { fate }, op);
      if (reply !== null) return reply;
    }
    throw new Error("no reply after 1000 rounds: somebody does not wait");
  }

  /** Stores asked for the key, in order. */
  get asked(): bigint[] {
    return this.gets.map(({ context }) => context?.peer?.storeId ?? 0n);
  }

  get gets(): Get[] {
    return this.wire.callsOf(Kv.get).map(({ request }) => request as Get);
  }

  [Symbol.dispose](): void {
    this.life.abort();
  }
}

const notLeader = (storeId?: bigint): Answer => ({
  regionError: { notLeader: storeId === undefined ? {} : { leader: peerOf(5n, storeId) } },
});

Deno.test("send() goes to the leader with region, epoch, peer, cluster and keyspace, in one trip", async () => {
  using rig = new Rig();
  rig.layout = () => pdRegion("a", "z", { leader: 2n });
  assert.deepEqual((await rig.send())?.value, key("value"));
  assert.deepEqual(rig.lookUps, ["k", "store 2"]);
  const [get] = rig.gets;
  assert.equal(get?.context?.regionId, 5n);
  assert.deepEqual(get?.context?.regionEpoch, { confVer: 3n, version: 7n });
  assert.deepEqual(get?.context?.peer, peerOf(5n, 2n));
  assert.equal(get?.context?.clusterId, 99n);
  assert.equal(get?.context?.apiVersion, 2);
  assert.equal(get?.context?.keyspaceId, 7);
  assert.equal(get?.context?.isRetryRequest, false);
  await rig.send();
  assert.equal(rig.lookUps.length, 2, "warm: nothing is looked up");
  assert.equal(rig.wire.calls.length, 2);
});

Deno.test("send() adds the caller's context and says when content is sent again", async () => {
  using rig = new Rig();
  await rig.send({ context: { resolvedLocks: [4n] }, again: true });
  assert.deepEqual(rig.gets[0]?.context?.resolvedLocks, [4n]);
  assert.equal(rig.gets[0]?.context?.isRetryRequest, true);

  rig.answers = [{ regionError: { readIndexNotReady: {} } }];
  await rig.send();
  assert.deepEqual(rig.gets.slice(1).map(({ context }) => context?.isRetryRequest), [false, true]);
});

Deno.test("locate() shares one look-up among all who ask for one region at once", async () => {
  using rig = new Rig();
  rig.layout = (place) => place < "m" ? pdRegion("", "m", { id: 5n }) : pdRegion("m", "", { id: 6n });
  const found = await Promise.all(["a", "b", "c", "l"].map((at) => rig.locate(at)));
  assert.deepEqual(new Set(found.map(({ id }) => id)), new Set([5n]));
  assert.deepEqual(rig.lookUps, ["a"]);
  assert.equal((await rig.locate("x")).id, 6n);
  assert.deepEqual(rig.lookUps, ["a", "x"]);
});

Deno.test("locate() of two unknown regions at once needs no wait", async () => {
  using rig = new Rig();
  rig.layout = (place) => place < "m" ? pdRegion("", "m", { id: 5n }) : pdRegion("m", "", { id: 6n });
  const found = await Promise.all(["a", "x", "b", "y"].map((at) => rig.locate(at)));
  assert.deepEqual(found.map(({ id }) => id), [5n, 6n, 5n, 6n]);
  assert.deepEqual([rig.lookUps, rig.runtime.slept], [["a", "x"], []]);
});

Deno.test("locate() goes on for the others when one who shares its look-up gives up", async () => {
  using rig = new Rig();
  const abort = new AbortController();
  const one = rig.locate("a", rig.runtime.operation("one", 1_000, abort.signal));
  const other = rig.locate("b");
  abort.abort();
  await assert.rejects(one, withCode("cancelled"));
  assert.equal((await other).id, 5n);
  assert.deepEqual(rig.lookUps, ["a"]);
});

Deno.test("locate() waits and asks again while the placement driver knows less than the cache", async () => {
  using rig = new Rig();
  rig.layout = () => pdRegion("a", "m", { version: 9n });
  await rig.locate("b");
  let asked = 0;
  rig.layout = () =>
    ++asked < 3 ? pdRegion("a", "z", { version: 7n }) : pdRegion("m", "z", { id: 6n, version: 9n });
  assert.equal((await rig.locate("n")).id, 6n);
  assert.equal(asked, 3);
});

Deno.test("locateBefore() finds what lies just below a key, and the end of everything", async () => {
  using rig = new Rig();
  rig.layout = (place) => place === "<m" ? pdRegion("", "m", { id: 5n }) : pdRegion("m", "", { id: 6n });
  const before = (at: string) => rig.regions.locateBefore(key(at), rig.runtime.operation());
  assert.equal((await before("m")).id, 5n);
  assert.equal((await before("")).id, 6n);
  assert.equal((await before("n")).id, 6n);
  assert.equal((await before("m")).id, 5n);
  assert.deepEqual(rig.lookUps, ["<m", "<"]);
});

Deno.test("a boundary that is not memcomparable is `corrupt`, at once", async () => {
  using rig = new Rig();
  rig.layout = () => {
    const found = pdRegion("a", "");
    if (found.region) found.region.startKey = key("raw");
    return found;
  };
  await assert.rejects(rig.locate(), withCode("corrupt"));
});

// Region errors, as they steer the sender. What each kind means is in regions_errors_test.ts.

Deno.test("NotLeader with a known leader: asked at once, and remembered", async () => {
  using rig = new Rig();
  rig.answers = [notLeader(3n)];
  await rig.send();
  assert.deepEqual(rig.asked, [1n, 3n]);
  assert.deepEqual(rig.runtime.slept, []);
  await rig.send();
  assert.deepEqual(rig.asked, [1n, 3n, 3n]);
});

Deno.test("NotLeader with an unknown leader: the region is looked up anew", async () => {
  using rig = new Rig();
  await rig.locate();
  rig.layout = () => pdRegion("", "", { confVer: 4n, leader: 4n, stores: [1n, 2n, 4n] });
  rig.stores.set(4n, storeMessage(4n));
  rig.answers = [notLeader(4n)];
  assert.equal(await rig.send(), null);
  await rig.send();
  assert.deepEqual(rig.asked, [1n, 4n]);
});

Deno.test("NotLeader without a leader: every replica is asked, then the region is looked up anew", async () => {
  using rig = new Rig();
  rig.answers = [notLeader(), notLeader(), notLeader()];
  assert.equal(await rig.send(), null);
  assert.deepEqual(rig.asked, [1n, 2n, 3n]);
  assert.deepEqual(rig.runtime.slept, [2, 4, 8, 2], "a wait before each further try");
  await rig.get();
  assert.deepEqual(rig.lookUps.filter((each) => each === "k").length, 2);
});

Deno.test("two stores that each name the other as leader are not asked for ever", async () => {
  using rig = new Rig();
  rig.wire.on(address(1), Kv.get, () => ({ regionError: { notLeader: { leader: peerOf(5n, 2n) } } }));
  rig.wire.on(address(2), Kv.get, () => ({ regionError: { notLeader: { leader: peerOf(5n, 1n) } } }));
  rig.wire.on(address(3), Kv.get, () => ({ regionError: { notLeader: {} } }));
  assert.equal(await rig.send(), null);
  assert.ok(rig.asked.length <= REPLICA_TRIES_MAX + 3, `${rig.asked}`);
});

Deno.test("a region of one replica without a leader is waited for", async () => {
  using rig = new Rig();
  rig.layout = () => pdRegion("", "", { stores: [1n] });
  rig.answers = Array.from({ length: 6 }, () => notLeader());
  assert.deepEqual((await rig.get()).value, key("value"));
});

Deno.test("RegionNotFound: looked up anew; from a follower: the leader is asked once", async () => {
  using rig = new Rig();
  rig.answers = [{ regionError: { regionNotFound: {} } }];
  assert.equal(await rig.send(), null);
  assert.deepEqual(rig.asked, [1n]);

  const notFound = { regionError: { regionNotFound: {} } };
  rig.answers = [notLeader(), notFound, notLeader(1n), notFound];
  assert.equal(await rig.send(), null);
  assert.deepEqual(rig.asked.slice(1), [1n, 2n, 3n, 1n]);
});

Deno.test("KeyNotInRegion: looked up anew and told loudly", async () => {
  using rig = new Rig();
  rig.answers = [{ regionError: { message: "key out of region", keyNotInRegion: {} } }];
  assert.equal(await rig.send(), null);
  assert.match(rig.warnings[0] ?? "", /region 5, peer 51 at store 1.*keyNotInRegion, key out of region/);
});

Deno.test("EpochNotMatch with newer regions: installed, regrouped without waiting or asking", async () => {
  using rig = new Rig();
  await rig.locate();
  const currentRegions = [metaRegion("", "m", { version: 8n }), metaRegion("m", "", { id: 6n, version: 8n })];
  rig.answers = [{ regionError: { epochNotMatch: { currentRegions } } }];
  assert.equal(await rig.send(), null);
  assert.equal((await rig.locate("k")).version, 8n);
  assert.equal((await rig.locate("x")).id, 6n);
  assert.deepEqual(rig.lookUps, ["k", "store 1"]);
  assert.deepEqual(rig.runtime.slept, []);
  await rig.send();
  assert.deepEqual(rig.asked, [1n, 1n], "the store that answered leads, most likely");
});

Deno.test("EpochNotMatch with older regions: the same region after a wait", async () => {
  using rig = new Rig();
  const older = metaRegion("", "", { version: 6n });
  rig.answers = [{ regionError: { epochNotMatch: { currentRegions: [older] } } }];
  assert.deepEqual((await rig.send())?.value, key("value"));
  assert.deepEqual(rig.runtime.slept, [2]);
});

Deno.test("EpochNotMatch without regions: dropped, after a wait", async () => {
  using rig = new Rig();
  rig.answers = [{ regionError: { epochNotMatch: {} } }];
  assert.equal(await rig.send(), null);
  assert.deepEqual(rig.runtime.slept, [2]);
  await rig.get();
  assert.deepEqual(rig.lookUps, ["k", "store 1", "k"]);
});

Deno.test("EpochNotMatch with other regions, older than what is known of them: dropped, after a wait", async () => {
  using rig = new Rig();
  rig.layout = (place) => place < "m" ? pdRegion("", "m") : pdRegion("m", "", { id: 6n, version: 9n });
  await rig.locate("x");
  const currentRegions = [metaRegion("m", "", { id: 6n, version: 8n })];
  rig.answers = [{ regionError: { epochNotMatch: { currentRegions } } }];
  assert.equal(await rig.send(), null);
  assert.deepEqual(rig.runtime.slept, [2]);
});

Deno.test("DataIsNotReady: a stale read is asked again as a plain one", async () => {
  using rig = new Rig();
  rig.answers = [{ regionError: { dataIsNotReady: {} } }];
  await rig.send({ context: { staleRead: true, replicaRead: true } });
  const asked = rig.gets.map(({ context }) => [context?.staleRead, context?.replicaRead]);
  assert.deepEqual(asked, [[true, true], [false, false]]);
});

Deno.test("ServerIsBusy: waited for, and a follower is probed once after two such answers", async () => {
  using rig = new Rig();
  const busy = { regionError: { serverIsBusy: { reason: "too many" } } };
  rig.answers = [busy, busy, notLeader(1n), busy];
  await rig.send();
  assert.deepEqual(rig.asked, [1n, 1n, 2n, 1n, 1n]);
  assert.deepEqual(rig.runtime.slept, [1_500, 3_000, 6_000]);
});

Deno.test("ServerIsBusy from a store whose lead has moved: the probe finds the new leader", async () => {
  using rig = new Rig();
  rig.wire.on(address(1), Kv.get, () => ({ regionError: { serverIsBusy: {} } }));
  rig.wire.on(address(2), Kv.get, () => ({ regionError: { notLeader: { leader: peerOf(5n, 3n) } } }));
  assert.deepEqual((await rig.send())?.value, key("value"));
  assert.deepEqual(rig.asked, [1n, 1n, 2n, 3n]);
});

Deno.test("a store that said it is busy is the last one asked to help", async () => {
  using rig = new Rig();
  rig.layout = (place) => place < "m" ? pdRegion("", "m") : pdRegion("m", "", { id: 6n, leader: 2n });
  rig.answers = [{ regionError: { serverIsBusy: {} } }];
  const op = rig.runtime.operation();
  await rig.regions.send(await rig.locate("x"), Kv.get, { key: key("x") }, { op, timeoutMs: 1_000 });
  rig.answers = [notLeader(), notLeader(), notLeader()];
  await rig.send();
  assert.deepEqual(rig.asked, [2n, 2n, 1n, 3n, 2n]);
});

Deno.test("StaleCommand: the next replica is asked; a write's fate is uncertain until a reply", async () => {
  using rig = new Rig();
  rig.answers = [{ regionError: { staleCommand: {} } }];
  const fate = { uncertain: false };
  let then: boolean | undefined;
  rig.wire.on(address(2), Kv.get, () => {
    then = fate.uncertain;
    return { value: key("value") };
  });
  await rig.send({ fate });
  assert.deepEqual(rig.asked, [1n, 2n]);
  assert.deepEqual([then, fate.uncertain], [true, false]);
});

Deno.test("StoreNotMatch: the address is read anew and its connection given up", async () => {
  using rig = new Rig();
  await rig.send();
  rig.stores.set(1n, storeMessage(1n, { address: "elsewhere:20160" }));
  rig.wire.on("elsewhere:20160", Kv.get, () => ({ value: key("there") }));
  rig.answers = [{ regionError: { storeNotMatch: {} } }];
  assert.deepEqual((await rig.get()).value, key("there"));
  assert.deepEqual(rig.wire.disconnected, [address(1)]);
});

Deno.test("errors that no repetition mends fail at once, with a code", async () => {
  const cases: [Encodable<typeof RegionError>, string][] = [
    [{ raftEntryTooLarge: {} }, "too-large"],
    [{ flashbackInProgress: {} }, "aborted"],
    [{ flashbackNotPrepared: {} }, "aborted"],
    [{ message: "invalid max_ts update" }, "aborted"],
  ];
  for (const [regionError, code] of cases) {
    using rig = new Rig();
    rig.answers = [{ regionError }];
    await assert.rejects(rig.send(), withCode(code));
    assert.equal(rig.asked.length, 1);
  }
});

Deno.test("errors that pass are waited for at the same replica", async () => {
  const cases: [Encodable<typeof RegionError>, number[]][] = [
    [{ maxTimestampNotSynced: {} }, [2]],
    [{ readIndexNotReady: {} }, [2]],
    [{ proposalInMergingMode: {} }, [2]],
    [{ regionNotInitialized: {} }, [2]],
    [{ diskFull: {} }, [500]],
    [{ dataIsNotReady: {} }, []],
    [{ undeterminedResult: {} }, [2]],
  ];
  for (const [regionError, slept] of cases) {
    using rig = new Rig();
    rig.answers = [{ regionError }];
    assert.deepEqual((await rig.send())?.value, key("value"), String(Object.keys(regionError)[0]));
    assert.deepEqual(rig.asked, [1n, 1n]);
    assert.deepEqual(rig.runtime.slept, slept);
  }
});

Deno.test("errors that end what was known of a region make it looked up anew", async () => {
  const cases: [Encodable<typeof RegionError>, number[]][] = [
    [{ recoveryInProgress: {} }, [75]],
    [{ isWitness: {} }, [750]],
    [{ mismatchPeerId: {} }, [2]],
    [{ bucketVersionNotMatch: {} }, [2]],
  ];
  for (const [regionError, slept] of cases) {
    using rig = new Rig();
    rig.answers = [{ regionError }];
    assert.equal(await rig.send(), null);
    assert.deepEqual(rig.runtime.slept, slept);
    await rig.get();
    assert.deepEqual(rig.lookUps, ["k", "store 1", "k"]);
  }
});

Deno.test("DiskFull ends a prewrite with `disk-full`, and others once they have waited enough", async () => {
  using rig = new Rig();
  rig.wire.on("*", Kv.prewrite, () => ({ regionError: { diskFull: { reason: "no space" } } }));
  const op = rig.runtime.operation();
  const region = await rig.locate();
  await assert.rejects(
    rig.regions.send(region, Kv.prewrite, {}, { op, timeoutMs: 1_000 }),
    withCode("disk-full"),
  );
  rig.answers = Array.from({ length: 100 }, () => ({ regionError: { diskFull: {} } }));
  await assert.rejects(rig.get(), withCode("disk-full"));
});

Deno.test("an error that is only a message: every replica, then the region is looked up anew", async () => {
  using rig = new Rig();
  const odd = { regionError: { message: "region is being odd" } };
  rig.answers = [odd, odd, odd];
  assert.equal(await rig.send(), null);
  assert.deepEqual(rig.asked, [1n, 2n, 3n]);
});

Deno.test("every kind of region error, for ever, ends in a typed error within the budget", async () => {
  const kinds: Encodable<typeof RegionError>[] = [
    { message: "odd" },
    { notLeader: {} },
    { notLeader: { leader: peerOf(5n, 2n) } },
    { notLeader: { leader: peerOf(5n, 9n) } },
    { regionNotFound: {} },
    { keyNotInRegion: {} },
    { epochNotMatch: {} },
    { epochNotMatch: { currentRegions: [metaRegion("", "")] } },
    { epochNotMatch: { currentRegions: [metaRegion("", "", { id: 6n })] } },
    { epochNotMatch: { currentRegions: [metaRegion("", "", { version: 6n })] } },
    { serverIsBusy: {} },
    { serverIsBusy: { backoffMs: 1_000n } },
    { staleCommand: {} },
    { storeNotMatch: {} },
    { raftEntryTooLarge: {} },
    { maxTimestampNotSynced: {} },
    { readIndexNotReady: {} },
    { proposalInMergingMode: {} },
    { dataIsNotReady: {} },
    { regionNotInitialized: {} },
    { diskFull: {} },
    { recoveryInProgress: {} },
    { flashbackInProgress: {} },
    { flashbackNotPrepared: {} },
    { isWitness: {} },
    { mismatchPeerId: {} },
    { bucketVersionNotMatch: {} },
    { undeterminedResult: {} },
  ];
  for (const regionError of kinds) {
    using rig = new Rig();
    rig.wire.on("*", Kv.get, () => ({ regionError }));
    await assert.rejects(
      rig.get(),
      (error) => error instanceof TikvError,
      JSON.stringify(Object.keys(regionError)),
    );
    const busy = "serverIsBusy" in regionError;
    assert.ok(rig.runtime.nowMs() < (busy ? 622_000 : 22_000), `${rig.runtime.nowMs()} ms`);
    assert.ok(rig.asked.length < 1_000, `${Object.keys(regionError)} asked ${rig.asked.length} times`);
  }
});

// Lost connections and the liveness of stores.

Deno.test("a lost reply from a living store: asked again after a wait, as a retry", async () => {
  using rig = new Rig();
  rig.answers = [lost()];
  assert.deepEqual((await rig.send())?.value, key("value"));
  assert.deepEqual(rig.asked, [1n, 1n]);
  assert.deepEqual(rig.runtime.slept, [75]);
  assert.equal(rig.gets[1]?.context?.isRetryRequest, true);
  assert.equal(rig.wire.callsOf(StoreMethods.health).length, 1);
});

Deno.test("a store that is down: a follower is asked at once, and says who leads now", async () => {
  using rig = new Rig();
  rig.wire.down.add(address(1));
  rig.wire.on(address(2), Kv.get, () => ({ regionError: { notLeader: { leader: peerOf(5n, 3n) } } }));
  assert.deepEqual((await rig.get()).value, key("value"));
  assert.deepEqual(rig.asked, [1n, 2n, 3n]);
  assert.ok(!rig.runtime.slept.includes(75), "no wait before another store is asked");
});

Deno.test("a leader that answers only after long is asked no longer than a replica's time", async () => {
  using rig = new Rig();
  rig.wire.on(address(1), Kv.get, async () => {
    await rig.runtime.sleep(30_000);
    return lost("no answer", GrpcStatus.deadlineExceeded);
  });
  await rig.send();
  assert.deepEqual(rig.asked, [1n, 1n, 2n]);
});

Deno.test("a named leader that cannot be reached is not asked, nor is who named it", async () => {
  using rig = new Rig();
  rig.layout = (place) => place < "m" ? pdRegion("", "m") : pdRegion("m", "", { id: 6n, leader: 2n });
  rig.wire.down.add(address(2));
  const op = rig.runtime.operation();
  await rig.regions.send(await rig.locate("x"), Kv.get, { key: key("x") }, { op, timeoutMs: 1_000 });
  const before = rig.asked.length;
  rig.wire.on(address(1), Kv.get, () => ({ regionError: { notLeader: { leader: peerOf(5n, 2n) } } }));
  await rig.send();
  assert.deepEqual(rig.asked.slice(before), [1n, 3n]);
});

Deno.test("a follower is asked while the leader cannot be reached: a hibernating region then elects", async () => {
  using rig = new Rig();
  rig.wire.down.add(address(1));
  let asked = 0;
  // It still believes in the old leader until it wakes up.
  rig.wire.on(address(2), Kv.get, () => {
    asked += 1;
    return asked < 4 ? { regionError: { notLeader: { leader: peerOf(5n, 1n) } } } : { value: key("elected") };
  });
  rig.wire.on(address(3), Kv.get, () => ({ regionError: { notLeader: { leader: peerOf(5n, 1n) } } }));
  assert.deepEqual((await rig.get()).value, key("elected"));
  assert.equal(rig.asked.filter((id) => id === 1n).length, 1, "the unreachable one is not asked again");
});

Deno.test("all regions led by a store that went down are looked up anew, others stay", async () => {
  using rig = new Rig();
  rig.layout = (place) =>
    place < "g"
      ? pdRegion("", "g", { id: 5n })
      : place < "p"
      ? pdRegion("g", "p", { id: 6n })
      : pdRegion("p", "", { id: 7n, leader: 2n });
  for (const place of ["a", "k", "x"]) await rig.locate(place);
  rig.wire.down.add(address(1));
  await rig.get();
  rig.lookUps.length = 0;
  for (const place of ["a", "x"]) await rig.locate(place);
  assert.deepEqual(rig.lookUps, ["a"]);
});

Deno.test("a store that comes back is asked again, at its new address if it moved", async () => {
  using rig = new Rig();
  rig.layout = () => pdRegion("", "", { stores: [1n] });
  await rig.send();
  rig.wire.down.add(address(1));
  let checks = 0;
  rig.wire.on(
    "moved:20160",
    StoreMethods.health,
    () => ++checks < 3 ? refused("moved:20160") : { status: 1 },
  );
  rig.wire.on("moved:20160", Kv.get, () => ({ value: key("moved") }));
  rig.stores.set(1n, storeMessage(1n, { address: "moved:20160" }));
  assert.deepEqual((await rig.get()).value, key("moved"));
  assert.equal(checks, 3);
  assert.deepEqual(rig.wire.disconnected, [address(1)]);
});

Deno.test("a store that moved while it could not be reached is found when others say that it leads", async () => {
  using rig = new Rig();
  await rig.send();
  rig.wire.down.add(address(1));
  for (const other of [2n, 3n]) {
    rig.wire.on(address(other), Kv.get, () => ({ regionError: { notLeader: { leader: peerOf(5n, 1n) } } }));
  }
  rig.wire.on("moved:20160", StoreMethods.health, () => ({ status: 1 }));
  rig.wire.on("moved:20160", Kv.get, () => ({ value: key("moved") }));
  const startMs = rig.runtime.nowMs();
  rig.runtime.sleep(500).then(() => rig.stores.set(1n, storeMessage(1n, { address: "moved:20160" })));
  assert.deepEqual((await rig.get()).value, key("moved"));
  assert.ok(rig.runtime.nowMs() - startMs < 10_000, "long before its address is read in any case");
});

Deno.test("the address of an unreachable store is read at once and then every 30 seconds", async () => {
  using rig = new Rig();
  rig.layout = () => pdRegion("", "", { stores: [1n] });
  await rig.send();
  rig.wire.down.add(address(1));
  await assert.rejects(rig.get(rig.runtime.operation("get", 65_000)), withCode("unavailable"));
  const read = rig.lookUps.filter((each) => each === "store 1").length;
  assert.equal(read, 4, "first use, failure, after 30 and 60 s");
});

Deno.test("no store can be reached: `unavailable` once the budget is used", async () => {
  using rig = new Rig();
  for (const id of [1, 2, 3]) rig.wire.down.add(address(id));
  await assert.rejects(rig.get(), (error) => {
    assert.ok(withCode("unavailable")(error), String(error));
    assert.match((error as Error).message, /region 5: none of its stores can be reached/);
    return true;
  });
  assert.ok(rig.runtime.nowMs() < 22_000);
});

Deno.test("health: NOT_SERVING is unreachable, SERVICE_UNKNOWN and a store without the service are not", async () => {
  const cases: [number | Error, bigint[]][] = [
    [2, [1n, 2n]],
    [3, [1n, 1n]],
    [0, [1n, 1n]],
    [lost("no such service", GrpcStatus.unimplemented), [1n, 1n]],
    [lost("no answer", GrpcStatus.deadlineExceeded), [1n, 2n]],
  ];
  for (const [status, asked] of cases) {
    using rig = new Rig();
    rig.answers = [lost()];
    rig.wire.on("*", StoreMethods.health, () => status instanceof Error ? status : { status });
    await rig.send();
    assert.deepEqual(rig.asked, asked, String(status));
  }
});

Deno.test("many calls that fail at once share one health check", async () => {
  using rig = new Rig();
  await rig.send();
  rig.answers = Array.from({ length: 20 }, () => lost());
  await Promise.all(Array.from({ length: 20 }, () => rig.get()));
  assert.equal(rig.wire.callsOf(StoreMethods.health).length, 1);
});

Deno.test("many calls that fail at once see to one watch, and one that fails later asks for no check", async () => {
  using rig = new Rig();
  await rig.send();
  const late = Promise.withResolvers<Error>();
  let first = true;
  rig.wire.on(address(1), Kv.get, () => {
    if (!first) return lost();
    first = false;
    return late.promise;
  });
  rig.wire.on("*", StoreMethods.health, (_, asked) => asked === address(1) ? lost() : { status: 1 });
  const gets = Array.from({ length: 20 }, () => rig.get());
  await Promise.all(gets.slice(1));
  const checks = rig.wire.callsOf(StoreMethods.health).length;
  assert.equal(checks, 2, "one for all calls, and the first of the watch");
  late.resolve(lost());
  await gets[0];
  assert.equal(rig.wire.callsOf(StoreMethods.health).length, checks);
  assert.equal(rig.lookUps.filter((each) => each === "store 1").length, 2, "first use, and the watch");
});

Deno.test("peers on buried stores, on TiFlash and witnesses are never asked", async () => {
  using rig = new Rig();
  rig.layout = () => pdRegion("", "", { stores: [1n, 2n, 3n, 4n] });
  rig.stores.set(1n, storeMessage(1n, { state: StoreState.tombstone }));
  rig.stores.set(2n, storeMessage(2n, { labels: [{ key: "engine", value: "tiflash" }] }));
  rig.stores.set(4n, storeMessage(4n));
  const found = rig.layout("k");
  const witness = found.region?.peers[2];
  if (witness) witness.isWitness = true;
  rig.layout = () => found;
  assert.deepEqual((await rig.send())?.value, key("value"));
  assert.deepEqual(rig.asked, [4n]);
});

Deno.test("a peer that is down is the last one asked", async () => {
  using rig = new Rig();
  rig.layout = () => pdRegion("", "", { down: [2n] });
  rig.answers = [notLeader(), notLeader(), notLeader()];
  await rig.send();
  assert.deepEqual(rig.asked, [1n, 3n, 2n]);
});

// Fate of writes.

Deno.test("fate: uncertain after a lost reply, certain again after a reply without errors", async () => {
  using rig = new Rig();
  const fate = { uncertain: false };
  rig.answers = [lost()];
  await rig.send({ fate });
  assert.equal(fate.uncertain, false);
});

Deno.test("fate: a region error after a lost reply leaves it uncertain, over sends", async () => {
  using rig = new Rig();
  const fate = { uncertain: false };
  rig.answers = [lost(), { regionError: { epochNotMatch: {} } }];
  assert.equal(await rig.send({ fate }), null);
  assert.equal(fate.uncertain, true);
  rig.answers = [{ regionError: { raftEntryTooLarge: {} } }];
  await assert.rejects(rig.send({ fate }));
  assert.equal(fate.uncertain, true);
});

Deno.test("fate: an error of a key does not settle it", async () => {
  using rig = new Rig();
  const fate = { uncertain: true };
  rig.wire.on("*", Kv.get, () => ({ error: { retryable: "locked by another" } }));
  await rig.send({ fate });
  assert.equal(fate.uncertain, true);
  rig.wire.on("*", Kv.prewrite, () => ({ errors: [{ retryable: "locked by another" }] }));
  await rig.regions.send(await rig.locate(), Kv.prewrite, {}, {
    op: rig.runtime.operation(),
    timeoutMs: 1,
    fate,
  });
  assert.equal(fate.uncertain, true);
});

Deno.test("fate: what never left this process is certain", async () => {
  using rig = new Rig();
  const fate = { uncertain: false };
  rig.answers = [refused(address(1))];
  rig.wire.on("*", StoreMethods.health, () => {
    assert.equal(fate.uncertain, false);
    return { status: 1 };
  });
  await rig.send({ fate });
});

Deno.test("fate: UndeterminedResult ends a write that matters as `undetermined`", async () => {
  using rig = new Rig();
  const fate = { uncertain: false };
  rig.answers = [{ regionError: { undeterminedResult: {} } }];
  await assert.rejects(rig.send({ fate }), withCode("undetermined"));
  assert.equal(fate.uncertain, true);
});

Deno.test("fate: a caller who aborts while the request is under way leaves it uncertain", async () => {
  using rig = new Rig();
  const fate = { uncertain: false };
  const abort = new AbortController();
  rig.wire.on("*", Kv.get, () => {
    queueMicrotask(() => abort.abort());
    return new Promise<Error>(() => {});
  });
  const op = rig.runtime.operation("commit", 1_000, abort.signal);
  await assert.rejects(rig.send({ fate }, op), withCode("cancelled"));
  assert.equal(fate.uncertain, true);
});

// Errors of calls that are not the network's.

Deno.test("a method that a store lacks is `unsupported`, another cluster `wrong-cluster`, TLS as it is", async () => {
  const cases: [Error, string][] = [
    [lost("no such method", GrpcStatus.unimplemented), "unsupported"],
    [lost("cluster id mismatch, request 1, server 2", GrpcStatus.failedPrecondition), "wrong-cluster"],
    [new TikvError("tls", "certificate of another"), "tls"],
    [new TikvError("malformed", "not a message"), "malformed"],
  ];
  for (const [error, code] of cases) {
    using rig = new Rig();
    rig.answers = [error];
    await assert.rejects(rig.send(), withCode(code));
    assert.equal(rig.asked.length, 1);
  }
});

Deno.test("send() of a region that is not known any more is null, without a call", async () => {
  using rig = new Rig();
  const region = await rig.locate();
  rig.answers = [{ regionError: { mismatchPeerId: {} } }];
  await rig.send();
  const calls = rig.wire.calls.length;
  const op = rig.runtime.operation();
  assert.equal(await rig.regions.send(region, Kv.get, {}, { op, timeoutMs: 1_000 }), null);
  assert.equal(rig.wire.calls.length, calls);
});
