/** The server configuration that ships in deploy/nats: valid, syncing, and with two accounts that hold. */
import assert from "node:assert/strict";
import { nkeys } from "nats";
import { natsAccess } from "../../lib/bus/nats_config.ts";
import { connectNats, type NatsOptions } from "../../lib/bus/nats.ts";
import { CHANGES, subjects } from "../../lib/bus/subjects.ts";
import { testScope } from "../../lib/bus/testing_scope.ts";
import { isSalarError } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { realDisk } from "../../lib/mesh/real_disk.ts";
import { Secret } from "../../lib/secure/secret.ts";
import { refusedStart, startFunctions } from "../integration/functions_program.ts";
import { ensureNats, startNats } from "../parts/nats.ts";
import { makeCertificate } from "../parts/tls.ts";
import { waitFor } from "../parts/wait.ts";

const SHIPPED = new URL("../../deploy/nats/", import.meta.url);
const MINE = "a".repeat(64);
const OTHER = "b".repeat(64);

const functionsKey = nkeys.createUser();
const nodeKey = nkeys.createUser();
const seedOf = (key: typeof nodeKey) => new Secret(new TextDecoder().decode(key.getSeed()));

Deno.test("the shipped files are valid for nats-server, and sync before they acknowledge", async () => {
  const { server } = await ensureNats();
  const folder = await Deno.makeTempDir();
  try {
    await makeCertificate(folder);
    for (const name of ["nats.conf", "cluster.conf", "accounts.conf"]) {
      const text = (await shipped(name)).replaceAll("/etc/nats/tls", folder);
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    for (const name of ["nats.conf", "cluster.conf"]) {
      const { code, stderr } = await new Deno.Command(server, {
        args: ["-t", "-c", `${folder}/${name}`],
        env: { NATS_NAME: "nats-1", SALAR_FUNCTIONS_NKEY: functionsKey.getPublicKey() },
      }).output();
      assert.equal(code, 0, `${name}: ${new TextDecoder().decode(stderr)}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  assert.match(await shipped("nats.conf"), /^ {2}sync_interval: always$/m);
});

Deno.test("the shipped accounts: a node agent reaches the functions, and nothing else", async () => {
  const config = (await shipped("accounts.conf"))
    .replace("$SALAR_FUNCTIONS_NKEY", functionsKey.getPublicKey());
  await using nats = await startNats({ config });
  const scope = testScope();
  const base: NatsOptions = { servers: [nats.url], replicas: 1, name: "test", log: silentLog };
  const core = await connectNats(scope, { ...base, credentials: { nkeySeed: seedOf(functionsKey) } });
  const agent = await connectNats(scope, {
    ...base,
    credentials: { nkeySeed: seedOf(nodeKey) },
    inboxPrefix: `_I.${MINE}`,
  });
  try {
    const data = new TextEncoder().encode("x");
    await core.ensureStreams(scope, [CHANGES]);
    const heard: string[] = [];
    const answer = (message: { subject: string; respond(data: Uint8Array): void }) => {
      heard.push(message.subject);
      message.respond(data);
      return Promise.resolve();
    };
    await core.subscribe(scope, "salar.node.>", { group: "functions" }, answer);
    await agent.subscribe(scope, subjects.hint(MINE), {}, answer);

    // What it is for
    assert.deepEqual(await agent.request(scope, subjects.nodeFetch(MINE), data), data);
    assert.deepEqual(await agent.append(scope, subjects.changes(MINE), data, { id: "1" }), {
      seq: 1,
      duplicate: false,
    });
    assert.equal((await agent.append(scope, subjects.changes(MINE), data, { id: "1" })).duplicate, true);
    await agent.publish(scope, subjects.nodeBeat(MINE), data);
    await core.publish(scope, subjects.hint(MINE), data);
    await waitFor("both are heard", 5_000, () => heard.length === 3);

    // What it may not do
    heard.length = 0;
    await agent.publish(scope, subjects.nodeBeat(OTHER), data);
    await agent.publish(scope, subjects.nodeBeat(MINE), data);
    await waitFor("the one that is allowed", 5_000, () => heard.length === 1);
    assert.deepEqual(heard, [subjects.nodeBeat(MINE)]);
    await assert.rejects(
      agent.subscribe(scope, subjects.hint(OTHER), {}, answer),
      (error) => isSalarError(error, "forbidden"),
    );
    await assert.rejects(
      scope.timeout(1_000, (inner) => agent.ensureStreams(inner, [{ ...CHANGES, name: "MINE" }])),
    );
  } finally {
    scope.end();
    await Promise.all([core.close(), agent.close()]);
  }
});

Deno.test("the shipped accounts: the functions' program works by its nkey alone, and a node agent's request reaches it", async () => {
  const config = (await shipped("accounts.conf"))
    .replace("$SALAR_FUNCTIONS_NKEY", functionsKey.getPublicKey());
  await using nats = await startNats({ config });
  const folder = await Deno.makeTempDir();
  const scope = testScope();
  try {
    const seedFile = async (name: string, key: typeof nodeKey) => {
      await Deno.writeTextFile(`${folder}/${name}`, `${seedOf(key).reveal()}\n`, { mode: 0o600 });
      return `${folder}/${name}`;
    };
    const args = ["--nats-servers", `127.0.0.1:${nats.port}`, "--nats-seed-file"];
    const stranger = await refusedStart({ args: [...args, await seedFile("stranger", nkeys.createUser())] });
    assert.match(stranger.said, /the server refuses our credentials/);

    await using program = await startFunctions({
      args: [...args, await seedFile("functions", functionsKey)],
    });
    const ready = await fetch(`${program.url}/readyz`);
    assert.deepEqual(await ready.json(), { ready: true, reasons: [] });

    const access = await natsAccess(realDisk(), { natsSeedFile: await seedFile("node", nodeKey) });
    const base = { servers: [nats.url], replicas: 1, name: "node", log: silentLog } as const;
    const agent = await connectNats(scope, { ...base, ...access, inboxPrefix: `_I.${MINE}` });
    const answer = await agent.request(
      scope,
      subjects.nodeFetch(MINE),
      new TextEncoder().encode("no statement"),
    );
    assert.match(new TextDecoder().decode(answer), /"code":"unauthenticated"/);
    await agent.close();
    assert.equal(await program.stop(), 0, program.log());
    assert.doesNotMatch(program.log(), /bus refused|"level":"error"/);
  } finally {
    scope.end();
    await Deno.remove(folder, { recursive: true });
  }
});

async function shipped(name: string): Promise<string> {
  const text = await Deno.readTextFile(new URL(name, SHIPPED));
  return text.replaceAll("FINGERPRINT", MINE).replaceAll("NODE_NKEY", nodeKey.getPublicKey());
}
