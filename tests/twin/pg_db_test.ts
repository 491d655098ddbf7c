import assert from "node:assert/strict";
import { uyuniClient } from "../../lib/uyuni/client.ts";
import { type Postgres, startPostgres } from "../parts/postgres.ts";
import type { ChangeTransaction } from "./change_slot.ts";
import type { RowChange, TwinDb } from "./db.ts";
import { DB_CASES } from "./db_suite.ts";
import { memoryDb } from "./memory_db.ts";
import { pgDb } from "./pg_db.ts";
import { SEQUENCES, specOf, type Table, TABLES } from "./tables.ts";
import { twin } from "./twin.ts";

const NOW_MS = Date.UTC(2026, 6, 1, 12, 0, 0);
/** Tables without a primary key, and the index that change capture makes their replica identity. */
const IDENTITY_INDEXES = [
  ["suseMinionInfo", "rhn_minion_info_sid_uq"],
  ["rhnServerChannel", "rhn_sc_sid_cid_uq"],
  ["rhnServerGroupMembers", "rhn_sgmembers_sid_sgid_uq"],
];
const CAPTURED: readonly Table[] = [
  "rhnServer",
  "suseMinionInfo",
  "rhnChannel",
  "rhnServerChannel",
  "rhnServerGroup",
  "rhnServerGroupMembers",
];
/** Chance and the database's own clock. */
const VARYING = ["secret", "created", "modified"];

Deno.test("pgDb() on a real PostgreSQL", async (t) => {
  await using server = await startPostgres({ logical: true, settings: { timezone: "UTC" } });
  let count = 0;
  const emptyDatabase = () => server.createDatabase(`twin_${++count}`);

  for (const { name, run } of DB_CASES) {
    await t.step(name, async () => {
      const db = await pgDb({ url: await emptyDatabase() });
      try {
        await run(db);
      } finally {
        await db.close();
      }
    });
  }

  await t.step("the schema is what tables.ts says", async () => {
    const db = await pgDb({ url: await emptyDatabase() });
    await db.close();
    await assertSchema((text) => server.sql(text, `twin_${count}`));
  });

  await t.step("a second opening keeps what is there", async () => {
    const url = await emptyDatabase();
    for (const expected of [0, 1]) {
      const db = await pgDb({ url });
      assert.equal(await db.transaction((tx) => tx.count("web_customer", {})), expected);
      await twin({ db }).seed({});
      await db.close();
    }
  });

  await t.step("replication tells of the same calls what the in-memory feed tells", async () => {
    const url = await emptyDatabase();
    const db = await pgDb({ url });
    const database = `twin_${count}`;
    for (const [table, index] of IDENTITY_INDEXES) {
      await server.sql(`ALTER TABLE ${table} REPLICA IDENTITY USING INDEX ${index}`, database);
    }
    await server.sql("SELECT pg_create_logical_replication_slot('same', 'test_decoding')", database);
    await live(db);
    await db.close();
    const told = await decodedChanges(server, database);
    await server.sql("SELECT pg_drop_replication_slot('same')", database);

    const memory = memoryDb({ nowMs: () => NOW_MS });
    const columns = CAPTURED.map((table) => [table.toLowerCase(), Object.keys(specOf(table).columns)]);
    const slot = memory.openSlot("same", Object.fromEntries(columns));
    await live(memory);
    const feed = await unconfirmed(slot.changes(AbortSignal.any([])), told.length);

    assert.ok(told.some(({ op }) => op === "delete"));
    assert.deepEqual(feed.map(comparable), told.map(comparable));
  });

  await t.step("after kill -9 and restart the twin goes on", async () => {
    const db = await pgDb({ url: await emptyDatabase() });
    const node = twin({ db });
    await node.seed({});
    await node.registerMinion({ minionId: "a", machineId: "m1" });
    await server.kill();
    await assert.rejects(node.checkin("a"));
    await server.restart();
    assert.equal(await node.checkin("a"), true);
    await db.close();
  });
});

