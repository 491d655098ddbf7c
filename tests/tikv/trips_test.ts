/**
 * How many round trips each operation takes: every row of the table "Round trips" in docs/tikv.md, on the scripted
 * cluster, with all that it needs cached but for what the row is about.
 */
import assert from "node:assert/strict";
import { type Client, connect, type ConnectOptions } from "../../lib/tikv/client.ts";
import { ScriptedCluster } from "./scripted/cluster.ts";
import { bytes, leaveLocks, shown, text } from "./transactions_testing.ts";
import { type Taken, Trips } from "./trips.ts";
import { waitFor } from "../parts/wait.ts";

/** Stores 1, 2 and 3 lead the regions that begin at "", "g" and "p". */
const KEYS = ["a", "g", "p"];
const STORES = [1n, 2n, 3n] as const;

interface Setting extends AsyncDisposable {
  cluster: ScriptedCluster;
  client: Client;
  trips(run: () => Promise<unknown>): Promise<Taken>;
  put(...keys: string[]): Promise<void>;
}

async function setting(commit: ConnectOptions["commit"] = {}, { warm = true } = {}): Promise<Setting> {
  const cluster = await ScriptedCluster.start({ stores: STORES.length });
  cluster.topology.split(bytes("g"), bytes("p"));
  KEYS.forEach((key, at) => cluster.topology.transferLeader(bytes(key), STORES[at] ?? null));
  const trips = new Trips();
  const client = await connect({ pd: cluster.addresses, commit, transport: trips.transport });
  const settled = () => waitFor("nothing in the background", 5_000, () => client.pending === 0);
  if (warm) await client.snapshot().getMany(KEYS.map(bytes));
  return {
    cluster,
    client,
    trips: (run) => trips.of(run, settled),
    async put(...keys) {
      await client.transaction((tx) => keys.forEach((key) => tx.put(bytes(key), bytes(key))));
      await settled();
    },
    async [Symbol.asyncDispose]() {
      await client.close();
      await cluster.stop();
    },
  };
}

const numbered = (count: number) => Array.from({ length: count }, (_, at) => `k${1_000 + at}`);

Deno.test("reads take the round trips of the table", async (test) => {
  await using s = await setting();
  await s.put(...numbered(250), "a", "p");
  const only = (...before: string[]): Taken => ({ before, after: [] });

  await test.step("point get of the latest: one to the store", async () => {
    assert.deepEqual(await s.trips(() => s.client.latest(bytes("a"))), only("KvGet"));
  });

  await test.step("get in a transaction: one to PD and one to the store, later one to the store", async () => {
    const reads = async () => {
      await using tx = s.client.begin();
      for (const key of KEYS) await tx.get(bytes(key));
    };
    assert.deepEqual(await s.trips(reads), only("Tso", "KvGet", "KvGet", "KvGet"));
  });

  await test.step("the timestamp of a transaction is on its way from its beginning", async () => {
    await using tx = s.client.begin();
    await tx.startTs;
    assert.deepEqual(await s.trips(() => tx.get(bytes("a"))), only("KvGet"));
  });

  await test.step("batch get over three regions of three stores: one, side by side", async () => {
    await using tx = s.client.begin();
    await tx.startTs;
    const read = () => tx.getMany([...KEYS, ...numbered(20)].map(bytes));
    assert.deepEqual(await s.trips(read), only("KvBatchGet x3"));
  });

  await test.step("scan: one for each page, and one for each further region", async () => {
    const within = { from: bytes("k"), to: bytes("l") };
    await using tx = s.client.begin();
    await tx.startTs;
    for (const reverse of [false, true]) {
      const options = { pagePairs: 100, reverse };
      const scan = (range: object) => s.trips(() => shown(tx.scan(range, options)));
      assert.deepEqual(await scan(within), only("KvScan", "KvScan", "KvScan"));
      assert.deepEqual(await scan({}), only("KvScan", "KvScan", "KvScan", "KvScan", "KvScan"));
    }
  });

  await test.step("commit of a transaction that only read: none", async () => {
    const tx = s.client.begin();
    await tx.get(bytes("a"));
    assert.deepEqual(await s.trips(() => tx.commit()), only());
  });
});

