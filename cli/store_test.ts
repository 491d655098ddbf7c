/** `salar store`: what it prints, refuses and leaves. The lines themselves are `lib/store/portable_test.ts`. */
import assert from "node:assert/strict";
import { SalarError } from "../lib/errors.ts";
import { realScope } from "../lib/mesh/real_scope.ts";
import type { PortableStore } from "../lib/store/portable.ts";
import { openSqliteStore } from "../lib/store/sqlite.ts";
import { realFiles } from "./real_files.ts";
import { realStore } from "./real_store.ts";
import { run } from "./testing.ts";
import { FunctionsConfig } from "../functions/config.ts";

const scope = realScope({ name: "salar store test" });

Deno.test("an exported store is imported elsewhere, and both are whole", async () => {
  const { exit, stderr, files } = await run(["store", "export", "out.jsonl"], { store: await filled(7) });
  assert.deepEqual([exit, stderr], [0, "Exported 7 entries and 1 tokens.\n"]);

  const store = openSqliteStore({ path: ":memory:" });
  const kept = { ...store, close: () => Promise.resolve() };
  const given = Object.fromEntries(files);
  const imported = await run(["store", "import", "out.jsonl"], { store: kept, files: given });
  assert.deepEqual([imported.exit, imported.stderr], [0, "Imported 7 entries and 1 tokens.\n"]);
  const again = await run(["store", "export", "again.jsonl"], { store: kept });
  assert.equal(again.files.get("/here/again.jsonl"), files.get("/here/out.jsonl"));

  const twice = await run(["store", "import", "out.jsonl"], { store: kept, files: given });
  assert.equal(twice.exit, 1);
  assert.match(twice.stderr, /the store is not empty, it holds key k\/0/);
});

Deno.test("salar store import refuses a file that was cut off, and one that is not there", async () => {
  const { files } = await run(["store", "export", "out.jsonl"], { store: await filled(3) });
  const cut = files.get("/here/out.jsonl")?.split("\n").slice(0, -2).join("\n") + "\n";
  const store = openSqliteStore({ path: ":memory:" });
  const refused = await run(["store", "import", "cut.jsonl"], { store, files: { "/here/cut.jsonl": cut } });
  assert.equal(refused.exit, 2);
  assert.match(refused.stderr, /line 6 is missing: the export was cut off/);
  assert.equal((await run(["store", "import", "none.jsonl"])).exit, 3);
});

Deno.test("salar store check shows the parts, and fails when one is not well", async () => {
  const well = await run(["store", "check"]);
  assert.equal(well.exit, 0);
  assert.match(well.stdout, /^PART +STATE\n:memory: +\d+ bytes, none of them damaged\n$/);

  const store: PortableStore = {
    ...openSqliteStore({ path: ":memory:" }),
    inspect: () => Promise.resolve([{ name: "store 1", ok: false, state: "does not answer" }]),
  };
  const ill = await run(["store", "check", "--json"], { store });
  assert.equal(ill.exit, 1);
  assert.deepEqual(JSON.parse(ill.stdout), [{ name: "store 1", ok: false, state: "does not answer" }]);
});

Deno.test("realStore() makes a file only for an import; realFiles() never writes over one", async () => {
  const folder = await Deno.makeTempDir({ prefix: "salar-cli-" });
  try {
    const config = FunctionsConfig.parse({ dataFolder: folder });
    await assert.rejects(
      realStore(scope, config, { create: false }),
      (error) => error instanceof SalarError && error.code === "not-found",
    );
    await (await realStore(scope, config, { create: true })).close();
    await (await realStore(scope, config, { create: false })).close();

    const files = realFiles();
    const path = `${folder}/lines`;
    const many = Array.from({ length: 20_000 }, (_, n) => `line ${n} é😀`);
    await files.create(path, async (write) => {
      for (const line of many) await write(line);
    });
    assert.deepEqual(await Array.fromAsync(files.lines(path)), many);
    assert.equal((await Deno.stat(path)).mode, 0o100600);
    await assert.rejects(files.create(path, () => Promise.resolve()), /there is such a file already/);
    const failing = files.create(`${path}2`, () => Promise.reject(new Error("full")));
    await assert.rejects(failing, /^Error: full$/);
    assert.deepEqual(
      (await Array.fromAsync(Deno.readDir(folder))).filter(({ name }) => name === "lines2"),
      [],
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

async function filled(count: number): Promise<PortableStore> {
  const store = openSqliteStore({ path: ":memory:" });
  await store.write(scope, (tx) => {
    for (let n = 0; n < count; n++) tx.put(`k/${n}`, Uint8Array.of(n));
    return Promise.resolve();
  }, { token: "t" });
  return store;
}
