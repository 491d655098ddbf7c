import assert from "node:assert/strict";
import { cached, exists, withLock } from "./cache.ts";

/** Runs `work` with an empty cache of its own. */
async function inEmptyCache(work: (root: string) => Promise<void>): Promise<void> {
  const before = Deno.env.get("XDG_CACHE_HOME");
  const home = await Deno.makeTempDir();
  Deno.env.set("XDG_CACHE_HOME", home);
  try {
    await work(`${home}/salar/parts`);
  } finally {
    if (before === undefined) Deno.env.delete("XDG_CACHE_HOME");
    else Deno.env.set("XDG_CACHE_HOME", before);
    await Deno.remove(home, { recursive: true });
  }
}

Deno.test("cached() builds once for all who ask at the same time, and never again", async () => {
  await inEmptyCache(async (root) => {
    let builds = 0;
    const part = {
      name: "part",
      version: "1.0",
      async build(folder: string) {
        builds++;
        await Deno.writeTextFile(`${folder}/file`, "complete");
      },
    };
    const folders = await Promise.all([cached(part), cached(part), cached(part)]);
    assert.deepEqual(new Set([...folders, await cached(part)]), new Set([`${root}/part-1.0`]));
    assert.equal(await Deno.readTextFile(`${root}/part-1.0/file`), "complete");
    assert.equal(builds, 1);
  });
});

Deno.test("cached() leaves nothing of a build that failed, and tries again when asked again", async () => {
  await inEmptyCache(async (root) => {
    const build = async (folder: string) => {
      await Deno.writeTextFile(`${folder}/half`, "");
      throw new Error("no network");
    };
    await assert.rejects(cached({ name: "part", version: "1", build }), /no network/);
    const left = [...Deno.readDirSync(root)].map(({ name }) => name);
    assert.deepEqual(left, [".part-1.lock"]);
    assert.ok(await exists(await cached({ name: "part", version: "1", build: () => Promise.resolve() })));
  });
});

Deno.test("withLock() is free again when its holder was killed", async () => {
  await inEmptyCache(async () => {
    const module = new URL("./cache.ts", import.meta.url).href;
    const script = `
      import { withLock } from ${JSON.stringify(module)};
      await withLock("x", async () => {
        console.log("held");
        await new Promise((resolve) => setTimeout(resolve, 100_000));
      });`;
    const args = ["eval", "--quiet", script];
    const holder = new Deno.Command(Deno.execPath(), { args, stdin: "null", stdout: "piped" }).spawn();
    const reader = holder.stdout.getReader();
    await reader.read();

    let entered = false;
    const waiting = withLock("x", () => Promise.resolve(entered = true));
    await new Promise((resolve) => setTimeout(resolve, 300)); // three polls of a lock that must not be had
    assert.equal(entered, false);
    holder.kill("SIGKILL");
    assert.equal(await waiting, true);
    await holder.status;
    await reader.cancel();
  });
});
