/** A staging that fails, or is cut off, is taken back whole; a dump that does not fit is not taken. */
import assert from "node:assert/strict";
import { changes, faults, startUyuniHost, type UyuniHost } from "./staging_host.ts";

const STAGING = {
  director_url: "http://127.0.0.1:1",
  nats_servers: "127.0.0.1:1",
  package: "/nowhere/salar-node-agent-0.tar.gz",
  wipe: "yes",
};
const secrets = { join_token: "a-join-token" };

async function usedServer(): Promise<UyuniHost> {
  const uyuni = await startUyuniHost();
  await uyuni.addSystem("web-1");
  return uyuni;
}

const systems = ({ sql }: UyuniHost) => sql("select count(*) from rhnServer");
const isRunning = async ({ host }: UyuniHost) =>
  (await host.exec("spacewalk-service status", { okCodes: [0, 1, 3] })).code === 0;

Deno.test("after a staging that failed half-way, node-restore brings everything back, once", async () => {
  await using uyuni = await usedServer();
  const before = await uyuni.contents();

  const failed = await uyuni.apply("node-staging", { params: STAGING, secrets }); // there is no such package
  assert.equal(failed.code, 1);
  assert.equal(await systems(uyuni), "0");
  assert.equal(await isRunning(uyuni), false, "nothing is started on a half-staged server");

  const restored = await uyuni.apply("node-restore");
  assert.equal(restored.code, 0, faults(restored));
  assert.equal(await uyuni.contents(), before);
  assert.equal(await isRunning(uyuni), true);
  assert.deepEqual(changes(await uyuni.apply("node-restore")), []);

  const again = await uyuni.apply("node-staging", { params: STAGING, secrets });
  assert.match(faults(again), /was put back by node-restore; give another stamp/);
  assert.equal(await uyuni.contents(), before);
});

Deno.test("a release whose rows stand in the way loses none of them, and the staging goes on once that is mended", async () => {
  await using uyuni = await usedServer();
  await uyuni.sql(
    "create table other (server_id numeric references rhnServer (id)); insert into other select id from rhnServer",
  );
  const failed = await uyuni.apply("node-staging", { params: STAGING, secrets });
  assert.match(faults(failed), /^failed delete: .*violates foreign key constraint/s);
  assert.equal(await systems(uyuni), "1");
  assert.equal((await uyuni.host.exec("ls /etc/salt/pki/master/minions")).stdout, "web-1\n");

  await uyuni.sql("drop table other");
  const resumed = await uyuni.apply("node-reset", { params: STAGING });
  assert.equal(resumed.code, 0, faults(resumed));
  assert.equal(await systems(uyuni), "0");
});

Deno.test("node-reset does nothing without a whole backup", async () => {
  await using uyuni = await usedServer();
  assert.match(faults(await uyuni.apply("node-reset", { params: STAGING })), /there is no whole backup/);
  assert.equal((await uyuni.apply("node-backup")).code, 0);
  assert.deepEqual(changes(await uyuni.apply("node-backup")), []);
  await uyuni.host.exec("echo x >>/var/lib/salar-staging/first/database.dump");
  assert.match(faults(await uyuni.apply("node-reset", { params: STAGING })), /there is no whole backup/);
  assert.match(faults(await uyuni.apply("node-restore")), /there is no whole backup .* nothing was changed/);
  assert.equal(await systems(uyuni), "1");
});

Deno.test("a golden dump takes the database's place, another release's or a broken one does not", async () => {
  await using uyuni = await usedServer();
  const dump = (path: string) =>
    uyuni.host.exec(`cd / && runuser -u postgres -- pg_dump -Fc -d susemanager >${path}`);
  await uyuni.sql("alter database susemanager set search_path = public, pg_temp");
  await dump("/root/used.dump");
  await uyuni.sql("update rhnPackageEVR set version = '5.1.0'");
  await dump("/root/older.dump");
  await uyuni.sql("update rhnPackageEVR set version = '5.2.1'; select delete_server(id) from rhnServer");
  await dump("/root/golden.dump");
  await uyuni.addSystem("web-2");
  await uyuni.host.exec("head -c 9000 /root/golden.dump >/root/broken.dump");

  assert.equal((await uyuni.apply("node-stop")).code, 0);
  assert.equal((await uyuni.apply("node-backup")).code, 0);
  const reset = async (name: string) =>
    faults(await uyuni.apply("node-reset", { params: { golden: `/root/${name}.dump` } }));
  assert.match(
    await reset("older"),
    /the dump is of release 5\.1\.0, the server of 5\.2\.1; it is as it was/,
  );
  assert.match(await reset("broken"), /the dump cannot be restored; it is as it was/);
  assert.match(await reset("missing"), /is missing or empty/);
  assert.equal(await systems(uyuni), "1");

  // Cut off between its two renames, as by a power failure.
  await uyuni.host.exec(
    "cd / && runuser -u postgres -- psql -Xqc 'alter database susemanager rename to susemanager_before' -c 'create database susemanager' postgres",
  );
  assert.equal(await reset("golden"), "");
  assert.equal(await systems(uyuni), "0");
  assert.equal(
    await uyuni.sql("show search_path"),
    "public, pg_temp",
    "settings of the database come with the dump",
  );
  assert.equal(
    await uyuni.sql("select string_agg(datname, ',') from pg_database where datname like 'susemanager%'"),
    "susemanager",
  );
});
