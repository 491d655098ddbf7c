/** Change capture from a real PostgreSQL with Uyuni's tables: what is told, what never is, and what stays as it was. */
import assert from "node:assert/strict";
import { setup, uninstall } from "../../agents/node/setup_run.ts";
import { connectSql, type DatabaseOptions, type Sql } from "../../agents/node/sql.ts";
import { CAPTURE_TABLES, type CaptureTable } from "../../lib/cluster/capture_tables.ts";
import { memoryDisk } from "../../agents/node/testing.ts";
import type { Changes } from "../../lib/cluster/protocol.ts";
import {
  BUS_MESSAGE_BYTES_MAX,
  CAPTURE_IN_FLIGHT_MAX,
  CAPTURE_STATUS_MS,
  CHANGES_BYTES_MAX,
  CHANGES_PER_MESSAGE_MAX,
} from "../../lib/limits.ts";
import { startPostgres } from "../parts/postgres.ts";
import { waitFor } from "../parts/wait.ts";
import {
  CAPTURE_SETTINGS,
  createUyuni,
  insertServer,
  PLANTED_SECRET,
  Receiver,
  startCapture,
} from "./capture_support.ts";

const WAIT_MS = 20_000;
const FIRST_ID = 1000010000;

/** A table whose values are large enough to lie outside their row. */
const NOTES: CaptureTable = {
  name: "notes",
  key: ["id"],
  identity: "primary key",
  columns: ["id", "title", "body"],
};
const NOTES_SQL = "create table notes (id int primary key, title text, body text, hidden text); " +
  "alter table notes alter body set storage external";

interface Watched {
  messages: Changes[];
  receiver: Receiver;
  /** Lines of level warn and error. */
  complaints: string[];
  stop(): Promise<void>;
}

/** Sets the database up and captures it into a receiver. */
async function watch(
  database: DatabaseOptions,
  tables: readonly CaptureTable[] = CAPTURE_TABLES,
): Promise<Watched> {
  const sql = await connectSql(database, "test setup");
  assert.deepEqual((await setup(sql, tables, { dryRun: false })).problems, []);
  await sql.close();
  const messages: Changes[] = [];
  const receiver = new Receiver(tables);
  const capture = startCapture({
    database,
    disk: memoryDisk(),
    emit(_scope, changes) {
      messages.push(changes);
      receiver.take(changes);
      return Promise.resolve();
    },
  });
  await waitFor("first copy", WAIT_MS, () => messages.some(({ first }) => first === 0));
  return { messages, receiver, complaints: capture.complaints, stop: capture.stop };
}

