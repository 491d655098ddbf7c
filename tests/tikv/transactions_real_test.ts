/**
 * Transactions on real servers, beside the official Go client on the same keys: each reads what the other
 * wrote. What dead clients leave: interop_test.ts.
 */
import assert from "node:assert/strict";
import { type Client, connect, type ConnectOptions } from "../../lib/tikv/client.ts";
import { TikvError } from "../../lib/tikv/errors.ts";
import { waitFor } from "../parts/wait.ts";
import { anyCluster } from "./any_cluster.ts";
import { type GoCommit, startGoClient } from "./go_client.ts";
import { bytes, numbered, shown, text } from "./transactions_testing.ts";

async function put(client: Client, entries: Record<string, string>): Promise<void> {
  await client.transaction((tx) => {
    for (const [key, value] of Object.entries(entries)) tx.put(bytes(key), bytes(value));
  });
}

/** A client whose calls of `methods` are never made, and who is then killed: it closes without anything. */
async function dying(
  pd: readonly string[],
  methods: readonly string[],
  options: Partial<ConnectOptions> = {},
) {
  const dead = Promise.withResolvers<never>();
  dead.promise.catch(() => {});
  const held = Promise.withResolvers<void>();
  const client = await connect({
    pd,
    ...options,
    transport: (wire) => ({
      ...wire,
      call: (address, method, request, callOptions) => {
        if (!methods.some((name) => method.path.endsWith(`/${name}`))) {
          return wire.call(address, method, request, callOptions);
        }
        held.resolve();
        return dead.promise;
      },
    }),
  });
  return {
    client,
    /** Resolves when the first of those calls is held. */
    held: held.promise,
    async kill() {
      dead.reject(new TikvError("closed", "killed"));
      await client.close();
    },
  };
}

