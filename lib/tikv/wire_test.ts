import assert from "node:assert/strict";
import { constants } from "node:http2";
import { RpcError, TikvError } from "./errors.ts";
import { answer, type IncomingCall, readMessages, serveGrpc, type TestServer } from "./grpc_testing.ts";
import { HealthStatus } from "./messages_kv.ts";
import { Kv, Pd, Store, Streams } from "./methods.ts";
import type { Wire } from "./rpc.ts";
import { createRuntime } from "./runtime.ts";
import { createWire } from "./wire.ts";

const OPTIONS = { timeoutMs: 5_000 };

interface Setup {
  wire: Wire;
  server: TestServer;
  /** One unary call, and how it ends. */
  health(options?: { timeoutMs: number; signal?: AbortSignal }): Promise<unknown>;
}

/** A client and a server that answers as `onCall` says, for the time of `body`. */
async function withServer(onCall: (call: IncomingCall) => void, body: (setup: Setup) => Promise<void>) {
  const runtime = createRuntime();
  const wire = createWire({ runtime });
  await using server = await serveGrpc({ onCall });
  const health: Setup["health"] = (options = OPTIONS) =>
    wire.call(server.address, Store.health, {}, options).catch((error) => error);
  try {
    await body({ wire, server, health });
  } finally {
    await wire.close();
  }
}

const serving = (call: IncomingCall) => answer(call, Store.health, () => ({ status: HealthStatus.serving }));

function assertRpc(error: unknown, expected: { status: number; sent: boolean; message?: RegExp }) {
  assert.ok(error instanceof RpcError, String(error));
  assert.deepEqual({ status: error.status, sent: error.sent }, {
    status: expected.status,
    sent: expected.sent,
  });
  if (expected.message !== undefined) assert.match(error.message, expected.message);
}

function assertCode(error: unknown, code: string, message?: RegExp) {
  assert.ok(error instanceof TikvError, String(error));
  assert.equal(error.code, code);
  if (message !== undefined) assert.match(error.message, message);
}

Deno.test("call() gives the reply of a unary method, and tells the server its time limit", async () => {
  const seen: unknown[] = [];
  await withServer((call) => {
    const { "content-type": type, te, "grpc-timeout": timeout } = call.headers;
    seen.push([call.path, type, te, timeout]);
    serving(call);
  }, async ({ wire, server }) => {
    assert.deepEqual(await wire.call(server.address, Store.health, {}, OPTIONS), {
      status: HealthStatus.serving,
    });
    assert.deepEqual(seen, [["/grpc.health.v1.Health/Check", "application/grpc", "trailers", "5000m"]]);
  });
});

Deno.test("call() reads a reply that comes in many pieces, and one of 20 MiB", async () => {
  const sizes = [0, 1, 100, 20 * 1024 * 1024];
  let next = 0;
  await withServer((call) => {
    answer(call, Pd.getRegion, () => ({
      region: { startKey: new Uint8Array(sizes[next++] ?? 0).fill(7) },
    }));
  }, async ({ wire, server }) => {
    for (const size of sizes) {
      const { region } = await wire.call(server.address, Pd.getRegion, {}, OPTIONS);
      assert.equal(region?.startKey.length, size);
      assert.ok(region.startKey.every((byte) => byte === 7));
      assert.equal(region.startKey.constructor, Uint8Array, "no Buffer, whose slice() is no copy");
    }
  });
});

Deno.test("call() rejects with the status and the decoded text of the server", async () => {
  await withServer((call) => {
    call.respond();
    call.finish(9, "mismatch cluster id, 100% wrong: ü");
  }, async ({ health }) => {
    assertRpc(await health(), {
      status: 9,
      sent: true,
      message: /status 9: mismatch cluster id, 100% wrong: ü$/,
    });
  });
});

Deno.test("call() understands a reply that is trailers only", async () => {
  await withServer(({ stream }) => {
    const headers = { ":status": 200, "content-type": "application/grpc" };
    stream.respond({ ...headers, "grpc-status": "14", "grpc-message": "not%20leader" }, { endStream: true });
  }, async ({ health }) => {
    assertRpc(await health(), { status: 14, sent: true, message: /not leader/ });
  });
});

Deno.test("call() takes text that is not percent-encoded as it is", async () => {
  await withServer(({ stream }) => {
    stream.respond({ ":status": 200, "grpc-status": "2", "grpc-message": "100%" }, { endStream: true });
  }, async ({ health }) => {
    assertRpc(await health(), { status: 2, sent: true, message: /100%$/ });
  });
});

