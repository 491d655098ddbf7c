import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { controllerFiles } from "./controller_files.ts";

const { walk, receive } = controllerFiles();

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function* pieces(...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield await Promise.resolve(new TextEncoder().encode(text));
}

async function textOf(read: () => AsyncIterable<Uint8Array>): Promise<string> {
  return new TextDecoder().decode(Buffer.concat(await Array.fromAsync(read())));
}

Deno.test("walk() gives a file, or a folder with all below it in order; null when there is none", async () => {
  await inFolder(async (folder) => {
    await Deno.mkdir(`${folder}/d/e`, { recursive: true });
    await Deno.writeTextFile(`${folder}/d/e/f`, "text");
    await Deno.chmod(`${folder}/d/e/f`, 0o640);
    await Deno.symlink("e/f", `${folder}/d/link`);
    const shown = async (follow: boolean) =>
      (await walk(`${folder}/d`, { follow }))?.map(({ path, type, target }) =>
        [path, type, target ?? ""].join(" ")
      );
    assert.deepEqual(await shown(false), [" folder ", "e folder ", "e/f file ", "link link e/f"]);
    assert.deepEqual(await shown(true), [" folder ", "e folder ", "e/f file ", "link file "]);
    const [file] = await walk(`${folder}/d/link`, { follow: false }) ?? []; // what is named is always followed
    assert.ok(file !== undefined);
    assert.deepEqual([file.path, file.type, file.mode, file.size], ["", "file", 0o640, 4]);
    assert.equal(await textOf(file.read), "text");
    assert.equal(await walk(`${folder}/none`, { follow: true }), null);
    assert.equal(await walk(`${folder}/d/e/f/none`, { follow: true }), null);
  });
});

Deno.test("walk() refuses links that make a ring", async () => {
  await inFolder(async (folder) => {
    await Deno.symlink(folder, `${folder}/again`);
    await assert.rejects(walk(folder, { follow: true }), /links back/);
    assert.equal((await walk(folder, { follow: false }))?.length, 2);
  });
});

Deno.test("receive() puts a content in its place once, and leaves nothing beside it", async () => {
  await inFolder(async (folder) => {
    const path = `${folder}/new/host/file`;
    const first = await receive(`${folder}/new/`, pieces("te", "xt"));
    assert.equal(first.sha1, createHash("sha1").update("text").digest("hex"));
    assert.equal(await first.keep(path), true);
    assert.equal(await (await receive(`${folder}/new/`, pieces("text"))).keep(path), false);
    assert.equal(await (await receive(`${folder}/new/`, pieces("other"))).keep(path), true);
    await (await receive(`${folder}/new/`, pieces("dropped"))).drop();
    assert.equal(await Deno.readTextFile(path), "other");
    assert.deepEqual([...Deno.readDirSync(`${folder}/new`)].map(({ name }) => name), ["host"]);
  });
});

Deno.test("receive() leaves nothing when the pieces break off", async () => {
  await inFolder(async (folder) => {
    async function* broken() {
      yield* pieces("te");
      throw new Error("the connection broke");
    }
    await assert.rejects(receive(`${folder}/file`, broken()), /the connection broke/);
    assert.deepEqual([...Deno.readDirSync(folder)], []);
  });
});
