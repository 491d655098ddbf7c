import assert from "node:assert/strict";
import { folderKeys } from "./minion_keys.ts";

Deno.test("folderKeys() lists, accepts, rejects, preseeds and deletes keys of a master's folder", async () => {
  const pki = await Deno.makeTempDir({ prefix: "twin-pki-" });
  try {
    for (const folder of ["minions", "minions_pre", "minions_rejected"]) await Deno.mkdir(`${pki}/${folder}`);
    await Deno.writeTextFile(`${pki}/minions_pre/b`, "PEM b");
    await Deno.writeTextFile(`${pki}/minions_pre/a.example`, "PEM a");
    const keys = folderKeys(pki);
    assert.deepEqual(await keys.list("pending"), ["a.example", "b"]);
    assert.deepEqual(await keys.list("denied"), [], "a folder that is not there yet is empty");

    assert.equal(await keys.accept("a.example"), true);
    assert.equal(await keys.accept("a.example"), false);
    assert.equal(await keys.reject("b"), true);
    assert.deepEqual(await keys.list("rejected"), ["b"]);
    assert.equal(await keys.accept("b"), true);
    assert.equal(await Deno.readTextFile(`${pki}/minions/b`), "PEM b");

    await Deno.writeTextFile(`${pki}/minions_pre/c`, "PEM c as offered");
    await keys.preseed("c", "PEM c");
    assert.equal(await Deno.readTextFile(`${pki}/minions/c`), "PEM c");
    assert.deepEqual(await keys.list("pending"), []);

    assert.equal(await keys.delete("c"), true);
    assert.equal(await keys.delete("c"), false);
    assert.deepEqual(await keys.list("accepted"), ["a.example", "b"]);
    for (const id of ["../minions/b", ".hidden", "", "a/b"]) {
      await assert.rejects(keys.accept(id), /file name/);
    }
  } finally {
    await Deno.remove(pki, { recursive: true });
  }
});
