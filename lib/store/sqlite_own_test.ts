/** What only the embedded store has: the age of snapshots, other processes' locks, files, and faults of the disk. */
import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { fileURLToPath } from "node:url";
import { type ErrorCode, isSalarError } from "../errors.ts";
import { STORE_BUSY_WAIT_MS_MAX, STORE_PRUNE_ROWS_MAX, STORE_SNAPSHOT_MS_MAX } from "../limits.ts";
import { realScope } from "../mesh/real_scope.ts";
import type { Scope } from "../seams.ts";
import { openSqliteStore } from "./sqlite.ts";
import type { Read, Store } from "./store.ts";

const scope = realScope({ name: "sqlite test" });
const value = new Uint8Array([1]);

Deno.test("a read whose snapshot is gone is refused: a pruned value is not an absent one", async () => {
  await inFolder(async (folder) => {
    const store = openSqliteStore({ path: `${folder}/store.db` });
    const looks: ((tx: Read) => Promise<unknown>)[] = [
      (tx) => tx.get("a"),
      (tx) => tx.getMany(["a", "b"]),
      (tx) => tx.scan({ from: "", to: "z" }, { limit: 10 }),
    ];
    const clock = virtualScope();
    for (const look of looks) {
      await put(store, "a", value);
      const late = store.read(clock.scope, async (tx) => {
        await put(store, "a", new Uint8Array([2]));
        await outlive(store, clock);
        await look(tx);
      });
      await rejects(late, "unavailable", /older than 30000 ms/);
    }
    await store.close();
  });
});

Deno.test("a write whose snapshot is gone runs again, whether it reads or not", async () => {
  await inFolder(async (folder) => {
    const store = openSqliteStore({ path: `${folder}/store.db` });
    const clock = virtualScope();
    for (const reads of [true, false]) {
      let runs = 0;
      await store.write(clock.scope, async (tx) => {
        if (++runs === 1) {
          await put(store, "a", value);
          await store.write(scope, (rival) => Promise.resolve(rival.delete("a")));
          await outlive(store, clock); // nothing is left that would tell of the rivals
        }
        if (reads) assert.equal(await tx.get("a"), null);
        tx.put("a", value);
      });
      assert.equal(runs, 2);
    }
    await store.close();
  });
});

Deno.test("a snapshot is kept while it is young, in memory and in a file, whatever is overwritten", async () => {
  await inFolder(async (folder) => {
    for (const path of [":memory:", `${folder}/store.db`]) {
      const store = openSqliteStore({ path });
      const clock = virtualScope();
      await put(store, "a", value);
      await store.read(clock.scope, async (tx) => {
        clock.pass(STORE_SNAPSHOT_MS_MAX - 1);
        await overwrite(store, clock, 3 * STORE_PRUNE_ROWS_MAX);
        assert.deepEqual(await tx.get("a"), value);
        assert.equal((await tx.scan({ from: "", to: "z" }, { limit: 10 })).length, 1);
      });
      await store.close();
    }
  });
});

Deno.test("past values do not pile up in the file", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/store.db`;
    const store = openSqliteStore({ path });
    const clock = virtualScope();
    for (let round = 0; round < 5; round++) await outlive(store, clock);
    await store.close();
    const rows = Number(new DatabaseSync(path).prepare("SELECT count(*) AS n FROM past").get()?.["n"]);
    assert.ok(rows <= 3 * STORE_PRUNE_ROWS_MAX, `${rows} rows are left of ${5 * 2 * STORE_PRUNE_ROWS_MAX}`);
  });
});

Deno.test("a file that another process locks is waited for through the scope", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/store.db`;
    const store = openSqliteStore({ path });
    const other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    const clock = virtualScope((sleeps) => sleeps === 5 && other.exec("COMMIT"));
    await store.write(clock.scope, (tx) => Promise.resolve(tx.put("a", value)));
    assert.deepEqual(await store.read(scope, (tx) => tx.get("a")), value);

    other.exec("BEGIN IMMEDIATE");
    const patient = virtualScope();
    const refused = store.write(patient.scope, (tx) => Promise.resolve(tx.put("b", value)));
    await rejects(refused, "unavailable", /another process holds it/);
    assert.ok(patient.scope.monoMs() > STORE_BUSY_WAIT_MS_MAX);
    other.exec("ROLLBACK");
    assert.equal(await store.read(scope, (tx) => tx.get("b")), null);
    other.close();
    await store.close();
  });
});