/** A server's life in short, by reactor and API. */
async function live(db: TwinDb): Promise<void> {
  const node = twin({ db, nowMs: () => NOW_MS });
  await node.seed({
    users: [{ login: "admin", password: "admin" }],
    channels: [{ label: "base", name: "Base" }],
    groups: ["web"],
  });
  const uyuni = uyuniClient({
    url: "http://twin.example/rpc/api",
    user: "admin",
    password: "admin",
    request: node.fetch,
  });
  const first = {
    minionId: "a",
    machineId: "m1",
    channels: ["base"],
    groups: ["web"],
    kernel: "it's 'quoted' kernel",
  };
  const registered = await node.registerMinion(first);
  assert.ok("systemId" in registered);
  await node.registerMinion({ minionId: "b", machineId: "m2" });
  await node.registerMinion({ minionId: "c", machineId: "m1" });
  await node.checkin("c");
  await uyuni.call("system.setDetails", registered.systemId, { description: "described" });
  await uyuni.call("system.setDetails", registered.systemId, { description: "" });
  await uyuni.call("systemgroup.create", "db", "databases");
  await uyuni.call("system.deleteSystem", registered.systemId, "NO_CLEANUP");
}

/** What a logical replication client reads, decoded by PostgreSQL itself. */
async function decodedChanges(server: Postgres, database: string): Promise<RowChange[]> {
  const lines = await server.sql(
    "SELECT data FROM pg_logical_slot_get_changes('same', NULL, NULL)",
    database,
  );
  return lines.split("\n").flatMap((line) => {
    const [, table = "", op = "", columns = ""] = /^table public\.(\w+): (\w+): (.*)$/.exec(line) ?? [];
    if (!CAPTURED.some((name) => name.toLowerCase() === table)) return [];
    const row: Record<string, string | null> = {};
    for (
      const [, column = "", quoted, plain = ""] of columns.matchAll(
        /(\w+)\[[^\]]+\]:(?:'((?:[^']|'')*)'|(\S+))/g,
      )
    ) {
      row[column] = quoted?.replaceAll("''", "'") ?? (plain === "null" ? null : plain);
    }
    return [{ op: op.toLowerCase() as RowChange["op"], table, row }];
  });
}

async function unconfirmed(changes: AsyncIterable<ChangeTransaction>, count: number): Promise<RowChange[]> {
  const read: RowChange[] = [];
  for await (const transaction of changes) {
    read.push(...transaction.changes);
    if (read.length >= count) break;
  }
  return read;
}

function comparable({ op, table, row }: RowChange) {
  const fixed = Object.entries(row).filter(([column]) =>
    !VARYING.includes(column) && !column.startsWith("last_")
  );
  return { op, table, row: Object.fromEntries(fixed) };
}

const SQL_TYPES: Record<string, string> = {
  "numeric": "number",
  "character varying": "text",
  "character": "text",
  "timestamp with time zone": "time",
};

async function assertSchema(sql: (text: string) => Promise<string>): Promise<void> {
  for (const table of Object.keys(TABLES) as Table[]) {
    const name = table.toLowerCase();
    const columns = await sql(
      `SELECT column_name, data_type, is_nullable FROM information_schema.columns WHERE table_name = '${name}'`,
    );
    const found = columns.split("\n").map((line) => {
      const [column = "", type = "", nullable] = line.split("|");
      return [column, `${SQL_TYPES[type]}${nullable === "YES" ? "?" : ""}`];
    });
    const { columns: described, unique, identity } = specOf(table);
    assert.deepEqual(Object.fromEntries(found), described, table);

    const indexes = await sql(`
      SELECT (SELECT string_agg(attname, ',' ORDER BY place) FROM unnest(indkey) WITH ORDINALITY AS k (number, place)
              JOIN pg_attribute ON attrelid = indrelid AND attnum = number), indisprimary
      FROM pg_index WHERE indrelid = '${name}'::regclass AND indisunique`);
    const keys = indexes.split("\n").map((line) => line.split("|"));
    assert.deepEqual(keys.map(([its]) => its).sort(), unique.map((its) => its.join(",")).sort(), table);
    const primary = keys.find(([, isPrimary]) => isPrimary === "t")?.[0];
    if (primary !== undefined) assert.equal(primary, identity.join(","), table);
  }
  for (const [sequence, start] of Object.entries(SEQUENCES)) {
    assert.equal(
      await sql(`SELECT start_value FROM pg_sequences WHERE sequencename = '${sequence}'`),
      `${start}`,
    );
  }
}
