/** Exports and imports between embedded stores. */
import assert from "node:assert/strict";
import { type ErrorCode, isSalarError } from "../errors.ts";
import { realCrypt } from "../mesh/real_crypt.ts";
import { realScope } from "../mesh/real_scope.ts";
import {
  exportStore,
  importStore,
  type PortableStore,
  refuseHalfImported,
  verifyExport,
} from "./portable.ts";
import { openSqliteStore } from "./sqlite.ts";

const scope = realScope({ name: "portable test" });
const crypt = realCrypt();

Deno.test("an export imported elsewhere exports the same lines", async () => {
  const lines = await exported(await filled(2_500));
  assert.equal(lines.length, 2_500 + 3 + 2);
  const other = openSqliteStore({ path: ":memory:" });
  const summary = await importStore(scope, { store: other, crypt, read: () => each(lines) });
  assert.deepEqual({ entries: summary.entries, tokens: summary.tokens }, { entries: 2_500, tokens: 3 });
  assert.deepEqual(await exported(other), lines);
  const again = await other.write(scope, () => Promise.resolve("new"), { token: "token 1" });
  assert.equal(again, "result 1", "a token that was used stays used");
});

Deno.test("an empty store has an export too", async () => {
  const lines = await exported(openSqliteStore({ path: ":memory:" }));
  assert.deepEqual(await verifyExport(crypt, each(lines)), JSON.parse(lines.at(-1) ?? ""));
});

Deno.test("an export that was changed, cut off or added to is refused, and nothing is imported", async () => {
  const lines = await exported(await filled(20));
  const wrong: Record<string, string[]> = {
    "no header": lines.slice(1),
    "cut off": lines.slice(0, -1),
    "a line less": lines.toSpliced(7, 1),
    "a line twice": lines.toSpliced(7, 0, lines[7] ?? ""),
    "two lines changed places": lines.toSpliced(7, 2, lines[8] ?? "", lines[7] ?? ""),
    "another value": lines.with(9, JSON.stringify({ key: "k/0004", value: "AAAA" })),
    "no base64": lines.with(9, JSON.stringify({ key: "k/0004", value: "?" })),
    "no JSON": lines.with(9, "{"),
    "lines after the end": [...lines, lines[9] ?? ""],
    "nothing": [],
  };
  for (const [title, changed] of Object.entries(wrong)) {
    const store = openSqliteStore({ path: ":memory:" });
    await rejects(importStore(scope, { store, crypt, read: () => each(changed) }), "bad-input", title);
    assert.equal((await exported(store)).length, 2, title);
  }
});

Deno.test("an import goes into an empty store only", async () => {
  const lines = await exported(await filled(3));
  const store = await filled(1);
  await rejects(importStore(scope, { store, crypt, read: () => each(lines) }), "conflict");
});

Deno.test("an import that broke off keeps programs away, and goes on when it is run again", async () => {
  const lines = await exported(await filled(2_500));
  const store = openSqliteStore({ path: ":memory:" });
  let opened = 0;
  const broken = importStore(scope, {
    store,
    crypt,
    read: () => ++opened === 1 ? each(lines) : failing(lines.slice(0, 1_200)),
  });
  await assert.rejects(broken, /^Error: torn$/);
  await rejects(refuseHalfImported(scope, store), "conflict");
  await rejects(exported(store), "conflict");
  const others = await exported(await filled(2));
  await rejects(importStore(scope, { store, crypt, read: () => each(others) }), "conflict");

  await importStore(scope, { store, crypt, read: () => each(lines) });
  await refuseHalfImported(scope, store);
  assert.deepEqual(await exported(store), lines);
});

async function filled(count: number): Promise<PortableStore> {
  const store = openSqliteStore({ path: ":memory:" });
  for (const n of [1, 2, 3]) {
    await store.write(scope, () => Promise.resolve(`result ${n}`), { token: `token ${n}` });
  }
  await store.write(scope, (tx) => {
    for (let n = 0; n < count; n++) {
      tx.put(`k/${String(n).padStart(4, "0")}`, Uint8Array.of(0, n % 256, 255));
    }
    tx.put("k/0000", new Uint8Array(0));
    return Promise.resolve();
  });
  return store;
}

async function exported(store: PortableStore): Promise<string[]> {
  const lines: string[] = [];
  await exportStore(scope, { store, crypt, write: (line) => Promise.resolve(void lines.push(line)) });
  return lines;
}

async function* each(lines: string[]): AsyncGenerator<string> {
  yield* lines;
}

async function* failing(lines: string[]): AsyncGenerator<string> {
  yield* lines;
  throw new Error("torn");
}

async function rejects(promise: Promise<unknown>, code: ErrorCode, title?: string): Promise<void> {
  await assert.rejects(promise, (error) => isSalarError(error, code), title);
}