Deno.test("capture", async (t) => {
  await using postgres = await startPostgres({ logical: true, settings: CAPTURE_SETTINGS });
  let databases = 0;
  const database = () => createUyuni(postgres, `uyuni_${++databases}`);

  await t.step("rows are copied, then inserts, updates, deletes and truncates follow", async () => {
    const options = await database();
    const run = (text: string) => postgres.sql(text, options.database);
    await run(insertServer(FIRST_ID, "first"));
    const { receiver, messages, complaints, stop } = await watch(options);
    const names = () => receiver.rows("rhnserver").map((row) => row["name"]).join();
    assert.equal(names(), "first");

    await run(insertServer(FIRST_ID + 1, "second"));
    await run(`update rhnserver set name = 'renamed' where id = ${FIRST_ID}`);
    await waitFor("insert and update", WAIT_MS, () => names() === "renamed,second");
    await run(`update rhnserver set id = ${FIRST_ID + 5} where id = ${FIRST_ID}`);
    await run(`insert into suseminioninfo (server_id, minion_id) values (${FIRST_ID + 1}, 'm-1')`);
    await waitFor("row of a keyless table", WAIT_MS, () => receiver.rows("suseminioninfo").length === 1);
    assert.deepEqual(receiver.rows("rhnserver").map(({ id }) => id), [`${FIRST_ID + 1}`, `${FIRST_ID + 5}`]);
    await run(`delete from rhnserver where id = ${FIRST_ID + 1}`);
    await waitFor("delete and its cascade", WAIT_MS, () => receiver.rows("suseminioninfo").length === 0);
    await run("truncate rhnserver cascade");
    await waitFor("truncate", WAIT_MS, () => names() === "");
    await stop();
    assert.deepEqual(complaints, []);
    assert.equal(JSON.stringify(messages).includes(PLANTED_SECRET), false);
  });

  await t.step(
    "a numeric keeps its digits, a null is a null, an untouched large value is left out",
    async () => {
      const options = await database();
      const run = (text: string) => postgres.sql(text, options.database);
      await run(NOTES_SQL);
      const body = "0123456789abcdef".repeat(2_000);
      const { receiver, messages, stop } = await watch(options, [...CAPTURE_TABLES, NOTES]);
      await run(`insert into notes values (1, 'a', '${body}', '${PLANTED_SECRET}')`);
      await run("update notes set title = null");
      await run(`insert into rhnchannel (id, channel_arch_id, label, basedir, name, summary)
      values (123456789012345678901234567890, 1, 'l', 'b', 'ü€😀', 's')`);
      await waitFor("channel", WAIT_MS, () => receiver.rows("rhnchannel").length === 1);
      await stop();

      const update = messages.flatMap(({ changes }) => changes).find(({ op }) => op === "update");
      assert.deepEqual(update?.row, { id: "1", title: null });
      assert.deepEqual(receiver.rows("notes"), [{ id: "1", title: null, body }]);
      assert.equal(receiver.rows("rhnchannel")[0]?.["id"], "123456789012345678901234567890");
      assert.equal(receiver.rows("rhnchannel")[0]?.["name"], "ü€😀");
      assert.equal(JSON.stringify(messages).includes(PLANTED_SECRET), false);
    },
  );

  await t.step(
    "a transaction of 20,000 rows comes in parts that fit, in order, each position once",
    async () => {
      const options = await database();
      const { receiver, messages, stop } = await watch(options);
      const before = messages.length;
      await postgres.sql(
        `insert into rhnserver (id, org_id, digital_server_id, machine_id, server_arch_id, os, release, name, secret)
       select ${FIRST_ID} + n, 1, 'ID-' || n, md5(n::text), 1, 'SLES', '15.6', 'name ' || n, 's'
       from generate_series(1, 20000) n`,
        options.database,
      );
      await waitFor("all rows", WAIT_MS, () => receiver.rows("rhnserver").length === 20_000);
      await stop();
      const parts = messages.slice(before);
      assert.equal(new Set(parts.map(({ lsn }) => lsn)).size, 1);
      let next = 0;
      for (const part of parts) {
        assert.equal(part.first, next);
        next += part.changes.length;
        assert(part.changes.length <= CHANGES_PER_MESSAGE_MAX);
        assert(JSON.stringify(part).length <= CHANGES_BYTES_MAX && CHANGES_BYTES_MAX < BUS_MESSAGE_BYTES_MAX);
      }
      assert.equal(next, 20_000);
    },
  );

  await t.step("while the bus takes nothing, little is held in memory and nothing is confirmed", async () => {
    const options = await database();
    const sql = await connectSql(options, "test setup");
    await setup(sql, CAPTURE_TABLES, { dryRun: false });
    await sql.close();
    await postgres.sql(insertServer(FIRST_ID, "v0"), options.database);
    const gate = { open: Promise.withResolvers<void>(), isShut: false };
    let held = 0;
    let heldMost = 0;
    const receiver = new Receiver();
    const capture = startCapture({
      database: options,
      disk: memoryDisk(),
      async emit(_scope, changes) {
        heldMost = Math.max(heldMost, ++held);
        if (gate.isShut) await gate.open.promise;
        receiver.take(changes);
        held--;
      },
    });
    await waitFor("copy", WAIT_MS, () => receiver.rows("rhnserver").length === 1);
    gate.isShut = true;
    const confirmed = () =>
      postgres.sql(
        "select confirmed_flush_lsn from pg_replication_slots where database = current_database()",
        options.database,
      );
    const before = await confirmed();
    await postgres.sql(
      `do $$ begin perform set_config('synchronous_commit', 'off', false); for n in 1..20000 loop
         update rhnserver set name = 'v' || n; commit; end loop; end $$`,
      options.database,
    );
    await waitFor("parts to be held", WAIT_MS, () => held >= CAPTURE_IN_FLIGHT_MAX);
    await new Promise((resolve) => setTimeout(resolve, 2 * CAPTURE_STATUS_MS)); // time to do it wrong
    assert(heldMost < 2_000, `${heldMost} parts held`); // the limit, and what one reading of the socket brings
    assert.equal(await confirmed(), before);
    gate.open.resolve();
    await waitFor("the last change", WAIT_MS, () => receiver.rows("rhnserver")[0]?.["name"] === "v20000");
    await waitFor("confirmation", WAIT_MS, async () => await confirmed() !== before);
    await capture.stop();
    assert.deepEqual(capture.complaints, []);
  });

  await t.step("a row too large for the bus loses its largest value, and capture goes on", async () => {
    const options = await database();
    const run = (text: string) => postgres.sql(text, options.database);
    await run(NOTES_SQL);
    const { receiver, complaints, stop } = await watch(options, [NOTES]);
    await run("insert into notes values (1, 'kept', repeat('x', 1000000))");
    await run("insert into notes values (2, 'next', 'y')");
    await waitFor("the next row", WAIT_MS, () => receiver.rows("notes").length === 2);
    await stop();
    assert.match(complaints.join(), /row too large for the bus.*"columns":\["body"\]/);
    assert.deepEqual(receiver.rows("notes"), [
      { id: "1", title: "kept" },
      { id: "2", title: "next", body: "y" },
    ]);
  });

  await t.step(
    "a role that may replicate and read the listed columns is enough; without it says what to grant",
    async () => {
      const options = await database();
      const run = (text: string) => postgres.sql(text, options.database);
      await run(insertServer(FIRST_ID, "one"));
      const sql = await connectSql(options, "test setup");
      await setup(sql, CAPTURE_TABLES, { dryRun: false });
      await sql.close();
      await run(`create role agent login replication password '${postgres.password}'`);
      const receiver = new Receiver();
      const capture = startCapture({
        database: { ...options, user: "agent" },
        disk: memoryDisk(),
        emit: (_scope, changes) => Promise.resolve(receiver.take(changes)),
      });
      await waitFor("complaint", WAIT_MS, () => /needs SELECT \(.*\) on it/.test(capture.complaints.join()));
      for (const { name, columns } of CAPTURE_TABLES) {
        const listed = await run(
          `select string_agg(quote_ident(column_name), ', ') from information_schema.columns
         where table_name = '${name.toLowerCase()}' and column_name in (${
            columns.map((column) => `'${column}'`)
          })`,
        );
        await run(`grant select (${listed}) on ${name} to agent`);
      }
      await waitFor("copy", WAIT_MS, () => receiver.rows("rhnserver").length === 1);
      assert.equal(typeof await capture.lagBytes(), "number");
      await capture.stop();
    },
  );

  await t.step("no write of Uyuni fails while its tables are published", async () => {
    const options = await database();
    const run = (text: string) => postgres.sql(text, options.database);
    const { receiver, stop } = await watch(options);
    await run("insert into rhnservergroup (id, name, description, org_id) values (1, 'g', 'g', 1)");
    await run(
      `insert into rhnchannel (id, channel_arch_id, label, basedir, name, summary) values (101, 1, 'l', 'b', 'n', 's')`,
    );
    await run(insertServer(FIRST_ID, "n"));
    const id = FIRST_ID;
    const rows = [
      ["suseminioninfo", `server_id, minion_id`, `${id}, 'm'`],
      ["rhnserverchannel", "server_id, channel_id", `${id}, 101`],
      ["rhnservergroupmembers", "server_id, server_group_id", `${id}, 1`],
      ["rhnserverinfo", "server_id", `${id}`],
    ] as const;
    for (const [table, columns, values] of rows) {
      await run(`insert into ${table} (${columns}) values (${values})`);
    }
    const tables = (await run(
      "select table_name from information_schema.columns where table_schema = 'public' and column_name = 'modified'",
    )).split("\n");
    for (const table of [...tables, "rhnserverinfo"]) {
      const column = table === "rhnserverinfo" ? "checkin" : "modified";
      await run(`update ${table} set ${column} = now()`);
    }
    for (const [table] of rows) await run(`delete from ${table}`);
    for (const table of ["rhnserver", "rhnchannel", "rhnservergroup"]) await run(`delete from ${table}`);
    const left = () =>
      CAPTURE_TABLES.reduce((sum, { name }) => sum + receiver.rows(name.toLowerCase()).length, 0);
    await waitFor("all deletes", WAIT_MS, () => left() === 0 && receiver.applied.length > 10);
    await stop();
  });
});