Deno.test("transactions on a real cluster, beside the official Go client", async (t) => {
  await using cluster = await anyCluster();
  const corrupt: string[] = [];
  await using client = await connect({ pd: cluster.pd, onCorrupt: ({ message }) => corrupt.push(message) });
  await using go = await startGoClient(cluster.pd);

  await t.step("each reads what the other wrote, in every way to commit", async () => {
    await cluster.splitAt([bytes("both/m")]);
    const modes: [GoCommit, ConnectOptions["commit"]][] = [
      ["1pc", {}],
      ["async", { onePhase: false }],
      ["2pc", { onePhase: false, async: false }],
    ];
    for (const [mode, commit] of modes) {
      await using ours = await connect({ pd: cluster.pd, commit });
      const keys = ["a", "b", "y", "z"].map((key) => `both/${mode}/${key}`);
      const [low, high] = [keys.slice(0, 2), keys.map((key) => key.replace("both/", "both/m/"))];
      await put(ours, Object.fromEntries([...low, ...high].map((key) => [key, "ours"])));
      const seen = await go.get([...low, ...high].map(bytes));
      assert.deepEqual(new Set(seen.map(text)), new Set(["ours"]));

      await go.put([...low, ...high].map((key) => [bytes(key), bytes("theirs")] as const), { commit: mode });
      const read = await ours.snapshot().getMany([...low, ...high].map(bytes));
      assert.deepEqual(new Set(read.map(text)), new Set(["theirs"]));
      await go.delete(high.map(bytes), { commit: mode });
      const range = { from: bytes(`both/${mode}/`), to: bytes(`both/${mode}0`) };
      assert.deepEqual(await shown(ours.snapshot().scan(range)), low.map((key) => `${key}=theirs`));
    }
  });

  await t.step(
    "increments survive splits and moves of leaders: each that was acknowledged, once",
    async () => {
      // In two phases: unistore commits otherwise below the snapshots of readers that it is just answering.
      await using client = await connect({ pd: cluster.pd, commit: { onePhase: false, async: false } });
      const counters = numbered("count/", 6);
      await put(client, Object.fromEntries(counters.map((key) => [key, "0"])));
      let done = 0;
      let stirring = true;
      const stir = async () => {
        for (const key of counters.slice(1)) {
          if (!stirring) return;
          await cluster.splitAt([bytes(key)]);
          await cluster.transferLeader(bytes(key));
        }
      };
      const work = async (worker: number) => {
        for (let round = 0; round < 40; round++) {
          await client.transaction(async (tx) => {
            const pair = [(worker + round) % 6, (worker + round * 2 + 1) % 6].map((at) =>
              bytes(counters[at] ?? "")
            );
            const values = await tx.getMany(pair);
            pair.forEach((key, at) => tx.put(key, bytes(String(Number(text(values[at] ?? null)) + 1))));
            return new Set(pair.map((key) => text(key))).size;
          }).then((changed) => done += changed);
        }
      };
      const stirred = stir();
      await Promise.all(Array.from({ length: 8 }, (_, worker) => work(worker)));
      stirring = false;
      await stirred;
      const values = await client.snapshot().getMany(counters.map(bytes));
      assert.equal(values.reduce((sum, value) => sum + Number(text(value)), 0), done);
      const theirs = await go.get(counters.map(bytes));
      assert.deepEqual(theirs.map(text), values.map(text));
    },
  );

  await t.step(
    "a scan over many regions gives every key once, either way, as the Go client has it",
    async () => {
      const keys = numbered("scan/", 2_000);
      for (let at = 0; at < keys.length; at += 500) {
        await put(client, Object.fromEntries(keys.slice(at, at + 500).map((key) => [key, key])));
      }
      await cluster.splitAt([keys[300], keys[301], keys[1_500]].map((key) => bytes(key ?? "")));
      const range = { from: bytes("scan/"), to: bytes("scan0") };
      const forward = await shown(client.snapshot().scan(range, { pagePairs: 100 }));
      assert.deepEqual(forward, keys.map((key) => `${key}=${key}`));
      assert.deepEqual(await shown(client.snapshot().scan(range, { reverse: true })), forward.toReversed());
      const limited = await shown(client.snapshot().scan(range, { limit: 450, keysOnly: true }));
      assert.equal(limited.length, 450);
      const theirs = await go.scan({ ...range, limit: 10_000 });
      assert.equal(theirs.length, keys.length);
    },
  );

  await t.step(
    `the leader ${
      cluster.servers ? "is killed" : "moves away"
    }: every acknowledged commit is there afterwards`,
    async () => {
      const acknowledged: string[] = [];
      const stop = new AbortController();
      const write = async (worker: number) => {
        for (let at = 0; !stop.signal.aborted; at++) {
          const key = `kill/${worker}/${at}`;
          await put(client, { [key]: "v" });
          acknowledged.push(key);
        }
      };
      await put(client, { "kill/0": "v" });
      const writers = Promise.all([0, 1, 2, 3].map(write));
      await waitFor("some commits", 10_000, () => acknowledged.length > 50);
      const leader = await cluster.leaderOf(bytes("kill/"));
      const dead = cluster.servers?.stores.find(({ address }) => address === leader);
      // The servers of a given cluster are not ours to kill: there the leader moves away.
      if (dead) await dead.kill();
      else await cluster.transferLeader(bytes("kill/"));
      const before = acknowledged.length;
      await waitFor("commits at the next leader", 60_000, () => acknowledged.length > before + 50);
      stop.abort();
      await writers;
      const values = await client.snapshot().getMany(acknowledged.map(bytes));
      assert.ok(values.every((value) => text(value) === "v"));
      await dead?.start();
    },
  );

  await t.step("the latest value is read past a living transaction's lock", async () => {
    await put(client, { "living/a": "old", "living/z": "old" });
    const other = await dying(cluster.pd, ["KvCommit", "KvBatchRollback"], {
      commit: { onePhase: false, async: false },
    });
    const committing = put(other.client, { "living/a": "new", "living/z": "new" }).catch(() => {});
    await other.held;
    assert.equal(text(await client.latest(bytes("living/z"))), "old");
    assert.equal(text(await client.snapshot().get(bytes("living/z"))), "old");
    await other.kill();
    await committing;
  });

  await t.step(
    "garbage: old locks are settled, the safe point moves, a reader below it is refused",
    async () => {
      const old = await client.timestamp();
      await using dies = await startGoClient(cluster.pd);
      const keys = numbered("garbage/", 20);
      await dies.leave("prewritten", keys.map((key) => [bytes(key), bytes("new")] as const), 600_000);
      await waitFor("a second to pass", 5_000, async () => await client.timestamp() - old > 2_000n << 18n);
      const round = await client.collectGarbage({ retentionMs: 1_000 });
      assert.ok(
        round.advanced && round.safePoint > old && round.locks >= keys.length,
        JSON.stringify(round.locks),
      );
      // A snapshot younger than ten seconds is not even looked at.
      await waitFor(
        "the snapshot refused",
        30_000,
        () =>
          client.snapshot({ at: old }).get(bytes("a")).then(() => false, ({ code }) => code === "too-old"),
      );
    },
  );

  await t.step("nothing was reported as damage", () => {
    assert.deepEqual(corrupt, []);
  });
});