Deno.test("in memory nothing but microtasks and the scope is waited for", async () => {
  const store = openSqliteStore({ path: ":memory:" });
  const { scope } = virtualScope();
  let turned = false;
  setImmediate(() => turned = true);
  await Promise.all(Array.from({ length: 15 }, (_, n) =>
    store.write(scope, async (tx) => {
      const before = await tx.get("hot");
      tx.put("hot", new Uint8Array([(before?.[0] ?? 0) + 1]));
    }, { token: `t${n}` })));
  assert.deepEqual(await store.read(scope, (tx) => tx.get("hot")), new Uint8Array([15]));
  await store.sweepTokens(scope);
  await store.close();
  assert.equal(turned, false);
});

Deno.test("a caller in a tight loop does not starve another on the same key", async () => {
  await inFolder(async (folder) => {
    const store = openSqliteStore({ path: `${folder}/store.db` });
    const bump = () =>
      store.write(scope, async (tx) => {
        const before = await tx.get("hot");
        tx.put("hot", new Uint8Array([((before?.[0] ?? 0) + 1) % 256]));
      });
    let others = 8;
    const loop = (async () => {
      while (others > 0) await bump();
    })();
    await Promise.all(Array.from({ length: others }, async () => {
      for (let n = 0; n < 10; n++) await bump();
      others--;
    }));
    await loop;
    await store.close();
  });
});

Deno.test("close() gives up on a transaction that does not end, and that finds the store closed", async () => {
  const store = openSqliteStore({ path: ":memory:" });
  const gate = Promise.withResolvers<void>();
  const hasty: Scope = { ...scope, timeout: (_ms, work) => scope.timeout(1, work) };
  const endless = store.write(hasty, async (tx) => {
    await gate.promise;
    await tx.get("a");
  });
  await store.close();
  gate.resolve();
  await rejects(endless, "closed", /is closed/);
});

Deno.test("a transaction cannot be used after its function has returned", async () => {
  const store = openSqliteStore({ path: ":memory:" });
  const [late] = await store.write(scope, (tx) => Promise.resolve([tx]));
  assert.ok(late !== undefined);
  assert.throws(() => late.put("a", value), /after its function has returned/);
  await assert.rejects(late.get("a"), /after its function has returned/);
  await store.close();
});