Deno.test("commits take the round trips of the table", async (test) => {
  const trips = async (commit: ConnectOptions["commit"], ...keys: string[]): Promise<Taken> => {
    await using s = await setting(commit);
    const tx = s.client.begin();
    await tx.startTs;
    for (const key of keys) tx.put(bytes(key), bytes("1"));
    return await s.trips(() => tx.commit());
  };

  await test.step("two phases: prewrite, PD, the primary; the other keys afterwards", async () => {
    const commit = { onePhase: false, async: false };
    assert.deepEqual(await trips(commit, "a"), { before: ["KvPrewrite", "Tso", "KvCommit"], after: [] });
    assert.deepEqual(await trips(commit, ...KEYS), {
      before: ["KvPrewrite x3", "Tso", "KvCommit"],
      after: ["KvCommit x2"],
    });
  });

  await test.step("async commit: PD and prewrite, over any number of regions; all else afterwards", async () => {
    assert.deepEqual(await trips({}, ...KEYS), { before: ["Tso", "KvPrewrite x3"], after: ["KvCommit x3"] });
    assert.deepEqual(await trips({ causal: true }, ...KEYS), {
      before: ["KvPrewrite x3"],
      after: ["KvCommit x3"],
    });
  });

  await test.step("one phase: PD and prewrite, nothing afterwards", async () => {
    assert.deepEqual(await trips({}, "a", "b"), { before: ["Tso", "KvPrewrite"], after: [] });
    assert.deepEqual(await trips({ causal: true }, "a"), { before: ["KvPrewrite"], after: [] });
  });
});

Deno.test("a cold region takes one to PD more, a new store another, however many ask at once", async () => {
  await using s = await setting({}, { warm: false });
  const { before } = await s.trips(() =>
    Promise.all(Array.from({ length: 10 }, () => s.client.latest(bytes("a"))))
  );
  assert.deepEqual(before, ["GetRegion", "GetStore", "KvGet x10"]);
  s.cluster.topology.transferLeader(bytes("p"), STORES[0]);
  assert.deepEqual((await s.trips(() => s.client.latest(bytes("p")))).before, ["GetRegion", "KvGet"]);
});

Deno.test("a lock met by a read takes two more, the status and the read again; it is cleared beside that", async (test) => {
  await using s = await setting();
  await s.put("b", "c");
  const read = async (key: string) => {
    let value: string | null = null;
    const { before } = await s.trips(async () => value = text(await s.client.snapshot().get(bytes(key))));
    return { before, value };
  };

  await test.step("one that lives is pushed, not waited for", async () => {
    leaveLocks(s.cluster, { puts: { b: "new" } });
    assert.deepEqual(await read("b"), { before: ["Tso", "KvGet", "KvCheckTxnStatus", "KvGet"], value: "b" });
  });

  await test.step("one whose time has passed is rolled back", async () => {
    leaveLocks(s.cluster, { puts: { p: "new", c: "new" }, ttlMs: 0 });
    const { before, value } = await read("c");
    assert.deepEqual(before, ["Tso", "KvGet", "KvCheckTxnStatus", "KvGet + KvResolveLock"]);
    assert.equal(value, "c");
  });
});

Deno.test("a split and a moved leader take one more: the refusal carries the news", async () => {
  await using s = await setting();
  await s.put("a", "h");
  s.cluster.topology.split(bytes("b"));
  assert.deepEqual((await s.trips(() => s.client.latest(bytes("a")))).before, ["KvGet", "KvGet"]);
  assert.deepEqual((await s.trips(() => s.client.latest(bytes("a")))).before, ["KvGet"]);
  s.cluster.topology.transferLeader(bytes("h"), STORES[2]);
  assert.deepEqual((await s.trips(() => s.client.latest(bytes("h")))).before, ["KvGet", "KvGet"]);
  assert.deepEqual((await s.trips(() => s.client.latest(bytes("h")))).before, ["KvGet"]);
});