Deno.test("call() takes the HTTP status of a proxy for its own", async () => {
  const cases = [[503, 14], [404, 12], [500, 2]] as const;
  let next = 0;
  await withServer(({ stream }) => {
    stream.respond({ ":status": cases[next++]?.[0] ?? 200 }, { endStream: true });
  }, async ({ health }) => {
    for (const [http, status] of cases) {
      assertRpc(await health(), { status, sent: true, message: new RegExp(`HTTP status ${http}`) });
    }
  });
});

Deno.test("call() is not sent when the server refused the stream, and was when it broke it", async () => {
  const codes = [constants.NGHTTP2_REFUSED_STREAM, constants.NGHTTP2_INTERNAL_ERROR];
  await withServer(({ stream }) => stream.close(codes.shift()), async ({ health }) => {
    assertRpc(await health(), { status: 14, sent: false });
    assertRpc(await health(), { status: 14, sent: true });
  });
});

Deno.test("call() rejects a good end without a message, and two messages, as malformed", async () => {
  let messages = 0;
  await withServer((call) => {
    call.respond();
    for (let sent = 0; sent < messages; sent++) call.send(Store.health.reply, { status: 1 });
    call.finish();
  }, async ({ health }) => {
    assertCode(await health(), "malformed", /without a message/);
    messages = 2;
    assertCode(await health(), "malformed", /two messages/);
  });
});

Deno.test("call() rejects bytes that are no message as malformed", async () => {
  const wrong = ["0000000001ff", "01000000020801", "00ffffffff"];
  await withServer((call) => {
    call.respond();
    call.stream.write(Uint8Array.fromHex(wrong[0] ?? ""));
    call.finish();
  }, async ({ health }) => {
    while (wrong.length > 0) {
      assertCode(await health(), "malformed");
      wrong.shift();
    }
  });
});

Deno.test("call() rejects a good end in the middle of a message as malformed", async () => {
  await withServer((call) => {
    call.respond();
    call.send(Store.health.reply, { status: 1 });
    call.stream.write(Uint8Array.fromHex("0000000002"));
    call.finish();
  }, async ({ health }) => assertCode(await health(), "malformed", /within a message/));
});

Deno.test("call() ends at its deadline, and the server hears of it", async () => {
  const closed = Promise.withResolvers<void>();
  await withServer(({ stream }) => stream.on("close", () => closed.resolve()), async ({ health }) => {
    assertRpc(await health({ timeoutMs: 60 }), { status: 4, sent: true, message: /no answer within 60 ms/ });
    await closed.promise;
  });
});

Deno.test("call() ends when its signal aborts: before, and while it waits", async () => {
  const arrived = Promise.withResolvers<void>();
  await withServer(() => arrived.resolve(), async ({ health }) => {
    assertCode(await health({ ...OPTIONS, signal: AbortSignal.abort() }), "cancelled");
    const abort = new AbortController();
    const call = health({ ...OPTIONS, signal: abort.signal });
    await arrived.promise;
    abort.abort(new Error("enough"));
    const error = await call;
    assertCode(error, "cancelled");
    assert.match(String((error as Error).cause), /enough/);
  });
});

Deno.test("call() to a port where nobody listens is unavailable and not sent; until the next dial it fails at once", async () => {
  const gone = await serveGrpc({ onCall: serving });
  await gone.close();
  const runtime = createRuntime();
  const wire = createWire({ runtime });
  const call = () => wire.call(gone.address, Store.health, {}, OPTIONS).catch((error) => error);
  try {
    assertRpc(await call(), { status: 14, sent: false, message: /ECONNREFUSED/ });
    assertRpc(await call(), { status: 14, sent: false, message: /not tried again for \d+ ms/ });
    const back = await serveGrpc({ port: gone.port, onCall: serving });
    let reply;
    for (let tries = 0; tries < 100 && (reply === undefined || reply instanceof Error); tries++) {
      reply = await call();
      await runtime.sleep(20);
    }
    assert.deepEqual(reply, { status: HealthStatus.serving });
    await back.close();
  } finally {
    await wire.close();
  }
});

Deno.test("call() to an address that is none is unavailable", async () => {
  const wire = createWire({ runtime: createRuntime() });
  for (const address of ["127.0.0.1:99999", "no such host:1", ""]) {
    assertRpc(await wire.call(address, Store.health, {}, OPTIONS).catch((error) => error), {
      status: 14,
      sent: false,
    });
  }
  await wire.close();
});

Deno.test("call() keeps its deadline while the far side accepts and says nothing", async () => {
  const silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepted = silent.accept();
  const wire = createWire({ runtime: createRuntime() });
  const address = `127.0.0.1:${silent.addr.port}`;
  const error = await wire.call(address, Store.health, {}, { timeoutMs: 100 }).catch((error) => error);
  assertRpc(error, { status: 4, sent: false });
  await wire.close();
  (await accepted).close();
  silent.close();
});

