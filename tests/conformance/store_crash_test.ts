/**
 * A process that commits is killed 200 times on one file: every batch is there whole or not at all, and every
 * acknowledged one is there.
 *
 * The moment is drawn from a seed: so many acknowledgements and then so many microseconds. What this cannot show is a
 * power cut: the operating system lives on and keeps what was not synced.
 */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { openSqliteStore } from "../../lib/store/sqlite.ts";
import { entries } from "../../lib/store/record.ts";

const KILLS = 200;
const WRITERS = 4;
const SEED = 20_260_301;
const CHILD = fileURLToPath(new URL("store_crash_child.ts", import.meta.url));
const scope = realScope({ name: "crash test" });

Deno.test("a store whose process is killed 200 times keeps all or none of each batch, and all that it acknowledged", async () => {
  const folder = await Deno.makeTempDir({ prefix: "salar-crash-" });
  try {
    const path = `${folder}/store.db`;
    const random = sequence(SEED);
    let batchesSeen = 0;
    let unacknowledged = 0;
    for (let round = 0; round < KILLS; round++) {
      const acked = await runAndKill(path, round, { acks: random() % 40, micros: random() % 3_000 });
      const kept = await batchesOf(path, round);
      for (const name of acked) {
        assert.ok(kept.has(name), `round ${round}: acknowledged batch ${name} is there`);
      }
      batchesSeen += kept.size;
      unacknowledged += kept.size - acked.length;
    }
    assert.ok(unacknowledged > 0, "some kills fell between commit and acknowledgement");
    assert.equal(await countBatches(path), batchesSeen);
    const check = new DatabaseSync(path).prepare("PRAGMA integrity_check").get();
    assert.equal(check?.["integrity_check"], "ok");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Kills a child `micros` after it acknowledged `acks` batches; returns all that it acknowledged. */
async function runAndKill(
  path: string,
  round: number,
  at: { acks: number; micros: number },
): Promise<string[]> {
  const args = ["run", "-A", "--quiet", CHILD, path, String(round)];
  const child = new Deno.Command(Deno.execPath(), { args, stdout: "piped", stderr: "inherit" }).spawn();
  let acks = 0;
  let text = "";
  let killed = false;
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    acks += chunk.split("\n").length - 1;
    if (killed || acks < at.acks) continue;
    killed = true;
    const untilMs = performance.now() + at.micros / 1_000;
    while (performance.now() < untilMs); // a timer is a thousand times too coarse
    child.kill("SIGKILL");
  }
  const status = await child.status;
  assert.equal(status.signal, "SIGKILL", `round ${round}: the child ran until it was killed`);
  return text.split("\n").slice(0, -1); // the last line may be torn
}

/** The names of the batches of one round, after checking that each is whole. */
async function batchesOf(path: string, round: number): Promise<Set<string>> {
  const parts = new Map<string, number>();
  const decoder = new TextDecoder();
  const store = openSqliteStore({ path });
  await store.read(scope, async (tx) => {
    for await (const { key, value } of entries(tx, `batch/${round}/`)) {
      const name = key.split("/")[2] ?? "";
      assert.equal(decoder.decode(value), `${round}/${name}`);
      parts.set(name, (parts.get(name) ?? 0) + 1);
    }
    for (let writer = 0; writer < WRITERS; writer++) {
      const values = await tx.getMany([0, 1, 2].map((part) => `hot/${writer}/${part}`));
      const shown = new Set(values.map((value) => decoder.decode(value ?? undefined)));
      assert.equal(shown.size, 1, `round ${round}: keys of one batch show one batch`);
    }
  });
  await store.close();
  for (const [name, count] of parts) assert.equal(count, 5, `round ${round}: batch ${name} is whole`);
  return new Set(parts.keys());
}

async function countBatches(path: string): Promise<number> {
  const store = openSqliteStore({ path });
  let keys = 0;
  await store.read(scope, async (tx) => {
    for await (const _ of entries(tx, "batch/")) keys++;
  });
  await store.close();
  return keys / 5;
}

/** Numbers that are the same in every run (a linear congruential generator; Knuth's MMIX constants, high bits). */
function sequence(seed: number): () => number {
  let state = BigInt(seed);
  return () => {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    return Number(state >> 33n);
  };
}
