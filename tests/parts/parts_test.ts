/** The real parts do what tests rely on: start, work, die by SIGKILL, come back with their data, leave nothing behind. */
import assert from "node:assert/strict";
import { connect, type NatsConnection } from "nats";
import { run } from "./command.ts";
import { exists } from "./cache.ts";
import { ensureGo } from "./go.ts";
import { type Nats, startNats } from "./nats.ts";
import { startPostgres } from "./postgres.ts";
import { ensurePython } from "./python.ts";
import { waitFor } from "./wait.ts";

Deno.test("PostgreSQL keeps what was committed over kill -9 and restart, and leaves nothing behind", async () => {
  const postgres = await startPostgres({ logical: true, settings: { max_connections: 20 } });
  try {
    assert.equal(await postgres.sql("show wal_level"), "logical");
    assert.equal(await postgres.sql("show max_connections"), "20");
    const url = await postgres.createDatabase("uyuni");
    assert.match(url, /\/uyuni$/);
    await postgres.sql("create table t (a int); insert into t values (7)", "uyuni");

    await postgres.kill();
    await assert.rejects(postgres.sql("select 1"), /refused/);
    await postgres.restart();
    assert.equal(await postgres.sql("select a from t", "uyuni"), "7");
    await postgres.restart();
    assert.equal(await postgres.sql("select a from t", "uyuni"), "7");
  } finally {
    await postgres.stop();
  }
  assert.equal(await exists(postgres.dataFolder), false);
});

Deno.test("PostgreSQL refuses a wrong password and a database name that is none", async () => {
  await using postgres = await startPostgres();
  const psql = run("/usr/lib/postgresql/15/bin/psql", [
    "-c",
    "select 1",
    postgres.url.replace(/:[^:@]*@/, ":wrong@"),
  ]);
  await assert.rejects(psql, /password authentication failed/);
  await assert.rejects(postgres.createDatabase("a; drop database b"), /plain lower-case name/);
});

Deno.test("NATS keeps every acknowledged message over kill -9 and restart", async () => {
  await using nats = await startNats();
  await withStream(nats, 1, async (connection) => {
    for (let index = 0; index < 20; index++) await connection.jetstream().publish("s.a", `${index}`);
  });
  await nats.kill();
  await nats.restart();
  const connection = await connect({ servers: nats.url });
  const manager = await connection.jetstreamManager();
  assert.equal((await manager.streams.info("S")).state.messages, 20);
  await connection.close();
});

Deno.test("a NATS cluster with TLS and a password goes on when the stream's leader is killed", async () => {
  await using nats = await startNats({ cluster: 3, tls: true, auth: { user: "u", password: "p" } });
  await assert.rejects(connect({ servers: nats.url, tls: { caFile: nats.caFile ?? "" }, reconnect: false }));

  await withStream(nats, 3, async (connection) => {
    const publish = (text: string) => connection.jetstream().publish("s.a", text, { msgID: text });
    // A new stream's subjects take a moment to be known to every server: until then nobody answers.
    await waitFor("an acknowledgement", 10_000, () => publish("before"));
    const manager = await connection.jetstreamManager();
    const leader = (await manager.streams.info("S")).cluster?.leader;
    const node = nats.nodes.find(({ name }) => name === leader);
    assert.ok(node, `no node is called ${leader}`);
    await node.kill();
    await waitFor(
      "an acknowledgement of the rest",
      20_000,
      () => connection.jetstream().publish("s.a", "after"),
    );
    await node.restart();
    assert.equal((await manager.streams.info("S")).state.messages, 2);
  });
});

Deno.test("a NATS server whose configuration is wrong says so", async () => {
  await assert.rejects(startNats({ config: "no_such_option: 1" }), /no_such_option/);
});

Deno.test("Python has xmlrpc.client, and Go runs", async () => {
  const { python } = await ensurePython();
  const { stdout } = await run(python, [
    "-c",
    "import xmlrpc.client as x; print(x.dumps((1,), 'm').count('<int>'))",
  ]);
  assert.equal(stdout.trim(), "1");
  const { go } = await ensureGo();
  assert.match((await run(go, ["version"])).stdout, /^go version go1\./);
});

async function withStream(
  nats: Nats,
  replicas: number,
  work: (connection: NatsConnection) => Promise<void>,
): Promise<void> {
  const secure = nats.caFile === null ? {} : { tls: { caFile: nats.caFile }, user: "u", pass: "p" };
  const connection = await connect({ servers: nats.urls, ...secure });
  try {
    const manager = await connection.jetstreamManager();
    await manager.streams.add({ name: "S", subjects: ["s.>"], num_replicas: replicas });
    await work(connection);
  } finally {
    await connection.close();
  }
}
