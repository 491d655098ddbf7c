/**
 * Our client and the official Go client on the same keys of real servers: what a killed client of either kind left
 * is settled by either kind, with one outcome.
 *
 * An async commit that got half way is not left for the Go client: where it meets one as a writer, it asks for ever
 * (pingcap/tidb issue 59494).
 */
import assert from "node:assert/strict";
import { connect } from "../../lib/tikv/client.ts";
import { type AnyCluster, anyCluster } from "./any_cluster.ts";
import { type GoClient, type LeftKind, startGoClient } from "./go_client.ts";
import { startOurClient } from "./our_client.ts";
import { bytes, numbered, text } from "./transactions_testing.ts";

type Side = "go" | "ours";

const SIDES: Side[] = ["go", "ours"];
const TTL_MS = 1_500;
/** So many that they are several batches, and are settled by region instead of by key. */
const MANY = 3_000;
const FEW = 10;

/** How far a transaction came whose client was killed; how many keys it has; what becomes of it. */
const LEFT: [kind: LeftKind, keys: number, outcome: "old" | "new"][] = [
  ["prewritten", MANY, "old"],
  ["prewritten", FEW, "old"],
  ["primary-committed", MANY, "new"],
  ["secondaries-only", FEW, "old"],
  ["pessimistic", FEW, "old"],
  ["primary-rolled-back", FEW, "old"],
  ["async-commit", FEW, "new"],
  ["async-commit-partial", FEW, "old"],
];

/** The operations that both have. */
interface Hand {
  put(keys: readonly string[], value: string): Promise<void>;
  get(keys: readonly string[]): Promise<(string | null)[]>;
  scan(from: string, to: string): Promise<string[]>;
}

Deno.test("what a killed client left is settled by either kind of client, with one outcome", async (t) => {
  await using cluster = await anyCluster();
  const corrupt: string[] = [];
  await using client = await connect({
    pd: cluster.pd,
    commit: { onePhase: false, async: false },
    onCorrupt: ({ message }) => corrupt.push(message),
  });
  await using go = await startGoClient(cluster.pd);
  const hands: Record<Side, Hand> = {
    go: handOfGo(go),
    ours: {
      async put(keys, value) {
        await client.transaction((tx) => keys.forEach((key) => tx.put(bytes(key), bytes(value))));
      },
      get: async (keys) => (await client.snapshot().getMany(keys.map(bytes))).map(text),
      scan: async (from, to) => {
        const entries = await Array.fromAsync(client.snapshot().scan({ from: bytes(from), to: bytes(to) }));
        return entries.map(({ key, value }) => `${text(key)}=${text(value)}`);
      },
    },
  };
  await cluster.splitAt([bytes("left/go/ours/secondaries-only/0005"), bytes("left/ours/"), bytes("left0")]);

  for (const [kind, count, outcome] of LEFT) {
    for (const settler of SIDES) {
      if (settler === "go" && kind === "async-commit-partial") continue; // see above
      await t.step(`${count} keys, ${kind}, settled by ${settler}`, async () => {
        const left = await Promise.all(SIDES.map(async (leaver) => {
          const prefix = `left/${leaver}/${settler}/${kind}/`;
          const keys = numbered(prefix, count);
          await hands.ours.put(keys, "old");
          await leave(cluster, { leaver, kind, keys });
          return { prefix, keys };
        }));
        for (const { prefix, keys } of left) {
          // A reader settles the first half, a writer what it wants of the rest, and readers the others.
          const [low, high] = [keys.slice(0, keys.length / 2), keys.slice(keys.length / 2)];
          const middle = high[0] ?? "";
          assert.deepEqual(
            await hands[settler].scan(prefix, middle),
            low.map((key) => `${key}=${outcome}`),
            prefix,
          );
          await hands[settler].put([middle, high.at(-1) ?? ""], "mine");
          const others = high.slice(1, -1);
          const expected = ["mine", ...others.map(() => outcome), "mine"];
          for (const side of [settler, ...SIDES]) {
            assert.deepEqual(await hands[side].get(high), expected, `${prefix} seen by ${side}`);
          }
        }
      });
    }
  }
  await t.step("nothing was reported as damage", () => assert.deepEqual(corrupt, []));
});

async function leave(
  { pd }: AnyCluster,
  { leaver, kind, keys }: { leaver: Side; kind: LeftKind; keys: string[] },
): Promise<void> {
  await using dies = leaver === "go" ? await startGoClient(pd) : startOurClient(pd);
  const pairs = keys.map((key) => [bytes(key), bytes("new")] as const);
  const { primary, startTs, commitTs } = await dies.leave(kind, pairs, TTL_MS);
  assert.equal(text(primary), keys[0]);
  assert.ok(startTs > 0n);
  assert.equal(commitTs > 0n, kind === "primary-committed" || kind === "async-commit");
}

function handOfGo(go: GoClient): Hand {
  return {
    async put(keys, value) {
      await go.put(keys.map((key) => [bytes(key), bytes(value)] as const));
    },
    get: async (keys) => (await go.get(keys.map(bytes))).map(text),
    async scan(from, to) {
      const pairs = await go.scan({ from: bytes(from), to: bytes(to), limit: 10_000 });
      return pairs.map(([key, value]) => `${text(key)}=${text(value)}`);
    },
  };
}
