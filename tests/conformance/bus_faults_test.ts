/**
 * The NATS adapter against servers that die, refuse, or are not who they should be.
 *
 * What counts is in the stream and in the hands of consumers, not what was called: every acknowledged id is stored
 * once and consumed at least once.
 */
import assert from "node:assert/strict";
import { connect as connectRaw } from "nats";
import type { Bus, StreamSpec } from "../../lib/bus/bus.ts";
import { connectNats, type NatsOptions } from "../../lib/bus/nats.ts";
import { installNatsGuard } from "../../lib/bus/nats_errors.ts";
import { type TestScope, testScope } from "../../lib/bus/testing_scope.ts";
import { type ErrorCode, isSalarError, messageOf } from "../../lib/errors.ts";
import { silentLog } from "../../lib/log.ts";
import { Secret } from "../../lib/secure/secret.ts";
import { type Nats, startNats } from "../parts/nats.ts";
import { makeCertificate } from "../parts/tls.ts";
import { waitFor } from "../parts/wait.ts";

const SETTLE_MS = 60_000;
const SENDERS = 16;
const REFUSED_CONNECTS = 20;

const stream: StreamSpec = { name: "LOAD", subjects: ["load.*"], ageMsMax: 3_600_000, bytesMax: 1024 ** 3 };

Deno.test("a server killed twice under load: nothing acknowledged is lost or stored twice", async () => {
  await withBus({}, async ({ nats, scope, open }) => {
    const load = await startLoad(scope, open, { servers: [nats.url], replicas: 1 });
    for (const acknowledged of [300, 900]) {
      await waitFor(`${acknowledged} acknowledged`, SETTLE_MS, () => load.acknowledged.size >= acknowledged);
      await nats.kill();
      await waitFor(
        "the loss is noticed",
        SETTLE_MS,
        () => load.buses.every((bus) => bus.state() !== "connected"),
      );
      await nats.restart();
    }
    await load.finish(1_500);
  });
});

Deno.test("the leader of a stream with three replicas is killed under load: nothing acknowledged is lost", async () => {
  await withBus({ cluster: 3 }, async ({ nats, scope, open }) => {
    const load = await startLoad(scope, open, { servers: nats.urls, replicas: 3 });
    await waitFor("200 acknowledged", SETTLE_MS, () => load.acknowledged.size >= 200);
    const name = await leaderOf(nats);
    const leader = nats.nodes.find((node) => node.name === name);
    assert.ok(leader, `leader ${name} is one of ours`);
    await leader.kill();
    const atKill = load.acknowledged.size;
    await waitFor("a new leader takes messages", SETTLE_MS, () => load.acknowledged.size >= atKill + 200);
    await leader.restart();
    await load.finish(load.acknowledged.size + 200);
    assert.notEqual(await leaderOf(nats), null);
  });
});

Deno.test("core subscriptions are in force again after a restart, and calls wait for it", async () => {
  await withBus({}, async ({ nats, scope, open }) => {
    const options = { servers: [nats.url], replicas: 1 } as const;
    const [asker, server] = [await open(options), await open(options)];
    await server.subscribe(scope, "ask.*", { group: "g" }, (message) => {
      message.respond(message.data);
      return Promise.resolve();
    });
    await nats.kill();
    await waitFor(
      "the loss is noticed",
      SETTLE_MS,
      () => [asker, server].every((bus) => bus.state() !== "connected"),
    );
    const data = new TextEncoder().encode("during");
    const publishing = asker.publish(scope, "ask.none", data);
    const subscribing = asker.subscribe(scope, "late", {}, () => Promise.resolve());
    await nats.restart();
    await Promise.all([publishing, subscribing]);
    await waitFor("both are back", SETTLE_MS, () => server.state() === "connected");
    assert.deepEqual(await asker.request(scope, "ask.one", data), data);
  });
});

