/** Each way into NATS that a program's configuration can name, on a server that demands it. */
import assert from "node:assert/strict";
import { nkeys } from "nats";
import type { Bus } from "../../lib/bus/bus.ts";
import { connectNats } from "../../lib/bus/nats.ts";
import { natsAccess, type NatsConfig } from "../../lib/bus/nats_config.ts";
import { installNatsGuard } from "../../lib/bus/nats_errors.ts";
import { CHANGES } from "../../lib/bus/subjects.ts";
import { type TestScope, testScope } from "../../lib/bus/testing_scope.ts";
import { type ErrorCode, isSalarError, messageOf } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { realDisk } from "../../lib/mesh/real_disk.ts";
import { type Nats, type NatsOptions, startNats } from "../parts/nats.ts";
import { makeOperator } from "../parts/nats_operator.ts";
import { makeCertificate } from "../parts/tls.ts";
import { waitFor } from "../parts/wait.ts";

const SEEN_MS = 15_000;

Deno.test("a user and its password, a token, an nkey: files with the right one pass, with a wrong one are refused", async () => {
  const key = nkeys.createUser();
  const seedOf = (pair: typeof key) => new TextDecoder().decode(pair.getSeed());
  const ways: {
    server: NatsOptions;
    name: "natsPasswordFile" | "natsTokenFile" | "natsSeedFile";
    right: string;
    wrong: string;
  }[] = [
    {
      server: { auth: { user: "salar", password: "right" } },
      name: "natsPasswordFile",
      right: "right",
      wrong: "hunter2",
    },
    { server: { auth: { token: "t0ken" } }, name: "natsTokenFile", right: "t0ken\n", wrong: "0ther" },
    {
      server: { config: `authorization { users: [{ nkey: ${key.getPublicKey()} }] }` },
      name: "natsSeedFile",
      right: seedOf(key),
      wrong: seedOf(nkeys.createUser()),
    },
  ];
  for (const { server, name, right, wrong } of ways) {
    await withServer(server, async ({ file, open, refused }) => {
      const more = name === "natsPasswordFile" ? { natsUser: "salar" } : {};
      await works(await open({ ...more, [name]: await file("right", right) }));
      const said = await refused("unauthenticated", { ...more, [name]: await file("wrong", wrong) });
      assert.ok(!said.includes(wrong), said);
      await refused("unauthenticated", {});
    });
  }
});

Deno.test("a credentials file of operator mode: passes, is read again at each connect, and a stranger's or an expired one is refused", async () => {
  const operator = makeOperator();
  await withServer({ config: operator.config }, async ({ nats, file, open, refused }) => {
    const natsCredentialsFile = await file("creds", operator.credentials());
    const bus = await open({ natsCredentialsFile });
    await works(bus);

    await refused("unauthenticated", {
      natsCredentialsFile: await file("stranger", makeOperator().credentials()),
    });
    const expired = operator.credentials({ expiresAtMs: Date.now() - 60_000 });
    await refused("unauthenticated", { natsCredentialsFile: await file("expired", expired) });
    await refused("unauthenticated", {});

    // N1 of nats_link.ts: whatever the file holds meanwhile, the connection comes back.
    const reconnects = async () => {
      await waitFor("a connection", SEEN_MS, () => bus.state() === "connected");
      await works(bus);
    };
    const restartWith = async (change: () => Promise<unknown>) => {
      await nats.kill();
      await waitFor("the loss", SEEN_MS, () => bus.state() !== "connected");
      await change();
      await nats.restart();
    };
    await restartWith(() => file("creds", expired));
    await waitFor("several refusals", SEEN_MS, async () => await triesAt(nats) > 2);
    assert.equal(bus.state(), "reconnecting");
    await file("creds", operator.credentials({ name: "renewed" }));
    await reconnects();
    for (const halfWay of [() => file("creds", "half writ"), () => Deno.remove(natsCredentialsFile)]) {
      await restartWith(halfWay);
      await reconnects();
    }
  });
});