/** Everything that setup touches. */
async function fingerprint(sql: Sql): Promise<string> {
  const parts = [
    "select relname, relreplident from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by 1",
    "select indexrelid::regclass, indisreplident from pg_index where indisreplident order by 1",
    "select pubname from pg_publication",
    "select slot_name from pg_replication_slots where database = current_database()",
  ];
  return JSON.stringify(await Promise.all(parts.map((text) => sql.query(text))));
}

Deno.test("setup and uninstall", async (t) => {
  await using postgres = await startPostgres({ logical: true, settings: CAPTURE_SETTINGS });
  const options = await createUyuni(postgres, "uyuni");
  const sql = await connectSql(options, "test");
  // One table whose identity somebody has set already.
  await sql.query("alter table rhnservergroupmembers replica identity full");
  const before = await fingerprint(sql);

  await t.step("a dry run changes nothing", async () => {
    const plan = await setup(sql, CAPTURE_TABLES, { dryRun: true });
    assert.deepEqual(plan.problems, []);
    assert.equal(plan.steps.length, 5); // three identities, publication, comment
    assert.equal(await fingerprint(sql), before);
  });

  await t.step("a second setup finds nothing to do", async () => {
    await setup(sql, CAPTURE_TABLES, { dryRun: false });
    assert.deepEqual((await setup(sql, CAPTURE_TABLES, { dryRun: false })).steps, []);
  });

  await t.step("a table that leaves the list gets its identity back", async () => {
    const shorter = CAPTURE_TABLES.filter(({ name }) => name !== "rhnServerChannel");
    await setup(sql, shorter, { dryRun: false });
    const [[identity] = []] = await sql.query(
      "select relreplident from pg_class where relname = 'rhnserverchannel'",
    );
    assert.equal(identity, "d");
    await setup(sql, CAPTURE_TABLES, { dryRun: false });
  });

  await t.step("an index that an update of Uyuni made anew is set again", async () => {
    await sql.query("drop index rhn_sc_sid_cid_uq");
    await sql.query("create unique index rhn_sc_sid_cid_uq on rhnserverchannel (server_id, channel_id)");
    const plan = await setup(sql, CAPTURE_TABLES, { dryRun: false });
    assert.equal(plan.steps.length, 1);
  });

  await t.step("uninstall waits for the agent, and takes everything away after it", async () => {
    const messages: Changes[] = [];
    const capture = startCapture({
      database: options,
      disk: memoryDisk(),
      emit: (_scope, changes) => Promise.resolve(void messages.push(changes)),
    });
    await waitFor(
      "slot in use",
      WAIT_MS,
      async () => (await postgres.sql("select count(*) from pg_replication_slots where active")) === "1",
    );
    const refused = await uninstall(sql, CAPTURE_TABLES, { dryRun: false });
    assert.match(refused.problems.join(), /stop the node agent/);
    await waitFor("copy", WAIT_MS, () => messages.length > 0);
    await capture.stop();
    await waitFor(
      "slot free",
      WAIT_MS,
      async () => (await uninstall(sql, CAPTURE_TABLES, { dryRun: true })).problems.length === 0,
    );
    await uninstall(sql, CAPTURE_TABLES, { dryRun: false });
    assert.equal(await fingerprint(sql), before);
    const again = await uninstall(sql, CAPTURE_TABLES, { dryRun: false });
    assert.deepEqual([...again.slots, ...again.steps], []);
  });
  await sql.close();
});

Deno.test("setup refuses an unlimited slot, a wal_level without logical decoding and a role without rights", async () => {
  await using postgres = await startPostgres();
  const options = await createUyuni(postgres, "uyuni");
  await postgres.sql(`create role weak login password '${postgres.password}'`);
  const sql = await connectSql({ ...options, user: "weak" }, "test");
  const before = await fingerprint(sql);
  const { problems, steps } = await setup(sql, CAPTURE_TABLES, { dryRun: false });
  for (
    const word of [
      /wal_level is replica/,
      /max_slot_wal_keep_size is unlimited/,
      /may not replicate/,
      /may not create/,
    ]
  ) {
    assert.match(problems.join("\n"), word);
  }
  assert.equal(
    problems.filter((problem) => problem.includes("belongs to another role")).length,
    CAPTURE_TABLES.length,
  );
  assert.deepEqual(steps, []);
  assert.equal(await fingerprint(sql), before);
  await sql.close();
});