Deno.test("openSqliteStore() says which file it cannot open and what to do", async () => {
  await inFolder(async (folder) => {
    const refused = (name: string, advice: RegExp) =>
      assert.throws(() => openSqliteStore({ path: `${folder}/${name}` }), (error) => {
        assert.ok(isSalarError(error, "unavailable"), String(error));
        assert.match(error.message, advice);
        assert.ok(error.message.includes(name));
        return true;
      });
    refused("no folder/store.db", /create the folder/);

    await Deno.writeTextFile(`${folder}/text.db`, "hello ".repeat(2_000));
    refused("text.db", /restore a backup/);

    const other = new DatabaseSync(`${folder}/other.db`);
    other.exec("CREATE TABLE t (a)");
    other.close();
    refused("other.db", /another program's database/);

    await openSqliteStore({ path: `${folder}/newer.db` }).close();
    const newer = new DatabaseSync(`${folder}/newer.db`);
    newer.exec("PRAGMA user_version = 99");
    newer.close();
    refused("newer.db", /a format other than 1/);
  });
});

Deno.test("a damaged page makes reads fail and never look empty", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/store.db`;
    const before = openSqliteStore({ path });
    await before.write(scope, (tx) => {
      for (let n = 0; n < 1_000; n++) tx.put(`k/${n}`, new Uint8Array(200));
      return Promise.resolve();
    });
    await before.close();
    const file = await Deno.open(path, { write: true, read: true });
    const size = (await file.stat()).size;
    await file.seek(12 * 4_096, Deno.SeekMode.Start);
    await file.write(new Uint8Array(size - 13 * 4_096).fill(0xee));
    file.close();

    const store = openSqliteStore({ path });
    const scan = store.read(scope, (tx) => tx.scan({ from: "", to: "z" }, { limit: 10_000 }));
    await rejects(scan, "unavailable", /the file is damaged/);
    await store.close();
  });
});

Deno.test("a disk that takes no more fails the commit with the path, and loses nothing that was acknowledged", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/store.db`;
    // A file size limit is the disk fault that every machine can make; its signal is ignored so that writes fail.
    const script = `trap '' XFSZ; ulimit -f 1000; exec "$0" run -A --quiet "$1" "$2"`;
    const child = fileURLToPath(new URL("testing_full_disk.ts", import.meta.url));
    const { stdout, code } = await new Deno.Command("sh", {
      args: ["-c", script, Deno.execPath(), child, path],
      stderr: "inherit",
    }).output();
    assert.equal(code, 0);
    const { acked, error, readable } = JSON.parse(new TextDecoder().decode(stdout));
    assert.equal(error.code, "unavailable");
    assert.match(error.message, /Cannot commit to store .*store\.db: .*(disk|full)/);
    assert.ok(acked > 0);
    assert.equal(readable, acked);

    const store = openSqliteStore({ path });
    const kept = await store.read(scope, (tx) => tx.scan({ from: "", to: "z" }, { limit: 10_000 }));
    assert.equal(kept.length, acked);
    await put(store, "after", value);
    await store.close();
  });
});

/** A clock that only this test moves; `onSleep` is told how often the scope slept. */
function virtualScope(onSleep: (sleeps: number) => void = () => {}) {
  let nowMs = 0;
  let sleeps = 0;
  const pass = (ms: number) => void (nowMs += ms);
  const sleep = (ms: number) => {
    pass(ms);
    onSleep(++sleeps);
    return Promise.resolve();
  };
  return { scope: { ...scope, monoMs: () => nowMs, nowMs: () => nowMs, sleep } satisfies Scope, pass };
}

type VirtualScope = ReturnType<typeof virtualScope>;

/** Lets so much time pass and so much be written that every snapshot of before is gone. */
async function outlive(store: Store, clock: VirtualScope): Promise<void> {
  for (let period = 0; period < 2; period++) {
    await overwrite(store, clock, STORE_PRUNE_ROWS_MAX);
    clock.pass(STORE_SNAPSHOT_MS_MAX);
  }
  await overwrite(store, clock, STORE_PRUNE_ROWS_MAX);
}

/** Ends `count` values, by as many commits, of which 250 at a time share a sync. */
async function overwrite(store: Store, { scope }: VirtualScope, count: number): Promise<void> {
  for (let n = 0; n < count; n += 250) {
    await Promise.all(
      Array.from(
        { length: 250 },
        (_, key) =>
          store.write(scope, (tx) => Promise.resolve(tx.put(`zz/${key}`, new Uint8Array([n % 256])))),
      ),
    );
  }
}

function put(store: Store, key: string, value: Uint8Array): Promise<void> {
  return store.write(scope, (tx) => Promise.resolve(tx.put(key, value)));
}

async function rejects(promise: Promise<unknown>, code: ErrorCode, text: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(isSalarError(error, code), String(error));
    assert.match(error.message, text);
    return true;
  });
}

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "salar-store-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