Deno.test("a client certificate: passes where the server demands one of its authority, and another's is refused", async () => {
  const folders = [await Deno.makeTempDir(), await Deno.makeTempDir()] as const;
  try {
    const [ours, other] = [await makeCertificate(folders[0]), await makeCertificate(folders[1])];
    const { caFile, certFile, keyFile } = ours;
    const config =
      `tls { cert_file: "${certFile}", key_file: "${keyFile}", ca_file: "${caFile}", verify: true }`;
    await withServer({ config }, async ({ open, refused }) => {
      await works(await open({ natsCaFile: caFile, natsCertFile: certFile, natsKeyFile: keyFile }));
      await refused("unavailable", {
        natsCaFile: caFile,
        natsCertFile: other.certFile,
        natsKeyFile: other.keyFile,
      });
      await refused("unavailable", { natsCaFile: caFile });
    });
  } finally {
    await Promise.all(folders.map((folder) => Deno.remove(folder, { recursive: true })));
  }
});

Deno.test("natsAccess() tells every file that is missing and every pair that is not one, before it connects", async () => {
  await assert.rejects(
    natsAccess(realDisk(), {
      natsUser: "salar",
      natsTokenFile: "/absent/token",
      natsCredentialsFile: "/absent/creds",
      natsCaFile: "/absent/ca.pem",
      natsCertFile: "/absent/cert.pem",
    }),
    (error) => {
      assert.ok(isSalarError(error, "bad-config"));
      assert.deepEqual(error.message.split("\n").slice(1).map((line) => line.trim()), [
        "natsCertFile: goes with natsKeyFile",
        "natsUser: goes with natsPasswordFile",
        "natsTokenFile: cannot be used with natsUser: one way to prove itself",
        "natsCredentialsFile: cannot be used with natsUser: one way to prove itself",
        "natsTokenFile: /absent/token is not there",
        "natsCredentialsFile: /absent/creds is not there",
        "natsCaFile: /absent/ca.pem is not there",
        "natsCertFile: /absent/cert.pem is not there",
      ]);
      return true;
    },
  );
});

Deno.test("a seed that is none and a credentials file that is none refuse the start and do not show themselves", async () => {
  await withServer({}, async ({ file, refused }) => {
    for (
      const [key, text] of [["natsSeedFile", "SUPLANTED"], ["natsCredentialsFile", "PLANTED-CREDS"]] as const
    ) {
      const said = await refused("bad-config", { [key]: await file(key, text) });
      assert.match(said, new RegExp(`${key}: .* holds no`));
      assert.doesNotMatch(said, /PLANTED/);
    }
  });
});

interface Rig {
  nats: Nats;
  scope: TestScope;
  /** Writes a file of this test; its path. */
  file(name: string, text: string): Promise<string>;
  open(config: NatsConfig): Promise<Bus>;
  /** What the refusal says. */
  refused(code: ErrorCode, config: NatsConfig): Promise<string>;
}

async function withServer(options: NatsOptions, test: (rig: Rig) => Promise<void>): Promise<void> {
  const removeGuard = installNatsGuard(silentLog);
  const folder = await Deno.makeTempDir();
  const nats = await startNats(options);
  const scope = testScope();
  const opened: Bus[] = [];
  const open = async (config: NatsConfig) => {
    const access = await natsAccess(realDisk(), config);
    const bus = await connectNats(scope, {
      servers: [nats.url],
      replicas: 1,
      name: "test",
      log: silentLog,
      ...access,
    });
    opened.push(bus);
    return bus;
  };
  try {
    await test({
      nats,
      scope,
      async file(name, text) {
        await Deno.writeTextFile(`${folder}/${name}`, text, { mode: 0o600 });
        return `${folder}/${name}`;
      },
      open,
      async refused(code, config) {
        const error = await open(config).then(() => "it was accepted", (thrown) => thrown);
        assert.ok(isSalarError(error, code), `wanted ${code}, got ${messageOf(error)}`);
        return error.message;
      },
    });
  } finally {
    scope.end();
    await Promise.all(opened.map((bus) => bus.close()));
    await nats.stop();
    await Deno.remove(folder, { recursive: true });
    removeGuard();
  }
}

/** How many connections it has seen since its start. */
async function triesAt(nats: Nats): Promise<number> {
  const { total_connections } = await (await fetch(`${nats.nodes[0]?.monitorUrl}/varz`)).json();
  return total_connections;
}

/** Core and stored messages go through. */
async function works(bus: Bus): Promise<void> {
  const scope = testScope();
  await bus.ensureStreams(scope, [CHANGES]);
  const id = crypto.randomUUID();
  const { duplicate } = await bus.append(scope, `salar.changes.${"a".repeat(64)}`, new Uint8Array(1), { id });
  assert.equal(duplicate, false);
  scope.end();
}
