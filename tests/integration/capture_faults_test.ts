/**
 * Change capture while agent, bus and database are killed under load, at moments drawn from a seed: nothing is lost,
 * nothing is applied twice. And what happens when the log that was kept for us has been thrown away.
 */
import assert from "node:assert/strict";
import { setup } from "../../agents/node/setup_run.ts";
import { connectSql, type DatabaseOptions } from "../../agents/node/sql.ts";
import { CAPTURE_TABLES } from "../../lib/cluster/capture_tables.ts";
import { memoryDisk } from "../../agents/node/testing.ts";
import type { Bus } from "../../lib/bus/bus.ts";
import { connectNats } from "../../lib/bus/nats.ts";
import { CHANGES, subjects } from "../../lib/bus/subjects.ts";
import { Changes, STATEMENT_KINDS } from "../../lib/cluster/protocol.ts";
import { SalarError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { identityFromSeed } from "../../lib/secure/keys.ts";
import { openStatement } from "../../lib/secure/statement.ts";
import { run } from "../parts/command.ts";
import { startNats } from "../parts/nats.ts";
import { type Postgres, startPostgres } from "../parts/postgres.ts";
import { seededRandom } from "../simulation/random.ts";
import { waitFor } from "../parts/wait.ts";
import type { CaptureAgentConfig } from "./capture_agent.ts";
import {
  CAPTURE_SETTINGS,
  connectApp,
  createUyuni,
  insertServer,
  Receiver,
  startCapture,
} from "./capture_support.ts";

const NODE = identityFromSeed(new Uint8Array(32).fill(1));
const CLUSTER = identityFromSeed(new Uint8Array(32).fill(2));
const CLUSTER_NAME = "c-test";
const FIRST_ID = 1000010000;
const SERVERS = 40;
const KILLS = 9;
const WAIT_MS = 60_000;

for (const seed of [1, 2]) {
  Deno.test(`agent, bus and database are killed under load: nothing lost, nothing twice (seed ${seed})`, async () => {
    const random = seededRandom(seed, "kills");
    await using postgres = await startPostgres({ logical: true, settings: CAPTURE_SETTINGS });
    await using nats = await startNats();
    const folder = await Deno.makeTempDir();
    const database = await createUyuni(postgres, "uyuni");
    const sql = await connectSql(database, "test setup");
    await setup(sql, CAPTURE_TABLES, { dryRun: false });
    await sql.close();
    for (let n = 0; n < SERVERS / 2; n++) {
      await postgres.sql(insertServer(FIRST_ID + n, `copied ${n}`), "uyuni");
    }

    const ending = new AbortController();
    const scope = realScope({ name: "test", signal: ending.signal });
    const bus = await connectNats(scope, { servers: [nats.url], replicas: 1, name: "test", log: silentLog });
    await bus.ensureStreams(scope, [CHANGES]);
    const receiver = new Receiver();
    const origins = new Set<string>();
    const received = new Set<string | null>();
    const receiving = await receive(bus, scope, (changes) => {
      origins.add(changes.origin);
      for (const { table, row } of changes.changes) {
        if (table === "rhnserver") received.add(row["name"] ?? null);
      }
      receiver.take(changes);
    });

    const agent = new AgentProcess(await agentConfig(folder, { database, natsUrl: nats.url }));
    agent.start();
    await waitFor("first copy", WAIT_MS, () => receiver.rows("rhnserver").length === SERVERS / 2);

    const load = startLoad(database, seed);
    const kills = [
      async () => {
        await agent.kill();
        agent.start();
      },
      async () => {
        await nats.kill();
        await nats.restart();
      },
      async () => {
        await postgres.kill();
        await postgres.restart();
      },
      // What waits for the bus must not count as told: the agent dies with it.
      async () => {
        await nats.kill();
        await scope.sleep(300);
        await agent.kill();
        await nats.restart();
        agent.start();
      },
    ];
    for (let n = 0; n < KILLS; n++) {
      await scope.sleep(200 + random.below(1_500));
      await kills[n < kills.length ? n : random.below(kills.length)]?.(); // each at least once
    }
    await scope.sleep(500);
    const committed = await load.stop();

    const expected = await stateOf(postgres, "uyuni");
    await waitFor(
      "the receiver's rows to be the database's",
      WAIT_MS,
      () => receiverState(receiver) === expected,
    );
    assert(committed.length > 100, `load committed only ${committed.length} names`);
    // What was delivered when the bus died comes again after its ack wait, though newer rows are there already.
    await waitFor("every committed change", WAIT_MS, () => committed.every((name) => received.has(name)));
    // Redelivered and reordered changes come again; a row takes each at most once.
    const applied = receiver.applied.flatMap(({ change: { table, row } }) =>
      table === "rhnserver" && row["name"] ? [row["name"]] : []
    );
    assert.equal(new Set(applied).size, applied.length, "applied twice");
    assert.equal(origins.size, 1, "no kill needs a new copy");

    await agent.kill();
    await receiving.drain();
    await bus.close();
    ending.abort();
    await Deno.remove(folder, { recursive: true });
  });
}

Deno.test("a slot that lost its log is replaced: a new origin, a new copy, vanished rows gone", async () => {
  const settings = { max_slot_wal_keep_size: "16MB", max_wal_size: "32MB", min_wal_size: "32MB" };
  await using postgres = await startPostgres({ logical: true, settings });
  const { receiver, origins, start } = await captured(postgres);
  await postgres.sql(insertServer(FIRST_ID, "stays"), "uyuni");
  await postgres.sql(insertServer(FIRST_ID + 1, "vanishes"), "uyuni");
  const first = start();
  await waitFor("first copy", WAIT_MS, () => receiver.rows("rhnserver").length === 2);
  await first.stop();

  await postgres.sql(`delete from rhnserver where id = ${FIRST_ID + 1}`, "uyuni");
  for (let segment = 0; segment < 6; segment++) {
    await postgres.sql("create table filler (); drop table filler; select pg_switch_wal()", "uyuni");
  }
  await postgres.sql("checkpoint");
  assert.equal(await postgres.sql("select wal_status from pg_replication_slots"), "lost");

  const second = start();
  await waitFor("the vanished row to go", WAIT_MS, () => receiver.rows("rhnserver").length === 1);
  await postgres.sql(insertServer(FIRST_ID + 2, "later"), "uyuni");
  await waitFor("changes again", WAIT_MS, () => receiver.rows("rhnserver").length === 2);
  await second.stop();
  assert.deepEqual([...origins], [1, 2]);
  assert.equal(await postgres.sql("select count(*) from pg_replication_slots"), "1");
});

Deno.test("a database that is set back to an older state begins a new origin", async () => {
  await using postgres = await startPostgres({ logical: true, settings: CAPTURE_SETTINGS });
  const { receiver, origins, start } = await captured(postgres);
  await postgres.sql(insertServer(FIRST_ID, "old"), "uyuni");
  const capture = start();
  await waitFor("first copy", WAIT_MS, () => receiver.rows("rhnserver").length === 1);
  await postgres.sql("checkpoint");
  await postgres.kill();
  const backup = `${postgres.dataFolder}.backup`;
  await run("cp", ["-a", postgres.dataFolder, backup]);
  await postgres.restart();
  await postgres.sql(insertServer(FIRST_ID + 1, "will be undone"), "uyuni");
  await waitFor("second row", WAIT_MS, () => receiver.rows("rhnserver").length === 2);

  await postgres.kill();
  await run("rm", ["-r", postgres.dataFolder]);
  await run("mv", [backup, postgres.dataFolder]);
  await postgres.restart();
  await waitFor("the undone row to go", WAIT_MS, () => receiver.rows("rhnserver").length === 1);
  await capture.stop();
  assert.deepEqual([...origins], [1, 2]);
});

Deno.test("a first copy that is interrupted starts anew, under a higher origin", async () => {
  await using postgres = await startPostgres({ logical: true, settings: CAPTURE_SETTINGS });
  const { receiver, origins, start } = await captured(postgres);
  await postgres.sql(insertServer(FIRST_ID, "one"), "uyuni");
  let isRefused = false;
  const capture = start(() => {
    if (isRefused) return;
    isRefused = true;
    throw new SalarError("closed", "Cannot append: the bus is closed");
  });
  await waitFor("the copy", WAIT_MS, () => receiver.rows("rhnserver").length === 1);
  await capture.stop();
  assert.deepEqual([...origins], [2]);
  assert.match(capture.complaints.join(), /the bus is closed/);
});

/** A database that is set up, and captures of it that share one state and one receiver. */
async function captured(postgres: Postgres) {
  const database = await createUyuni(postgres, "uyuni");
  const sql = await connectSql(database, "test setup");
  await setup(sql, CAPTURE_TABLES, { dryRun: false });
  await sql.close();
  const disk = memoryDisk();
  const receiver = new Receiver();
  const origins = new Set<number>();
  const start = (before: () => void = () => {}) =>
    startCapture({
      database,
      disk,
      async emit(_scope, changes) {
        await Promise.resolve();
        before();
        origins.add(changes.originNo);
        receiver.take(changes);
      },
    });
  return { receiver, origins, start };
}

/** The stream's messages, opened as node-events opens them; a redelivery may come at any time. */
async function receive(bus: Bus, scope: ReturnType<typeof realScope>, take: (changes: Changes) => void) {
  return await bus.consume(
    scope,
    { stream: CHANGES.name, durable: "test", ackWaitMs: 2_000 },
    async (message) => {
      assert.equal(message.subject, subjects.changes(NODE.fp));
      const { body } = openStatement(new TextDecoder().decode(message.data), {
        me: CLUSTER.fp,
        cluster: CLUSTER_NAME,
        kinds: STATEMENT_KINDS,
        accepts: ["node.changes"],
        nowMs: message.atMs,
        sender: () => ({ spki: NODE.spki, role: "node" }),
      });
      take(Changes.parse(body));
      await message.ack();
    },
  );
}

interface AgentParts {
  database: DatabaseOptions;
  natsUrl: string;
}

async function agentConfig(folder: string, { database, natsUrl }: AgentParts): Promise<string> {
  const { host, port, user, password } = database;
  const config: CaptureAgentConfig = {
    database: { host, port, database: database.database, user, password: password.reveal() },
    natsUrl,
    folder: `${folder}/state`,
    identitySeed: new Uint8Array(32).fill(1).toHex(),
    cluster: { cluster: CLUSTER_NAME, clusterKey: CLUSTER.spki.toBase64() },
  };
  await Deno.writeTextFile(`${folder}/agent.json`, JSON.stringify(config), { mode: 0o600 });
  return `${folder}/agent.json`;
}

/** The agent as its own process, started again as often as it is killed. */
class AgentProcess {
  #child: Deno.ChildProcess | null = null;

  constructor(readonly configPath: string) {}

  start(): void {
    const program = new URL("./capture_agent.ts", import.meta.url).pathname;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", program, this.configPath],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#child?.status;
    this.#child = null;
  }
}

/** Uyuni at work: inserts, renames and deletes, each name given once. Answers the names whose commit was confirmed. */
function startLoad(database: DatabaseOptions, seed: number): { stop(): Promise<string[]> } {
  const random = seededRandom(seed, "writes");
  const committed: string[] = [];
  let stopped = false;
  let version = 0;

  async function work(): Promise<void> {
    const app = await connectApp(database);
    try {
      while (!stopped) {
        const id = FIRST_ID + random.below(SERVERS);
        const name = `v${version++}`;
        const isThere = (await app.query("select from rhnserver where id = $1", [id])).rowCount === 1;
        if (isThere && random.below(5) === 0) {
          await app.query("delete from suseminioninfo where server_id = $1", [id]);
          await app.query("delete from rhnserver where id = $1", [id]);
          continue;
        }
        await app.query("begin");
        await app.query(
          isThere ? `update rhnserver set name = '${name}' where id = ${id}` : insertServer(id, name),
        );
        if (!isThere) {
          await app.query("insert into suseminioninfo (server_id, minion_id) values ($1, $2)", [
            id,
            `m-${id}`,
          ]);
        }
        await app.query("commit");
        committed.push(name);
      }
    } finally {
      await app.end().catch(() => {}); // the database was killed
    }
  }

  const running = (async () => {
    while (!stopped) {
      // A killed database ends a round; the load goes on as soon as there is one again.
      await work().catch(() => new Promise((resolve) => setTimeout(resolve, 50)));
    }
  })();
  return {
    async stop() {
      stopped = true;
      await running;
      return committed;
    },
  };
}

async function stateOf(postgres: Postgres, database: string): Promise<string> {
  const rows = await postgres.sql(
    "select s.id || ' ' || s.name || ' ' || coalesce(m.minion_id, '') from rhnserver s " +
      "left join suseminioninfo m on m.server_id = s.id order by s.id",
    database,
  );
  return rows;
}

function receiverState(receiver: Receiver): string {
  const minions = new Map(receiver.rows("suseminioninfo").map((row) => [row["server_id"], row["minion_id"]]));
  return receiver.rows("rhnserver").map(({ id, name }) => `${id} ${name} ${minions.get(id ?? "") ?? ""}`)
    .join("\n");
}
