/** What every database of the twin must do; run by `memory_db_test.ts` and `pg_db_test.ts`. */
import assert from "node:assert/strict";
import { findOne, type TwinDb, TwinDbError, type TwinTx } from "./db.ts";
import type { Row } from "./tables.ts";

export interface Case {
  name: string;
  run(db: TwinDb): Promise<void>;
}

/** Each case gets an empty database of its own. */
export const DB_CASES: readonly Case[] = [
  {
    name: "sequences start where Uyuni's do and never go back",
    async run(db) {
      await assert.rejects(db.transaction(async (tx) => {
        assert.equal(await tx.nextId("rhn_server_id_seq"), 1_000_010_000);
        throw new Error("roll back");
      }));
      assert.equal(await db.transaction((tx) => tx.nextId("rhn_server_id_seq")), 1_000_010_001);
      assert.equal(await db.transaction((tx) => tx.nextId("rhn_channel_id_seq")), 101);
      assert.equal(await db.transaction((tx) => tx.nextId("web_contact_id_seq")), 1);
    },
  },
  {
    name: "a row gets defaults and stamps, and reads back whole",
    async run(db) {
      const beforeMs = Date.now() - 1_000;
      const row = await db.transaction(async (tx) => {
        await insertServer(tx, 1);
        return await findOne(tx, "rhnServer", { id: 1 });
      });
      assert.ok(row !== null);
      const { created, modified, ...rest } = row;
      assert.deepEqual(rest, SERVER);
      assert.ok(Number.isInteger(created) && created >= beforeMs && created === modified);
    },
  },
  {
    name: "rows are found by equality, null included",
    async run(db) {
      await db.transaction(async (tx) => {
        await insertServer(tx, 1);
        await insertServer(tx, 2, { machine_id: null, name: "two" });
        assert.deepEqual((await tx.find("rhnServer", { machine_id: null })).map(({ id }) => id), [2]);
        assert.deepEqual((await tx.find("rhnServer", { org_id: 1, name: "two" })).map(({ id }) => id), [2]);
        assert.deepEqual(await tx.find("rhnServer", { id: 1, name: "two" }), []);
        assert.equal((await tx.find("rhnServer", {})).length, 2);
        assert.equal(await tx.count("rhnServer", { org_id: 1 }), 2);
        assert.equal(await tx.count("rhnServer", { org_id: 2 }), 0);
      });
    },
  },
  {
    name: "an update changes what it names, and always `modified`",
    async run(db) {
      await db.transaction((tx) => insertServer(tx, 1));
      const read = () => db.transaction(async (tx) => await findOne(tx, "rhnServer", { id: 1 }));
      const before = await read();
      await new Promise((resolve) => setTimeout(resolve, 5)); // time must pass for a stamp to move
      assert.equal(await db.transaction((tx) => tx.update("rhnServer", { id: 1 }, {})), 1);
      const touched = await read();
      assert.ok(before !== null && touched !== null && touched.modified > before.modified);
      assert.deepEqual({ ...touched, modified: 0 }, { ...before, modified: 0 });

      const set = { name: null, description: "text", machine_id: "other" };
      await db.transaction((tx) => tx.update("rhnServer", { id: 1 }, set));
      const changed = await read();
      assert.deepEqual({ ...changed, modified: 0 }, { ...before, ...set, modified: 0 });
      assert.equal(await db.transaction((tx) => tx.update("rhnServer", { id: 9 }, { name: "x" })), 0);
      assert.deepEqual(await db.transaction((tx) => tx.find("rhnServer", { machine_id: "m1" })), []);
    },
  },
  {
    name: "deleted rows are gone from every index",
    async run(db) {
      await db.transaction((tx) => insertServer(tx, 1));
      await db.transaction(async (tx) => {
        await tx.insert("rhnServerInfo", { server_id: 1, checkin: 5_000 });
        assert.equal(await tx.delete("rhnServerInfo", { server_id: 1 }), 1);
        assert.equal(await tx.delete("rhnServerInfo", { server_id: 1 }), 0);
        assert.equal(await tx.delete("rhnServer", { id: 1 }), 1);
        await insertServer(tx, 1);
      });
    },
  },
  {
    name: "rows that the schema forbids are refused and undo their transaction",
    async run(db) {
      await db.transaction((tx) => insertServer(tx, 1));
      const refused: [TwinDbError["kind"], (tx: TwinTx) => Promise<unknown>][] = [
        ["unique", (tx) => insertServer(tx, 1, { machine_id: "x", digital_server_id: "x" })],
        ["unique", (tx) => insertServer(tx, 2, { digital_server_id: "m1" })],
        ["unique", (tx) => insertServer(tx, 2, { machine_id: "m1" })],
        ["empty", (tx) => insertServer(tx, 2, { name: "" })],
        ["empty", (tx) => tx.update("rhnServer", { id: 1 }, { hostname: "" })],
        ["null", (tx) => tx.insert("rhnServerChannel", { server_id: 1 })],
      ];
      for (const [kind, work] of refused) {
        const attempt = db.transaction(async (tx) => {
          await insertServer(tx, 7);
          await work(tx);
        });
        await assert.rejects(attempt, (error) => error instanceof TwinDbError && error.kind === kind, kind);
        assert.equal(await db.transaction((tx) => tx.count("rhnServer", {})), 1);
      }
    },
  },
  {
    name: "a transaction that throws leaves nothing, and reads what it wrote until then",
    async run(db) {
      await db.transaction((tx) => insertServer(tx, 1));
      const before = await db.transaction((tx) => tx.find("rhnServer", {}));
      await assert.rejects(
        db.transaction(async (tx) => {
          await tx.update("rhnServer", { id: 1 }, { name: "changed" });
          await insertServer(tx, 2);
          await tx.delete("rhnServer", { id: 1 });
          assert.deepEqual((await tx.find("rhnServer", {})).map(({ id }) => id), [2]);
          throw new Error("roll back");
        }),
        /roll back/,
      );
      assert.deepEqual(await db.transaction((tx) => tx.find("rhnServer", {})), before);
      assert.equal((await db.transaction((tx) => tx.find("rhnServer", { name: "name 1" }))).length, 1);
    },
  },
  {
    name: "transactions that run at once do not lose an update",
    async run(db) {
      await db.transaction(async (tx) => {
        await insertServer(tx, 1);
        await tx.insert("rhnServerInfo", { server_id: 1, checkin: 0 });
      });
      await Promise.all(Array.from({ length: 30 }, () =>
        db.transaction(async (tx) => {
          const counter = (await findOne(tx, "rhnServerInfo", { server_id: 1 }))?.checkin_counter ?? 0;
          await tx.update("rhnServerInfo", { server_id: 1 }, { checkin_counter: counter + 1 });
        })));
      const info = await db.transaction((tx) => findOne(tx, "rhnServerInfo", { server_id: 1 }));
      assert.deepEqual(info, { server_id: 1, checkin: 0, checkin_counter: 30 });
    },
  },
];

const SERVER = {
  id: 1,
  org_id: 1,
  digital_server_id: "m1",
  machine_id: "m1",
  server_arch_id: 1,
  os: "SLES",
  release: "15.6",
  name: "name 1",
  hostname: null,
  description: null,
  secret: "secret",
  auto_update: "N",
  contact_method_id: 0,
  running_kernel: null,
  last_boot: 0,
};

async function insertServer(tx: TwinTx, id: number, changes: Partial<Row<"rhnServer">> = {}): Promise<void> {
  if (await findOne(tx, "web_customer", { id: 1 }) === null) {
    await tx.insert("web_customer", { id: 1, name: "org" });
  }
  await tx.insert("rhnServer", {
    id,
    org_id: 1,
    digital_server_id: `m${id}`,
    machine_id: `m${id}`,
    server_arch_id: 1,
    os: "SLES",
    release: "15.6",
    name: `name ${id}`,
    secret: "secret",
    ...changes,
  });
}
