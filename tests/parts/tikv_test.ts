/** The real cluster does what tests of the client rely on; the official Go client is the witness. */
import assert from "node:assert/strict";
import { sameKey } from "../../lib/tikv/keys.ts";
import { type GoClient, type GoPair, startGoClient } from "../tikv/go_client.ts";
import { exists } from "./cache.ts";
import { startTikv, type TikvCluster, type TikvServer } from "./tikv.ts";
import { waitFor } from "./wait.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array | null | undefined) => value ? new TextDecoder().decode(value) : null;

Deno.test("a cluster of PD and three stores", async (t) => {
  const cluster = await startTikv();
  const { stores } = cluster;
  try {
    await using client = await startGoClient(cluster.pd);

    await t.step("what is committed is read, by get and in order by scan", async () => {
      const { startTs, commitTs } = await client.put(pairs("read/", 3));
      assert.ok(commitTs > startTs);
      assert.deepEqual(await readAll(client, "read/", 3), ["v0", "v1", "v2"]);
      const found = await client.scan({ from: bytes("read/"), to: bytes("read0"), limit: 10, reverse: true });
      assert.deepEqual(found.map(([key]) => text(key)), ["read/2", "read/1", "read/0"]);
    });

    await t.step("a region begins where it was told to", async () => {
      const keys = [bytes("split/b"), bytes("split/a")];
      await cluster.splitAt(keys);
      for (const key of keys) assert.ok(sameKey((await cluster.regionOf(key)).startKey, key));
      assert.deepEqual((await cluster.regionOf(bytes("split/a"))).endKey, bytes("split/b"));
    });

    await t.step("a leader moves to the store that was named, and to another one", async () => {
      const key = bytes("move/");
      const from = await cluster.leaderOf(key);
      const to = stores.find(({ address }) => address !== from);
      assert.ok(to);
      assert.equal(await cluster.transferLeader(key, to.address), to.address);
      assert.notEqual(await cluster.transferLeader(key), to.address);
      await client.put(pairs("move/", 2));
      assert.deepEqual(await readAll(client, "move/", 2), ["v0", "v1"]);
    });

    await t.step("the death of the store that leads costs no acknowledged write; it comes back", async () => {
      await client.put(pairs("kill/", 50));
      const dead = await leader(cluster, "kill/");
      await dead.kill();
      assert.deepEqual(await readAll(client, "kill/", 50), values(50));
      assert.notEqual(await cluster.leaderOf(bytes("kill/")), dead.address);
      await client.put(pairs("kill/after/", 1));
      await dead.start();
      await cluster.transferLeader(bytes("kill/"), dead.address);
      assert.deepEqual(await readAll(client, "kill/after/", 1), ["v0"]);
    });

    await t.step(
      "a store that hangs loses its regions to others, and takes one again when it goes on",
      async () => {
        const hung = await leader(cluster, "pause/");
        await hung.pause();
        try {
          await client.put(pairs("pause/", 1));
          assert.notEqual(await cluster.leaderOf(bytes("pause/")), hung.address);
        } finally {
          await hung.resume();
        }
        await cluster.transferLeader(bytes("pause/"), hung.address);
        assert.deepEqual(await readAll(client, "pause/", 1), ["v0"]);
      },
    );

    await t.step("every store at once and PD die and come back with their data", async () => {
      await client.put(pairs("all/", 50));
      await Promise.all([cluster.killPd(), ...stores.map((store) => store.kill())]);
      await cluster.startPd();
      await Promise.all(stores.map((store) => store.start()));
      assert.deepEqual(await readAll(client, "all/", 50), values(50));
    });
  } finally {
    await cluster.stop();
  }
  for (const { dataFolder } of stores) assert.equal(await exists(dataFolder), false);
});

Deno.test("three PD members go on without the one that led; TLS asks for a certificate", async () => {
  await using cluster = await startTikv({ stores: 1, pdMembers: 3, tls: true });
  await using client = await startGoClient(cluster.pd);
  await client.put(pairs("pd/", 1));
  const dead = await cluster.killPdLeader();
  await client.put(pairs("pd/", 2));
  await dead.start();
  assert.deepEqual(await readAll(client, "pd/", 2), ["v0", "v1"]);

  const { certificate, pdTls: [url = ""] } = cluster;
  assert.ok(certificate);
  const caCerts = [await Deno.readTextFile(certificate.caFile)];
  const identity = {
    cert: await Deno.readTextFile(certificate.certFile),
    key: await Deno.readTextFile(certificate.keyFile),
  };
  using known = Deno.createHttpClient({ caCerts, ...identity });
  using stranger = Deno.createHttpClient({ caCerts });
  const members = await (await fetch(`${url}/pd/api/v1/members`, { client: known })).json();
  assert.equal(members.members.length, 3);
  // Every try must be refused; now and then the connection breaks before the alert that says why is read.
  const outcome = await waitFor("a refusal that says why", 10_000, async () => {
    try {
      await (await fetch(`${url}/pd/api/v1/members`, { client: stranger })).body?.cancel();
      return "answered";
    } catch (error) {
      return /certificate/i.test(Deno.inspect(error)) && "refused";
    }
  });
  assert.equal(outcome, "refused");
});

Deno.test("startTikv() stops what it had started when its signal ends it", async () => {
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(startTikv({ signal }), /enough/);
});

function pairs(prefix: string, count: number): GoPair[] {
  return values(count).map((value, index) => [bytes(`${prefix}${index}`), bytes(value)]);
}

function values(count: number): string[] {
  return Array.from({ length: count }, (_, index) => `v${index}`);
}

async function readAll(client: GoClient, prefix: string, count: number): Promise<(string | null)[]> {
  return (await client.get(pairs(prefix, count).map(([key]) => key))).map(text);
}

async function leader(cluster: TikvCluster, key: string): Promise<TikvServer> {
  const address = await cluster.leaderOf(bytes(key));
  const store = cluster.stores.find((store) => store.address === address);
  assert.ok(store);
  return store;
}
