/**
 * Regions that change, and stores that answer with every region error, in the middle of every operation, on the
 * scripted cluster: each ends as if nothing had happened, or with an error of its own within its budget.
 */
import assert from "node:assert/strict";
import type { ConnectOptions } from "../../lib/tikv/client.ts";
import { TikvError } from "../../lib/tikv/errors.ts";
import { Fault, type MethodName } from "./scripted/calls.ts";
import type { ScriptedCluster } from "./scripted/cluster.ts";
import type { RegionErrorInit } from "./scripted/topology.ts";
import { bytes, fastRuntime, lockedKeys, shown, type Stage, stage, text } from "./transactions_testing.ts";

/** How much faster the clients' time runs: their limits for calls have to hold on a busy machine. */
const HURRY = 10;
const KEYS = ["a", "b", "y", "z"];
const OLD = KEYS.map((key) => `${key}=old`);
const NEW = KEYS.map((key) => `${key}=new`);

interface Operation {
  name: string;
  /** The request in whose middle something happens. */
  method: MethodName;
  commit?: ConnectOptions["commit"];
  /** Does it, and says what came of it. */
  run(s: Stage): Promise<unknown>;
  expected: unknown;
}

const put = (keys: string[]) => async (s: Stage) => {
  await s.put(Object.fromEntries(keys.map((key) => [key, "new"])));
  return await shown(s.client.snapshot().scan());
};

const READS: Operation[] = [
  { name: "a get", method: "get", run: (s) => s.value("b"), expected: "old" },
  {
    name: "a get of the latest value",
    method: "get",
    run: async (s) => text(await s.client.latest(bytes("b"))),
    expected: "old",
  },
  {
    name: "a batch get",
    method: "batchGet",
    run: async (s) => (await s.client.snapshot().getMany(KEYS.map(bytes))).map(text),
    expected: KEYS.map(() => "old"),
  },
  {
    name: "a scan",
    method: "scan",
    run: (s) => shown(s.client.snapshot().scan({}, { pagePairs: 2 })),
    expected: OLD,
  },
  {
    name: "a reverse scan",
    method: "scan",
    run: (s) => shown(s.client.snapshot().scan({}, { reverse: true, pagePairs: 2 })),
    expected: OLD.toReversed(),
  },
];

const WRITES: Operation[] = [
  {
    name: "a one-phase commit",
    method: "prewrite",
    run: put(["a", "b"]),
    expected: [...NEW.slice(0, 2), ...OLD.slice(2)],
  },
  {
    name: "the prewrite of an async commit",
    method: "prewrite",
    commit: { onePhase: false },
    run: put(KEYS),
    expected: NEW,
  },
  {
    name: "the prewrite of a two-phase commit",
    method: "prewrite",
    commit: { onePhase: false, async: false },
    run: put(KEYS),
    expected: NEW,
  },
  {
    name: "the commit of the primary",
    method: "commit",
    commit: { onePhase: false, async: false },
    run: put(KEYS),
    expected: NEW,
  },
  {
    name: "a pessimistic lock",
    method: "pessimisticLock",
    run: async (s) => {
      await s.client.transaction(async (tx) => {
        await tx.lockNow(...KEYS.map(bytes));
        for (const key of KEYS) tx.put(bytes(key), bytes("new"));
      });
      return await shown(s.client.snapshot().scan());
    },
    expected: NEW,
  },
];

async function prepared({ commit }: Pick<Operation, "commit">, hurry: number): Promise<Stage> {
  const s = await stage({ ...commit && { commit }, runtime: fastRuntime(hurry) });
  s.cluster.topology.split(bytes("m"));
  await s.put(Object.fromEntries(KEYS.map((key) => [key, "old"])));
  await shown(s.client.snapshot().scan()); // warms the caches
  await s.settled();
  s.cluster.calls.clear();
  return s;
}

async function leavesNothing(s: Stage, { method }: Operation): Promise<void> {
  await s.settled();
  assert.deepEqual(lockedKeys(s.cluster), []);
  assert.deepEqual(s.corrupt, []);
  for (const key of KEYS) {
    const commits = s.cluster.mvcc.rows.row(bytes(key)).writes.filter(({ kind }) => kind === "put");
    assert.ok(commits.length <= 2, `${key} was committed more than once`);
  }
  assert.ok(s.cluster.calls.of(method).length > 1, "it was asked again");
}

const CHANGES: [name: string, change: (cluster: ScriptedCluster) => void | Promise<void>][] = [
  ["the region splits", ({ topology }) => topology.split(bytes("b"), bytes("z"))],
  ["the region merges with its neighbour", ({ topology }) => topology.merge(bytes("a"))],
  ["the region splits and merges again", ({ topology }) => {
    topology.split(bytes("b"));
    topology.merge(bytes("a"));
  }],
  ["the leader moves", ({ topology }) => {
    for (const key of KEYS) topology.transferLeader(bytes(key), 2n);
  }],
  ["the leader is gone and another is elected when it is asked", ({ topology }) => {
    for (const key of KEYS) topology.transferLeader(bytes(key), null);
    setTimeout(() => KEYS.forEach((key) => topology.transferLeader(bytes(key), 3n)), 20);
  }],
  ["the leader's store dies", (cluster) => cluster.stopStore(1n)],
  ["the leader's store starts anew at another address", (cluster) => cluster.moveStore(1n)],
  ["two stores change places", (cluster) => cluster.swapStores(1n, 2n)],
];

