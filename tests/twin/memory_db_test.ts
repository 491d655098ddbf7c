import assert from "node:assert/strict";
import { type ChangeTransaction, SlotLostError } from "./change_slot.ts";
import { DB_CASES } from "./db_suite.ts";
import { memoryDb } from "./memory_db.ts";
import { twin } from "./twin.ts";

for (const { name, run } of DB_CASES) Deno.test(`memoryDb(): ${name}`, () => run(memoryDb()));

const PUBLICATION = {
  rhnserver: ["id", "name", "machine_id", "created"],
  suseminioninfo: ["server_id", "minion_id"],
};
const NOW_MS = Date.UTC(2026, 6, 1, 12, 0, 0, 120);

async function node() {
  const db = memoryDb({ nowMs: () => NOW_MS });
  const made = twin({ db, nowMs: () => NOW_MS });
  await made.seed({});
  return {
    db,
    register: (minionId: string, machineId: string) => made.registerMinion({ minionId, machineId }),
  };
}

/** Reads until `count` transactions came. */
async function take(changes: AsyncIterable<ChangeTransaction>, count: number): Promise<ChangeTransaction[]> {
  const taken: ChangeTransaction[] = [];
  for await (const transaction of changes) {
    taken.push(transaction);
    if (taken.length === count) break;
  }
  return taken;
}

Deno.test("openSlot() tells whole transactions in commit order, published columns only", async () => {
  const { db, register } = await node();
  const slot = db.openSlot("salar", PUBLICATION);
  await register("a", "m1");
  await register("b", "m1");
  await db.transaction((tx) => tx.update("web_customer", { id: 1 }, { name: "unpublished" }));
  await db.transaction(async (tx) => {
    await tx.delete("suseMinionInfo", { server_id: 1_000_010_000 });
    await tx.delete("rhnServer", {});
  });
  await assert.rejects(db.transaction(async (tx) => {
    await tx.update("web_customer", { id: 1 }, { name: "x" });
    throw new Error("roll back");
  }));

  const [first, second, third] = await take(slot.changes(AbortSignal.any([])), 3);
  const server = { id: "1000010000", name: "a", machine_id: "m1", created: "2026-07-01 12:00:00.12+00" };
  assert.deepEqual(first?.changes, [
    { op: "insert", table: "rhnserver", row: server },
    { op: "insert", table: "suseminioninfo", row: { server_id: "1000010000", minion_id: "a" } },
  ]);
  assert.deepEqual(second?.changes, [
    { op: "update", table: "suseminioninfo", row: { server_id: "1000010000", minion_id: "b" } },
    { op: "update", table: "rhnserver", row: server },
  ]);
  assert.deepEqual(third?.changes, [
    { op: "delete", table: "suseminioninfo", row: { server_id: "1000010000" } },
    { op: "delete", table: "rhnserver", row: { id: "1000010000" } },
  ]);
  assert.ok(first.lsn < second.lsn && second.lsn < third.lsn);
});

Deno.test("openSlot() tells again what was not confirmed, and follows what comes", async () => {
  const { db, register } = await node();
  const slot = db.openSlot("salar", PUBLICATION);
  for (const id of ["a", "b", "c"]) await register(id, `machine ${id}`);
  const [first, second] = await take(slot.changes(AbortSignal.any([])), 2);
  assert.ok(first && second);
  slot.confirm(first.lsn);

  const reading = take(db.openSlot("salar", PUBLICATION).changes(AbortSignal.any([])), 3);
  await register("d", "machine d");
  const [again, third, fourth] = await reading;
  assert.equal(again?.lsn, second.lsn);
  assert.deepEqual([third, fourth].map((its) => its?.changes[0]?.row["name"]), ["c", "d"]);
});

Deno.test("changes() goes on behind a confirmation in the middle, and ends when told to", async () => {
  const { db, register } = await node();
  const slot = db.openSlot("salar", PUBLICATION);
  const stop = new AbortController();
  const names: unknown[] = [];
  const reading = (async () => {
    for await (const { lsn, changes } of slot.changes(stop.signal)) {
      names.push(changes[0]?.row["name"]);
      slot.confirm(lsn);
      if (names.length === 3) stop.abort();
    }
  })();
  for (const id of ["a", "b", "c"]) await register(id, `machine ${id}`);
  await reading;
  assert.deepEqual(names, ["a", "b", "c"]);
});

Deno.test("a slot that falls behind its bound is lost and says so", async () => {
  const { db, register } = await node();
  const slot = db.openSlot("salar", PUBLICATION, { transactionsMax: 1 });
  await register("a", "m1");
  await register("b", "m2");
  await assert.rejects(take(slot.changes(AbortSignal.any([])), 1), SlotLostError);

  db.dropSlot("salar");
  const fresh = db.openSlot("salar", PUBLICATION);
  await register("c", "m3");
  assert.equal((await take(fresh.changes(AbortSignal.any([])), 1)).length, 1);
});

Deno.test("snapshot() holds rows, sequences and position for a later process", async () => {
  const { db, register } = await node();
  await register("a", "m1");
  const later = memoryDb({ snapshot: await db.snapshot() });
  const rows = (its: typeof db) => its.transaction((tx) => tx.find("rhnServer", {}));
  assert.deepEqual(await rows(later), await rows(db));
  assert.deepEqual(await twin({ db: later }).registerMinion({ minionId: "b", machineId: "m2" }), {
    outcome: "new",
    systemId: 1_000_010_001,
  });
});