Deno.test("call() was sent when the connection is lost under it, and the next one dials again", async () => {
  let broken = true;
  await withServer((call) => broken ? call.cut() : serving(call), async ({ health }) => {
    assertRpc(await health(), { status: 14, sent: true });
    broken = false;
    assert.deepEqual(await health(), { status: HealthStatus.serving });
  });
});

Deno.test("call() takes a new connection after GOAWAY, while the old one ends its calls", async () => {
  const held: IncomingCall[] = [];
  await withServer((call) => {
    if (held.length > 0) return serving(call);
    held.push(call);
    call.stream.session?.goaway(0);
  }, async ({ server, health }) => {
    const first = health();
    while (held.length === 0) await createRuntime().sleep(5);
    await createRuntime().sleep(20);
    assert.deepEqual(await health(), { status: HealthStatus.serving });
    assert.equal(server.sessions.size, 2);
    held.forEach(serving);
    assert.deepEqual(await first, { status: HealthStatus.serving });
  });
});

Deno.test("call() after close() is closed, and so is what waits then", async () => {
  const arrived = Promise.withResolvers<void>();
  await withServer(() => arrived.resolve(), async ({ wire, server, health }) => {
    const waiting = [health(), wire.call(server.address, Kv.get, {}, OPTIONS).catch((error) => error)];
    await arrived.promise;
    await wire.close();
    for (const each of waiting) assertCode(await each, "closed");
    assertCode(await health(), "closed");
    const handlers = { onMessage: () => {}, onEnd: () => {} };
    assertCode(await wire.stream(server.address, Streams.tso, handlers).catch((error) => error), "closed");
  });
});

Deno.test("disconnect() fails what waits as sent, and the next call dials", async () => {
  const calls: IncomingCall[] = [];
  await withServer(
    (call) => calls.push(call) > 1 ? serving(call) : undefined,
    async ({ wire, server, health }) => {
      const waiting = health();
      while (calls.length === 0) await createRuntime().sleep(5);
      wire.disconnect(server.address);
      assertRpc(await waiting, { status: 14, sent: true });
      assert.deepEqual(await health(), { status: HealthStatus.serving });
      wire.disconnect("127.0.0.1:1"); // never called
    },
  );
});

Deno.test("stream() carries messages both ways until the server ends it", async () => {
  await withServer((call) => {
    call.respond();
    readMessages(call, Streams.tso.request, ({ count }) => {
      call.send(Streams.tso.reply, { count, timestamp: { physical: 5n, logical: BigInt(count) } });
      if (count === 3) call.finish(14, "not leader");
    });
  }, async ({ wire, server }) => {
    const ended = Promise.withResolvers<Error>();
    const counts: number[] = [];
    const stream = await wire.stream(server.address, Streams.tso, {
      onMessage: ({ count }) => counts.push(count),
      onEnd: ended.resolve,
    });
    for (const count of [1, 2, 3]) stream.send({ count });
    assertRpc(await ended.promise, { status: 14, sent: true, message: /not leader/ });
    assert.deepEqual(counts, [1, 2, 3]);
    stream.close();
  });
});

Deno.test("stream() ends with malformed after a message that is none, and says nothing after close()", async () => {
  const closed = Promise.withResolvers<void>();
  await withServer((call) => {
    call.respond();
    call.stream.on("close", closed.resolve);
    readMessages(call, Streams.tso.request, () => call.stream.write(Uint8Array.fromHex("0000000001ff")));
  }, async ({ wire, server }) => {
    const ended = Promise.withResolvers<Error>();
    const first = await wire.stream(server.address, Streams.tso, {
      onMessage: () => assert.fail(),
      onEnd: ended.resolve,
    });
    first.send({ count: 1 });
    assertCode(await ended.promise, "malformed");

    const second = await wire.stream(server.address, Streams.tso, {
      onMessage: () => assert.fail(),
      onEnd: () => assert.fail(),
    });
    second.send({ count: 1 });
    second.close();
    await closed.promise;
  });
});

Deno.test("stream() ends when the connection is lost", async () => {
  await withServer((call) => {
    call.respond();
    readMessages(call, Streams.tso.request, () => call.cut());
  }, async ({ wire, server }) => {
    const ended = Promise.withResolvers<Error>();
    const stream = await wire.stream(server.address, Streams.tso, {
      onMessage: () => assert.fail(),
      onEnd: ended.resolve,
    });
    stream.send({ count: 1 });
    assertRpc(await ended.promise, { status: 14, sent: true });
  });
});
