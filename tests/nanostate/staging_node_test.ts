/** A used Uyuni server becomes a node, on a throw-away host with real PostgreSQL, director, NATS and agent. */
import assert from "node:assert/strict";
import { packageAgent } from "../../tasks/package.ts";
import { waitFor } from "../parts/wait.ts";
import { startClusterFor } from "./staging_cluster.ts";
import { changes, faults, SECRETS, startUyuniHost, type UyuniHost } from "./staging_host.ts";

/** Parameters of an agent whose director and NATS are not there. */
const ALONE = { director_url: "http://127.0.0.1:1", nats_servers: "127.0.0.1:1", verify_agent: "no" };
const BEAT_MS_MAX = 30_000;

async function agentArchive(stack: AsyncDisposableStack): Promise<string> {
  const folder = await Deno.makeTempDir();
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  return (await packageAgent("node-agent", folder)).archive;
}

async function usedServer(stack: AsyncDisposableStack): Promise<UyuniHost> {
  const uyuni = stack.use(await startUyuniHost());
  await uyuni.addSystem("web-1");
  await uyuni.addSystem("web-2");
  return uyuni;
}

const isRunning = async ({ host }: UyuniHost) =>
  (await host.exec("spacewalk-service status", { okCodes: [0, 1, 3] })).code === 0;

Deno.test("a server with systems is refused, and so is one with channels of its own; nothing is touched", async () => {
  await using stack = new AsyncDisposableStack();
  const uyuni = await usedServer(stack);
  const params = { ...ALONE, package: "/nowhere/salar-node-agent-0.tar.gz" };
  const before = await uyuni.contents();

  const refused = await uyuni.apply("node-staging", { params, secrets: { join_token: "a-join-token" } });
  assert.equal(refused.code, 1);
  assert.match(
    faults(refused),
    /^failed systems: .*2 systems are registered here; .* give the parameter wipe=yes/s,
  );
  assert.deepEqual(changes(refused), []);
  assert.equal(await uyuni.contents(), before);
  assert.equal(await isRunning(uyuni), true);

  await uyuni.sql("select delete_server(id) from rhnServer");
  const again = await uyuni.apply("node-staging", { params, secrets: { join_token: "a-join-token" } });
  assert.match(faults(again), /^failed channels: .*2 channels of an organisation are here/s);

  const other = await uyuni.apply("node-identify", { params: { release: "4.3.9" } });
  assert.match(faults(other), /^failed release: .*the schema is 5\.2\.1, the cluster's nodes have 4\.3\.9/s);
});

Deno.test("a server that may be wiped becomes a node; a second run changes nothing, a later one harms no system", async () => {
  await using stack = new AsyncDisposableStack();
  const uyuni = await usedServer(stack);
  const cluster = stack.use(await startClusterFor(uyuni.host));
  await cluster.call("POST", "/v1/zones", { name: "berlin" });
  const { token } = await cluster.call<{ token: string }>("POST", "/v1/join-tokens", {
    kind: "node",
    zone: "berlin",
  });
  const options = {
    params: {
      package: await agentArchive(stack),
      director_url: cluster.directorUrl,
      nats_servers: cluster.natsServers,
      name: "uyuni-1",
      uyuni_url: "http://127.0.0.1:8080",
      wipe: "yes",
    },
    secrets: { join_token: token },
  };
  const seeds =
    "select count(*) from rhnServerArch; select count(*) from web_contact; select count(*) from rhnVersionInfo;" +
    "select count(*) from rhnServerGroup where group_type is not null";
  const seeded = await uyuni.sql(seeds);

  const planned = await uyuni.apply("node-staging", { ...options, mode: "check" });
  assert.equal(planned.counts.failed, 0, faults(planned));
  assert.equal(await uyuni.sql("select count(*) from rhnServer"), "2", "a plan changes nothing");

  const first = await uyuni.apply("node-staging", options);
  assert.equal(first.code, 0, faults(first));

  const emptied =
    "select count(*) from rhnServer; select count(*) from rhnChannel; select count(*) from rhnServerGroup where group_type is null";
  assert.equal(await uyuni.sql(emptied), "0\n0\n0");
  assert.equal(await uyuni.sql(seeds), seeded, "what a fresh server has is there");
  const { stdout: left } = await uyuni.host.exec(
    "find /etc/salt/pki/master/minions* /srv/susemanager /var/lib/cobbler /var/cache/rhn/repodata -type f",
  );
  assert.equal(left, "");
  assert.equal(await isRunning(uyuni), true);

  assert.equal(
    await uyuni.sql("select count(distinct tablename) from pg_publication_tables where pubname = 'salar'"),
    "5",
  );
  assert.equal(
    await uyuni.sql("select slot_name, plugin, active, wal_status from pg_replication_slots"),
    "salar_1|pgoutput|t|reserved",
  );
  assert.equal(await uyuni.sql("select current_setting('max_slot_wal_keep_size')"), "64MB");
  assert.equal(await uyuni.sql("select has_column_privilege('salar', 'rhnserver', 'secret', 'select')"), "f");
  const { items: [node] } = await cluster.call<{ items: { name: string; state: string }[] }>(
    "GET",
    "/v1/nodes",
  );
  assert.deepEqual([node?.name, node?.state], ["uyuni-1", "pooled"]);
  const agent = await uyuni.host.exec("ps -o user=,args= -C deno");
  assert.match(agent.stdout, /^salar +\/opt\/salar\/salar-node-agent-[^ ]+\/deno run /m);

  const second = await uyuni.apply("node-staging", options);
  assert.equal(second.code, 0, faults(second));
  assert.deepEqual(changes(second), []);

  // The node serves now. Staged again, even with leave to wipe, it keeps what it has.
  await uyuni.addSystem("web-3");
  await uyuni.host.exec("echo key >/etc/salt/pki/master/minions/web-3");
  const before = await uyuni.contents();
  const later = await uyuni.apply("node-staging", options);
  assert.deepEqual([faults(later), changes(later)], ["", []]);
  assert.equal(await uyuni.contents(), before);

  // Another configuration starts the agent anew, once.
  const changed = await uyuni.apply("node-agent", {
    ...options,
    params: { ...options.params, capacity: "500" },
  });
  assert.deepEqual([faults(changed), changes(changed).length], ["", 2]);
  await waitFor(
    "the agent on its slot again",
    BEAT_MS_MAX,
    async () => await uyuni.sql("select bool_and(active) from pg_replication_slots") === "t",
  );

  const secrets = [...Object.values(SECRETS), token];
  const said = JSON.stringify([first, second, changed]) +
    (await uyuni.host.exec("cat /var/log/salar-node.log /var/log/postgresql/*.log; ps -e -o args=")).stdout;
  for (const secret of secrets) assert.equal(said.includes(secret), false, "a secret is said nowhere");
});
