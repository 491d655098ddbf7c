/** Change capture from a real PostgreSQL: what is told, what is never told, and that Uyuni's writes go on. */
import assert from "node:assert/strict";
import { setup, uninstall } from "../../agents/node/setup_run.ts";
import { connectSql } from "../../agents/node/sql.ts";
import { CAPTURE_TABLES } from "../../agents/node/tables.ts";
import type { Changes } from "../../lib/cluster/protocol.ts";
import { startPostgres } from "../parts/postgres.ts";
import { waitFor } from "../parts/wait.ts";
import {
  CAPTURE_SETTINGS,
  connectApp,
  insertServer,
  memoryDisk,
  optionsOf,
  PLANTED_SECRET,
  Receiver,
  SCHEMA,
  startCapture,
} from "./capture_support.ts";

const KEYS = Object.fromEntries(CAPTURE_TABLES.map(({ name, key }) => [name.toLowerCase(), key]));

Deno.test("capture: copy, then inserts, updates, deletes, truncates, without the secret", async () => {
  await using postgres = await startPostgres({ logical: true, settings: CAPTURE_SETTINGS });
  await postgres.createDatabase("uyuni");
  const database = optionsOf(postgres, "uyuni");
  const app = await connectApp(database);
  await app.query(SCHEMA);
  const sql = await connectSql(database, "test");
  const plan = await setup(sql, CAPTURE_TABLES, { dryRun: false });
  assert.deepEqual(plan.problems, []);
  await app.query(insertServer(1000010000, "first"));

  const messages: Changes[] = [];
  const receiver = new Receiver(KEYS);
  const capture = startCapture({
    database,
    disk: memoryDisk(),
    emit: (_scope, changes) => {
      messages.push(changes);
      receiver.take(changes);
      return Promise.resolve();
    },
  });
  const names = () => receiver.rows("rhnserver").map((row) => row["name"]);
  await waitFor("copy", 10_000, () => names().length === 1);

  await app.query(insertServer(1000010001, "second"));
  await app.query("update rhnserver set name = 'renamed' where id = 1000010000");
  await waitFor("changes", 10_000, () => names().join() === "renamed,second");
  await app.query("update rhnserver set id = 1000010005 where id = 1000010000");
  await app.query("insert into suseminioninfo (server_id, minion_id) values (1000010001, 'm-1')");
  await waitFor("new key", 10_000, () => receiver.rows("suseminioninfo").length === 1);
  assert.deepEqual(receiver.rows("rhnserver").map(({ id }) => id), ["1000010001", "1000010005"]);
  await app.query("update suseminioninfo set os_family = 'Suse'");
  await app.query("delete from rhnserver where id = 1000010001");
  await waitFor("delete with its cascade", 10_000, () => receiver.rows("suseminioninfo").length === 0);
  await app.query("truncate rhnserver cascade");
  await waitFor("truncate", 10_000, () => names().length === 0);

  assert(!JSON.stringify(messages).includes(PLANTED_SECRET));
  await capture.stop();
  const back = await uninstall(sql, CAPTURE_TABLES, { dryRun: false });
  assert.deepEqual(back.problems, []);
  await sql.close();
  await app.end();
});
