/** Four processes on one file move money at once: at every moment the total is the same, and no transfer is lost. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { openSqliteStore } from "../../lib/store/sqlite.ts";
import { prefixRange, type Store } from "../../lib/store/store.ts";
import { ACCOUNTS, numberOf, OPENING, toValue } from "./store_accounts.ts";

const PROCESSES = 4;
const TRANSFERS = 250;
const CHILD = fileURLToPath(new URL("store_processes_child.ts", import.meta.url));
const scope = realScope({ name: "processes test" });

Deno.test("four processes on one file keep the total and lose no update", async () => {
  const folder = await Deno.makeTempDir({ prefix: "salar-processes-" });
  const path = `${folder}/store.db`;
  const store = openSqliteStore({ path });
  try {
    await store.write(scope, (tx) => {
      for (let n = 0; n < ACCOUNTS; n++) tx.put(`account/${n}`, toValue(OPENING));
      return Promise.resolve();
    });

    let running = true;
    const children = Promise.all(Array.from({ length: PROCESSES }, (_, seed) => runChild(path, seed)))
      .finally(() => running = false);
    let looks = 0;
    while (running) {
      assert.equal(await sum(store, "account/"), ACCOUNTS * OPENING);
      looks++;
      await scope.sleep(5);
    }
    assert.deepEqual(await children, Array(PROCESSES).fill(0));
    assert.ok(looks > 1, "the total was looked at while the processes ran");
    assert.equal(await sum(store, "account/"), ACCOUNTS * OPENING);
    assert.equal(await sum(store, "count/"), PROCESSES * TRANSFERS);
  } finally {
    await store.close();
    await Deno.remove(folder, { recursive: true });
  }
});

async function runChild(path: string, seed: number): Promise<number> {
  const args = ["run", "-A", "--quiet", CHILD, path, String(seed), String(TRANSFERS)];
  const child = new Deno.Command(Deno.execPath(), { args, stderr: "inherit" }).spawn();
  return (await child.status).code;
}

/** Two reads of one snapshot, with a turn between them so that others commit meanwhile. */
function sum(store: Store, prefix: string): Promise<number> {
  return store.read(scope, async (tx) => {
    const half = ACCOUNTS / 2;
    const first = await tx.scan(prefixRange(prefix), { limit: half });
    await scope.sleep(1);
    const after = first.at(-1)?.key;
    const rest = after === undefined ? [] : await tx.scan(prefixRange(prefix), { limit: ACCOUNTS, after });
    return [...first, ...rest].reduce((total, { value }) => total + numberOf(value), 0);
  });
}