Deno.test("TLS: our authority is accepted, another one, none and a plain client are refused", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const other = await makeCertificate(folder);
    await withBus({ tls: true }, async ({ nats, scope, open }) => {
      const trusted = { servers: [nats.url], replicas: 1, tls: { caFile: nats.caFile ?? "" } } as const;
      const bus = await open(trusted);
      await bus.publish(scope, "a", new Uint8Array());
      assert.equal(bus.state(), "connected");
      await refuses("unavailable", open({ ...trusted, tls: { caFile: other.caFile } }));
      await refuses("unavailable", open({ ...trusted, tls: {} }));
      await refuses("unavailable", open({ servers: [nats.url], replicas: 1 }));
      await refuses("unavailable", open({ ...trusted, tls: { caFile: `${folder}/missing.pem` } }));
    });
    await withBus({}, async ({ nats, open }) => {
      const demanding = { servers: [nats.url], replicas: 1, tls: { caFile: other.caFile } } as const;
      assert.match(await refuses("unavailable", open(demanding)), /no TLS/);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("credentials: right ones pass, wrong ones are refused without showing them", async () => {
  await withBus({ auth: { user: "salar", password: "right" } }, async ({ nats, open }) => {
    const base = { servers: [nats.url], replicas: 1 } as const;
    await open({ ...base, credentials: { user: "salar", password: new Secret("right") } });
    const said = await refuses(
      "unauthenticated",
      open({ ...base, credentials: { user: "salar", password: new Secret("hunter2") } }),
    );
    assert.doesNotMatch(said, /hunter2/);
    await refuses("unauthenticated", open(base));
    await refuses("bad-config", open({ ...base, servers: ["nats://salar:right@127.0.0.1:1"] }));
  });
  await withBus({ auth: { token: "t0ken" } }, async ({ nats, open }) => {
    const base = { servers: [nats.url], replicas: 1 } as const;
    await open({ ...base, credentials: { token: new Secret("t0ken") } });
    await refuses("unauthenticated", open({ ...base, credentials: { token: new Secret("other") } }));
  });
});

Deno.test("a server that takes only smaller messages than Salar sends is `bad-config`", async () => {
  await withBus({ config: "max_payload: 64KB" }, async ({ nats, open }) => {
    assert.match(
      await refuses("bad-config", open({ servers: [nats.url], replicas: 1 })),
      /max_payload of 65536/,
    );
  });
});

Deno.test("a server that nobody runs is `unavailable`", async () => {
  const scope = testScope();
  const dead = await startNats();
  await dead.stop();
  const options = { servers: [dead.url], replicas: 1, name: "test", log: silentLog } as const;
  assert.match(await refuses("unavailable", connectNats(scope, options)), /nobody answers there/);
  scope.end();
});

Deno.test("20 refused connects leave the process alive: wrong password, no client certificate", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await using plain = await startNats({ auth: { user: "salar", password: "right" } });
    await runRefused(plain.url);
    const { caFile, certFile, keyFile } = await makeCertificate(folder);
    const config =
      `tls { cert_file: "${certFile}", key_file: "${keyFile}", ca_file: "${caFile}", verify: true }`;
    await using mutual = await startNats({ config });
    await runRefused(mutual.url, caFile);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

interface Fixture {
  nats: Nats;
  scope: TestScope;
  open(options: Pick<NatsOptions, "servers" | "replicas" | "tls" | "credentials">): Promise<Bus>;
}

async function withBus(options: Parameters<typeof startNats>[0], body: (fixture: Fixture) => Promise<void>) {
  const removeGuard = installNatsGuard(silentLog);
  const nats = await startNats(options);
  const scope = testScope();
  const opened: Bus[] = [];
  try {
    await body({
      nats,
      scope,
      async open(options) {
        const bus = await connectNats(scope, { ...options, name: "test", log: silentLog });
        opened.push(bus);
        return bus;
      },
    });
  } finally {
    scope.end();
    await Promise.all(opened.map((bus) => bus.close()));
    await nats.stop();
    removeGuard();
  }
}

interface Load {
  buses: Bus[];
  acknowledged: Set<string>;
  /** Goes on until so many are acknowledged, stops, and checks stream and consumers. */
  finish(count: number): Promise<void>;
}

/** Senders append as fast as they are acknowledged; two replicas of one consumer and a core subscriber take part. */
async function startLoad(
  scope: TestScope,
  open: Fixture["open"],
  options: Parameters<Fixture["open"]>[0],
): Promise<Load> {
  const [sender, one, two] = [await open(options), await open(options), await open(options)];
  await sender.ensureStreams(scope, [stream]);
  const acknowledged = new Set<string>();
  const consumed = new Set<string>();
  for (const bus of [one, two]) {
    await bus.consume(scope, { stream: stream.name, durable: "load", ackWaitMs: 5_000 }, async (message) => {
      await message.ack();
      consumed.add(new TextDecoder().decode(message.data));
    });
  }
  let sending = true;
  const senders = Array.from({ length: SENDERS }, async (_, lane) => {
    for (let n = 0; sending; n++) {
      const id = `${lane}-${n}`;
      await sender.append(scope, `load.${lane}`, new TextEncoder().encode(id), { id });
      acknowledged.add(id);
    }
  });
  return {
    buses: [sender, one, two],
    acknowledged,
    async finish(count) {
      await waitFor(`${count} acknowledged`, SETTLE_MS, () => acknowledged.size >= count);
      sending = false;
      await Promise.all(senders); // an append that was not acknowledged in the end would reject here
      await waitFor("all consumed", SETTLE_MS, () => [...acknowledged].every((id) => consumed.has(id)));
      const stored: string[] = [];
      for await (const { data } of sender.replay(scope, stream.name)) {
        stored.push(new TextDecoder().decode(data));
      }
      assert.deepEqual([...stored].sort(), [...acknowledged].sort());
      const order = new Map<string, number>();
      for (const id of stored) {
        const [lane = "", n = ""] = id.split("-");
        assert.equal(
          Number(n),
          (order.get(lane) ?? -1) + 1,
          `lane ${lane} is stored in the order of its appends`,
        );
        order.set(lane, Number(n));
      }
    },
  };
}

async function leaderOf(nats: Nats): Promise<string | null> {
  const raw = await connectRaw({ servers: nats.urls });
  try {
    const manager = await raw.jetstreamManager();
    return (await manager.streams.info(stream.name)).cluster?.leader ?? null;
  } finally {
    await raw.close();
  }
}

async function refuses(code: ErrorCode, opening: Promise<Bus>): Promise<string> {
  const error = await opening.then(() => "it was accepted", (thrown) => thrown);
  assert.ok(isSalarError(error, code), `wanted ${code}, got ${messageOf(error)}`);
  return error.message;
}

/** A process that ends at an uncaught error prints no count. */
async function runRefused(url: string, caFile?: string): Promise<void> {
  const program = new URL("./bus_refused.ts", import.meta.url).pathname;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", program, url, String(REFUSED_CONNECTS), ...(caFile ? [caFile] : [])],
    signal: AbortSignal.timeout(SETTLE_MS),
  });
  const { code, stdout, stderr } = await child.output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
  assert.deepEqual([code, out], [0, `${REFUSED_CONNECTS} refused`], err ?? "");
}
