/** The Go client as a child does what interoperation tests and benches rely on. */
import assert from "node:assert/strict";
import { startTikv } from "../parts/tikv.ts";
import { waitFor } from "../parts/wait.ts";
import { type GoPair, type GoTransfer, type LeftKind, startGoClient } from "./go_client.ts";

const ACCOUNTS = 8;
const BALANCE = 100;
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | null | undefined) => value ? new TextDecoder().decode(value) : null;

/** What another client finds where one died. */
const OUTCOMES: Record<LeftKind, "old" | "new"> = {
  "prewritten": "old",
  "primary-committed": "new",
  "secondaries-only": "old",
  "primary-rolled-back": "old",
  "pessimistic": "old",
  "async-commit": "new",
  "async-commit-partial": "old",
};

Deno.test("the official Go client as a child", async (t) => {
  await using cluster = await startTikv({ stores: 1 });
  await using client = await startGoClient(cluster.pd);

  await t.step("leave() dies with locks of every kind, which another client settles", async () => {
    for (const [kind, outcome] of Object.entries(OUTCOMES) as [LeftKind, "old" | "new"][]) {
      const keys = [`${kind}/a`, `${kind}/b`, `${kind}/c`];
      await client.put(keys.map((key): GoPair => [bytes(key), bytes("old")]));
      const dying = await startGoClient(cluster.pd);
      const left = await dying.leave(kind, keys.map((key): GoPair => [bytes(key), bytes("new")]), 500);
      assert.equal(text(left.primary), `${kind}/a`);
      await assert.rejects(dying.get([bytes("a")]), /ended by code 0/);
      // A pessimistic lock stops no reader but every writer.
      await client.put([[bytes(`${kind}/c`), bytes("written")]]);
      const found = (await client.get(keys.map(bytes))).map(text);
      assert.deepEqual(found, [outcome, outcome, "written"], kind);
    }
  });

  await t.step("leave() locks thousands of keys over several regions", async () => {
    const keys = Array.from({ length: 3_000 }, (_, index) => bytes(`many/${String(index).padStart(5, "0")}`));
    await cluster.splitAt([bytes("many/01000"), bytes("many/02000")]);
    const dying = await startGoClient(cluster.pd);
    await dying.leave("primary-committed", keys.map((key): GoPair => [key, bytes("new")]), 500);
    const found = await client.scan({ from: bytes("many/"), to: bytes("many0"), limit: 5_000 });
    assert.equal(found.length, 3_000);
  });

  await t.step("a snapshot of the past stays as it was", async () => {
    const { commitTs } = await client.put([[bytes("past/a"), bytes("1")]], { commit: "1pc" });
    await client.put([[bytes("past/a"), bytes("2")]], { commit: "async" });
    assert.deepEqual((await client.get([bytes("past/a")], { at: commitTs })).map(text), ["1"]);
    await client.delete([bytes("past/a")]);
    assert.deepEqual(await client.get([bytes("past/a")]), [null]);
  });

  await t.step(
    "bank() keeps the sum, and every transfer that it printed is there after kill -9",
    async () => {
      const accounts = Array.from(
        { length: ACCOUNTS },
        (_, index) => bytes(`bank/a/${String(index).padStart(4, "0")}`),
      );
      await client.put(accounts.map((key): GoPair => [key, bytes(`${BALANCE}`)]));
      const seen: GoTransfer[] = [];
      const bank = {
        prefix: bytes("bank/"),
        accounts: ACCOUNTS,
        onTransfer: (one: GoTransfer) => seen.push(one),
      };
      const killed = await startGoClient(cluster.pd);
      const closed = await startGoClient(cluster.pd);
      const ofKilled = killed.bank({ ...bank, worker: "killed" });
      // In two phases, both: unistore commits otherwise below the snapshots that it is just answering, and loses one.
      const ofClosed = closed.bank({ ...bank, worker: "closed" });
      await waitFor(
        "transfers of both",
        20_000,
        () => new Set(seen.map(({ name }) => name.slice(0, 6))).size === 2,
      );
      await Promise.all([assert.rejects(ofKilled, /ended by SIGKILL/), killed.kill()]);
      await closed.close();
      const { transfers } = await ofClosed;
      assert.equal(
        seen.filter(({ name }) => name.startsWith("closed/")).length,
        transfers,
      );

      const balances = (await client.get(accounts)).map((value) => Number(text(value)));
      assert.equal(balances.reduce((sum, balance) => sum + balance), ACCOUNTS * BALANCE);
      const records = await client.get(seen.map(({ name }) => bytes(`bank/t/${name}`)));
      const expected = seen.map(({ from, to, amount }) => `${from} ${to} ${amount}`);
      assert.deepEqual(records.map(text), expected);
    },
  );

  await t.step("bench() does each of its operations and accounts for them", async () => {
    const options = { prefix: bytes("bench/"), keyCount: 500, valueBytes: 128, callers: 4, seconds: 0.3 };
    await client.bench({ ...options, bench: "load" });
    for (const bench of ["get", "batch-get", "scan", "put1", "put16"] as const) {
      const result = await client.bench({ ...options, bench });
      assert.ok(result.ops > 0 && result.cpuSeconds > 0 && result.p50Ms <= result.p99Ms, bench);
    }
    await assert.rejects(client.bench({ ...options, bench: "get", keyCount: 10 }), /too few/);
  });
});