for (const operation of [...READS, ...WRITES]) {
  for (
    const isExecuted of operation.method === "prewrite" || operation.method === "commit"
      ? [false, true]
      : [false]
  ) {
    const when = isExecuted ? "after its execution, and the answer is lost" : "before its execution";
    Deno.test(`${operation.name}: whatever becomes of its region ${when}, it comes to its end`, async (t) => {
      for (const [name, change] of CHANGES) {
        await t.step(name, async () => {
          await using s = await prepared(operation, HURRY);
          s.cluster.intercept(operation.method, async (_, execute) => {
            if (isExecuted) await execute();
            // A store that ends waits for the answers it owes: so the change goes on beside this one.
            const changed = Promise.resolve(change(s.cluster));
            if (isExecuted) return Fault.brokenStream();
            await Promise.race([changed, new Promise((resolve) => setTimeout(resolve, 10))]);
            return await execute();
          });
          assert.deepEqual(await operation.run(s), operation.expected);
          await leavesNothing(s, operation);
        });
      }
    });
  }
}

/** Each once; what the table of the client says about it: go on. */
const PASSING: RegionErrorInit[] = [
  { notLeader: { regionId: 1n } },
  { notLeader: { regionId: 1n, leader: { id: 999n, storeId: 999n } } },
  { regionNotFound: { regionId: 1n } },
  { keyNotInRegion: { regionId: 1n } },
  { epochNotMatch: { currentRegions: [] } },
  { serverIsBusy: { reason: "test" } },
  { staleCommand: {} },
  { storeNotMatch: { requestStoreId: 1n, actualStoreId: 2n } },
  { maxTimestampNotSynced: {} },
  { readIndexNotReady: {} },
  { proposalInMergingMode: {} },
  { regionNotInitialized: {} },
  { recoveryInProgress: {} },
  { isWitness: {} },
  { mismatchPeerId: { requestPeerId: 1n, storePeerId: 2n } },
  { message: "something that this client does not know" },
];

for (const operation of [...READS, ...WRITES]) {
  Deno.test(`${operation.name}: every region error that passes is followed`, async (t) => {
    for (const regionError of PASSING) {
      const name = Object.keys(regionError)[0] ?? "";
      await t.step(name, async () => {
        await using s = await prepared(operation, HURRY);
        s.cluster.intercept(operation.method, () => ({ regionError }));
        assert.deepEqual(await operation.run(s), operation.expected);
        await leavesNothing(s, operation);
      });
    }
  });
}

/** Each for ever: how the operation ends. */
const LASTING: [regionError: RegionErrorInit, codes: string[]][] = [
  [{ notLeader: { regionId: 1n } }, ["timeout", "unavailable"]],
  [{ epochNotMatch: { currentRegions: [] } }, ["timeout", "unavailable"]],
  [{ maxTimestampNotSynced: {} }, ["timeout", "unavailable"]],
  [{ raftEntryTooLarge: { regionId: 1n } }, ["too-large"]],
  [{ flashbackInProgress: {} }, ["aborted"]],
];

/** What a user calls, for the budget is that of each call. */
function attempt(s: Stage, { method, run }: Operation): Promise<unknown> {
  if (READS.some((read) => read.run === run)) return run(s);
  const tx = s.client.begin();
  if (method === "pessimisticLock") return tx.lockNow(...KEYS.map(bytes)).finally(() => tx.rollback());
  for (const key of KEYS) tx.put(bytes(key), bytes("new"));
  return tx.commit();
}

for (const [regionError, codes] of LASTING) {
  const [name] = Object.keys(regionError);
  Deno.test(`${name} for ever ends every operation with a typed error, within its budget`, async () => {
    await Promise.all([...READS, ...WRITES].map(async (operation) => {
      await using s = await prepared(operation, HURRY);
      const stop = s.cluster.intercept(operation.method, () => ({ regionError }), { times: Infinity });
      const error: unknown = await attempt(s, operation).then(() => null, (error) => error);
      stop();
      assert.ok(error instanceof TikvError, `${operation.name}: ${error}`);
      assert.ok(codes.includes(error.code), `${operation.name}: ${error.code}: ${error.message}`);
      assert.deepEqual(await shown(s.client.snapshot().scan()), OLD, operation.name);
    }));
  });
}

Deno.test("a full disk ends a commit with `disk-full`, and reads go on", async () => {
  await using s = await prepared({}, HURRY);
  s.cluster.intercept("prewrite", () => ({ regionError: { diskFull: { reason: "test" } } }), {
    times: Infinity,
  });
  await assert.rejects(s.put({ a: "new" }), { code: "disk-full", retry: false });
  assert.deepEqual(await shown(s.client.snapshot().scan()), OLD);
});
