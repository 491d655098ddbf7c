import assert from "node:assert/strict";
import { RpcError, TikvError } from "./errors.ts";
import { answer, serveGrpc, type TestServer } from "./grpc_testing.ts";
import { KEEPALIVE_EVERY_MS } from "./limits.ts";
import { Store } from "./methods.ts";
import { createRuntime, type Runtime } from "./runtime.ts";
import { createWire } from "./wire.ts";

/** Real time, but faster for waits of a second and more; most of all between pings. */
function hurried(): Runtime & { slept: number[] } {
  const real = createRuntime();
  const slept: number[] = [];
  return {
    ...real,
    slept,
    sleep(ms, signal) {
      slept.push(ms);
      return real.sleep(ms === KEEPALIVE_EVERY_MS ? 10 : ms >= 1_000 ? ms / 20 : ms, signal);
    },
  };
}

/** Bytes pass both ways between a client and `target` until they are held. */
function relayTo(target: number) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open: Deno.Conn[] = [];
  let held = false;
  const pass = async (from: Deno.Conn, to: Deno.Conn) => {
    const buffer = new Uint8Array(65_536);
    try {
      for (let read = await from.read(buffer); read !== null; read = await from.read(buffer)) {
        if (!held) await to.write(buffer.subarray(0, read));
      }
      to.close();
    } catch {
      // One of the two was closed.
    }
  };
  const serve = async () => {
    for await (const near of listener) {
      const far = await Deno.connect({ hostname: "127.0.0.1", port: target });
      open.push(near, far);
      void pass(near, far);
      void pass(far, near);
    }
  };
  const served = serve();
  return {
    address: `127.0.0.1:${listener.addr.port}`,
    hold: () => held = true,
    async close() {
      listener.close();
      await served;
      for (const each of open) {
        try {
          each.close();
        } catch {
          // Its far side closed it.
        }
      }
    },
  };
}

const serve = (hang: () => boolean): Promise<TestServer> =>
  serveGrpc({ onCall: (call) => hang() ? undefined : answer(call, Store.health, () => ({ status: 1 })) });

Deno.test("a connection that answers no ping is ended, and its calls with it", async () => {
  let hang = false;
  await using server = await serve(() => hang);
  const relay = relayTo(server.port);
  const runtime = hurried();
  const wire = createWire({ runtime });
  const health = () => wire.call(relay.address, Store.health, {}, { timeoutMs: 600_000 });
  try {
    assert.equal((await health()).status, 1);
    hang = true;
    const call = health().catch((error) => error);
    const pings = () => runtime.slept.filter((ms) => ms === KEEPALIVE_EVERY_MS).length;
    while (pings() < 20) await createRuntime().sleep(5); // answered ones change nothing
    relay.hold();
    const error = await call;
    assert.ok(error instanceof RpcError && error.status === 14 && error.sent, String(error));
    assert.match(error.message, /no answer to a ping/);
  } finally {
    await wire.close();
    await relay.close();
  }
});

Deno.test("a far side that accepts and says nothing is unavailable after the time of a dial", async () => {
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = silent.accept();
  const wire = createWire({ runtime: hurried() });
  const address = `127.0.0.1:${silent.addr.port}`;
  const error = await wire.call(address, Store.health, {}, { timeoutMs: 60_000 }).catch((error) => error);
  assert.ok(error instanceof RpcError && error.status === 14 && !error.sent, String(error));
  assert.match(error.message, /no answer within 5000 ms/);
  await wire.close();
  (await accepted).close();
  silent.close();
});

Deno.test("many calls at once make one dial", async () => {
  await using server = await serve(() => false);
  const wire = createWire({ runtime: createRuntime() });
  const calls = Array.from(
    { length: 50 },
    () => wire.call(server.address, Store.health, {}, { timeoutMs: 5_000 }),
  );
  assert.equal((await Promise.all(calls)).length, 50);
  assert.equal(server.sessions.size, 1);
  await wire.close();
});

Deno.test("close() during a dial ends the calls as closed and leaves no connection", async () => {
  await using server = await serve(() => false);
  const wire = createWire({ runtime: createRuntime() });
  const call = wire.call(server.address, Store.health, {}, { timeoutMs: 5_000 }).catch((error) => error);
  await wire.close();
  const error = await call;
  assert.ok(error instanceof TikvError && error.code === "closed", String(error));
  for (let tries = 0; tries < 50 && server.sessions.size > 0; tries++) await createRuntime().sleep(10);
  assert.equal(server.sessions.size, 0);
});

Deno.test("close() during a dial that nobody answers leaves nothing behind", async () => {
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = silent.accept();
  const wire = createWire({ runtime: createRuntime() });
  const address = `127.0.0.1:${silent.addr.port}`;
  const call = wire.call(address, Store.health, {}, { timeoutMs: 60_000 }).catch((error) => error);
  const near = await accepted;
  await wire.close();
  assert.equal((await call).code, "closed");
  const buffer = new Uint8Array(1024);
  while (await near.read(buffer) !== null); // until the client has closed its end
  near.close();
  silent.close();
});

Deno.test("waits between dials grow by 1.6 from 100 ms to 3 s", async () => {
  const gone = await serveGrpc({ onCall: () => {} });
  await gone.close();
  let nowMs = 0;
  const wire = createWire({ runtime: { ...createRuntime(), nowMs: () => nowMs, random: () => 0.5 } });
  const waits: number[] = [];
  for (let dials = 0; dials < 10; dials++) {
    const call = () =>
      wire.call(gone.address, Store.health, {}, { timeoutMs: 5_000 }).catch((error) => error.message);
    assert.match(await call(), /ECONNREFUSED/);
    const waitMs = Number(/not tried again for (\d+) ms/.exec(await call())?.[1]);
    waits.push(waitMs);
    nowMs += waitMs;
  }
  assert.deepEqual(waits, [100, 160, 256, 410, 656, 1049, 1678, 2685, 3000, 3000]);
  await wire.close();
});
