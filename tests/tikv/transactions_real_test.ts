/**
 * Transactions on real PD and unistore, beside the official Go client on the same keys: each reads what the other
 * wrote, and each settles what a dead client of the other kind left.
 *
 * Our async commits are not left for the Go client: it would ask for their secondaries in a batch, and that ends a
 * unistore.
 */
import assert from "node:assert/strict";
import { type Client, connect, type ConnectOptions } from "../../lib/tikv/client.ts";
import { TikvError } from "../../lib/tikv/errors.ts";
import { waitFor } from "../parts/wait.ts";
import { startTikv } from "../parts/tikv.ts";
import { type GoCommit, type LeftKind, startGoClient } from "./go_client.ts";
import { bytes, shown, text } from "./transactions_testing.ts";

const LEFT_TTL_MS = 1_500;
const numbered = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, at) => `${prefix}${String(at).padStart(4, "0")}`);

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
  await using cluster = await startTikv();
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

  await t.step("what a dead Go client left is settled as the Go client would", async () => {
    const outcomes: Record<LeftKind, "old" | "new"> = {
      "prewritten": "old",
      "primary-committed": "new",
      "secondaries-only": "old",
      "primary-rolled-back": "old",
      "pessimistic": "old",
      "async-commit": "new",
      "async-commit-partial": "old",
    };
    for (const [kind, expected] of Object.entries(outcomes) as [LeftKind, "old" | "new"][]) {
      const keys = numbered(`left/${kind}/`, kind === "primary-committed" ? 3_000 : 10);
      await put(client, Object.fromEntries(keys.map((key) => [key, "old"])));
      await using dies = await startGoClient(cluster.pd);
      const left = await dies.leave(
        kind,
        keys.map((key) => [bytes(key), bytes("new")] as const),
        LEFT_TTL_MS,
      );
      assert.equal(left.commitTs > 0n, expected === "new", kind);

      const range = { from: bytes(`left/${kind}/`), to: bytes(`left/${kind}0`) };
      const seen = await shown(client.snapshot().scan(range));
      assert.deepEqual(seen, keys.map((key) => `${key}=${expected}`), kind);
      await put(client, Object.fromEntries([[keys[0], "mine"], [keys.at(-1), "mine"]]));
      const [first, second] = await go.get([keys[0] ?? "", keys[1] ?? ""].map(bytes));
      assert.deepEqual([text(first ?? null), text(second ?? null)], ["mine", expected], kind);
    }
  });

  await t.step("what a dead client of ours left is settled by the Go client as by us", async () => {
    const twoPhase = { commit: { onePhase: false, async: false } };
    const others = ["KvBatchRollback", "KVPessimisticRollback", "KvTxnHeartBeat"];
    await cluster.splitAt([bytes("dead/m")]);
    for (const settler of ["go", "ours"]) {
      const prefix = (key: string) => `dead/${key}/${settler}`;
      const keys = [prefix("a"), prefix("z")];
      const [a = "", z = ""] = keys;
      await put(client, { [a]: "old", [z]: "old" });
      const read = async () =>
        settler === "go"
          ? (await go.get(keys.map(bytes))).map(text)
          : (await client.snapshot().getMany(keys.map(bytes))).map(text);

      const prewritten = await dying(cluster.pd, ["KvCommit", ...others], twoPhase);
      const lost = put(prewritten.client, { [a]: "new", [z]: "new" }).catch(() => "lost");
      await prewritten.held;
      await prewritten.kill();
      assert.equal(await lost, "lost");
      assert.deepEqual(await read(), ["old", "old"], "prewritten");

      let commits = 0;
      const half = await connect({
        pd: cluster.pd,
        ...twoPhase,
        transport: (wire) => ({
          ...wire,
          call: (address, method, request, options) => {
            const late = method.path.endsWith("/KvCommit") && ++commits > 1;
            return late
              ? Promise.reject(new TikvError("closed", "killed"))
              : wire.call(address, method, request, options);
          },
        }),
      });
      await put(half, { [a]: "half", [z]: "half" });
      await half.close();
      assert.deepEqual(await read(), ["half", "half"], "primary committed");

      const pessimistic = await dying(cluster.pd, ["KvPrewrite", ...others]);
      const tx = pessimistic.client.begin();
      await tx.lockNow(...keys.map(bytes));
      await pessimistic.kill();
      assert.deepEqual(await read(), ["half", "half"], "pessimistic");
    }
  });

  await t.step(
    "increments survive splits and moves of leaders: each that was acknowledged, once",
    async () => {
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
    "the death of the store that leads: every acknowledged commit is there afterwards",
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
      const dead = cluster.stores.find(({ address }) => address === leader);
      assert.ok(dead);
      await dead.kill();
      const before = acknowledged.length;
      await waitFor("commits at the next leader", 60_000, () => acknowledged.length > before + 50);
      stop.abort();
      await writers;
      const values = await client.snapshot().getMany(acknowledged.map(bytes));
      assert.ok(values.every((value) => text(value) === "v"));
      await dead.start();
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
