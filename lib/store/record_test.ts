import assert from "node:assert/strict";
import { z } from "zod";
import { isSalarError } from "../errors.ts";
import { realScope } from "../mesh/real_scope.ts";
import { entries, records, toText } from "./record.ts";
import { openSqliteStore } from "./sqlite.ts";

const scope = realScope({ name: "record test" });
const Zone = z.object({ v: z.literal(1), name: z.string(), size: z.number().int() });
const zones = records(Zone, (name: string) => `zone/${name}`);

Deno.test("records() puts, gets, scans and deletes typed values", async () => {
  const store = openSqliteStore({ path: ":memory:" });
  await store.write(scope, async (tx) => {
    for (const name of ["a", "b", "c"]) zones.put(tx, { v: 1, name, size: 1 }, name);
    zones.delete(tx, "b");
    assert.equal((await zones.get(tx, "a"))?.size, 1);
  });
  await store.read(scope, async (tx) => {
    assert.deepEqual(await zones.get(tx, "a"), { v: 1, name: "a", size: 1 });
    assert.equal(await zones.get(tx, "b"), null);
    assert.deepEqual((await zones.getMany(tx, [["c"], ["b"]])).map((zone) => zone?.name), ["c", undefined]);
    assert.deepEqual((await zones.scan(tx, "zone/", { limit: 1, reverse: true })).map(({ key }) => key), [
      "zone/c",
    ]);
    assert.deepEqual((await Array.fromAsync(zones.all(tx, "zone/"))).map(({ name }) => name), ["a", "c"]);
  });
  await store.close();
});

Deno.test("records() names the key and the field of a value that does not match", async () => {
  const store = openSqliteStore({ path: ":memory:" });
  for (
    const [bytes, reason] of [['{"v":1,"name":"x"}', /"zone\/x": size:/], [
      "{",
      /"zone\/x": it is not JSON/,
    ]] as const
  ) {
    await store.write(scope, (tx) => Promise.resolve(tx.put("zone/x", new TextEncoder().encode(bytes))));
    await assert.rejects(store.read(scope, (tx) => zones.get(tx, "x")), (error) => {
      assert.ok(isSalarError(error, "bad-record"));
      assert.match(error.message, reason);
      return true;
    });
  }
  await store.close();
});

Deno.test("toText() takes any text, that of a replacement character too, and throws for what is no UTF-8", () => {
  for (const text of ["", "zürich", "a \ufffd b", "\u{1f98e}"]) {
    assert.equal(toText(new TextEncoder().encode(text)), text);
  }
  for (const bytes of [[0xff], [0x61, 0xc3], [0xed, 0xa0, 0x80]]) {
    assert.throws(() => toText(new Uint8Array(bytes)), TypeError);
  }
});

Deno.test("entries() goes on over pages, exactly at their end too", async () => {
  const store = openSqliteStore({ path: ":memory:" });
  for (const count of [0, 999, 1_000, 1_001, 2_000]) {
    await store.write(scope, (tx) => {
      for (let n = 0; n < count; n++) tx.put(`n/${String(n).padStart(4, "0")}`, new Uint8Array(0));
      return Promise.resolve();
    });
    const keys = await store.read(
      scope,
      async (tx) => (await Array.fromAsync(entries(tx, "n/"))).map(({ key }) => key),
    );
    assert.equal(new Set(keys).size, count);
    assert.deepEqual(keys, keys.toSorted());
  }
  await store.close();
});
