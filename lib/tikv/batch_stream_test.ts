import assert from "node:assert/strict";
import fc from "fast-check";
import { RpcError, TikvError } from "./errors.ts";
import { answer, type IncomingCall, readMessages, serveGrpc, type TestServer } from "./grpc_testing.ts";
import { BatchCommandsRequest, BatchCommandsResponse, GetRequest, GetResponse } from "./messages_kv.ts";
import { Kv, Streams } from "./methods.ts";
import { decodeSole, Writer } from "./protobuf.ts";
import type { CallOptions, Wire } from "./rpc.ts";
import { createRuntime } from "./runtime.ts";
import { createWire } from "./wire.ts";

interface Command {
  id: bigint;
  key: string;
}

interface Batch {
  commands: Command[];
  call: IncomingCall;
  /** Answers with a value of the key. */
  reply(commands: Command[]): void;
}

interface Setup {
  wire: Wire;
  server: TestServer;
  /** The value of a key, or the error. */
  get(key: string, options?: CallOptions): Promise<unknown>;
}

const utf8 = {
  encode: (text: string) => new TextEncoder().encode(text),
  decode: (bytes: Uint8Array) => new TextDecoder().decode(bytes),
};
const sleep = (ms: number) => createRuntime().sleep(ms);

/** A store whose batch streams answer as `onBatch` says, for the time of `body`. */
async function withStore(onBatch: (batch: Batch) => void, body: (setup: Setup) => Promise<void>) {
  await withServer((call) => {
    call.respond();
    readMessages(call, BatchCommandsRequest, ({ requests, requestIds }) => {
      const commands = requestIds.map((id, at) => ({
        id,
        key: utf8.decode(
          decodeSole(requests[at] ?? new Uint8Array(0), 1, GetRequest)?.key ?? new Uint8Array(0),
        ),
      }));
      onBatch({ commands, call, reply: (of) => call.send(BatchCommandsResponse, repliesTo(of)) });
    });
  }, body);
}

async function withServer(onCall: (call: IncomingCall) => void, body: (setup: Setup) => Promise<void>) {
  const wire = createWire({ runtime: createRuntime() });
  await using server = await serveGrpc({ onCall });
  const get: Setup["get"] = (key, options = { timeoutMs: 5_000 }) =>
    wire.call(server.address, Kv.get, { key: utf8.encode(key) }, options)
      .then(({ value }) => utf8.decode(value), (error) => error);
  try {
    await body({ wire, server, get });
  } finally {
    await wire.close();
  }
}

function repliesTo(commands: Command[]) {
  return {
    requestIds: commands.map(({ id }) => id),
    responses: commands.map(({ key }) => command({ value: utf8.encode(`value of ${key}`) })),
  };
}

function command(reply: Parameters<typeof GetResponse.encode>[0], number = 1): Uint8Array {
  const writer = new Writer();
  GetResponse.write(writer, reply);
  writer.varint32((number << 3) | 2);
  return writer.finish();
}

function assertLost(error: unknown, sent = true) {
  assert.ok(error instanceof RpcError, String(error));
  assert.deepEqual({ status: error.status, sent: error.sent }, { status: 14, sent });
}

const keys = (count: number, prefix = "k") => Array.from({ length: count }, (_, n) => `${prefix}${n}`);
const valuesOf = (keys: string[]) => keys.map((key) => `value of ${key}`);

Deno.test("what is called in one turn leaves in one message, on one stream", async () => {
  const sizes: number[] = [];
  const streams = new Set<unknown>();
  await withStore(({ commands, reply, call }) => {
    sizes.push(commands.length);
    streams.add(call.stream);
    assert.deepEqual(commands.map(({ key }) => key), keys(20), "in the order of the calls");
    reply(commands);
  }, async ({ get }) => {
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(await Promise.all(keys(20).map((key) => get(key))), valuesOf(keys(20)));
    }
    assert.deepEqual(sizes, [20, 20, 20]);
    assert.equal(streams.size, 1);
  });
});

Deno.test("a message holds no more than 128 commands, and beyond a mebibyte just one", async () => {
  const sizes: number[] = [];
  await withStore(({ commands, reply }) => {
    sizes.push(commands.length);
    reply(commands);
  }, async ({ get }) => {
    await Promise.all(keys(300).map((key) => get(key)));
    assert.deepEqual(sizes.splice(0), [128, 128, 44]);
    await Promise.all(keys(5).map((key) => get(key + "x".repeat(600_000))));
    assert.deepEqual(sizes.splice(0), [1, 1, 1, 1, 1]);
    await Promise.all(keys(5).map((key) => get(key + "x".repeat(300_000))));
    assert.deepEqual(sizes, [2, 3]);
  });
});

Deno.test("replies find their calls in any order and any grouping", async () => {
  const plan = fc.array(fc.tuple(fc.integer(), fc.integer({ min: 1, max: 5 })), {
    minLength: 30,
    maxLength: 30,
  });
  let next: (batch: Batch) => void = () => {};
  await withStore((batch) => next(batch), async ({ get }) => {
    await fc.assert(
      fc.asyncProperty(plan, async (shuffle) => {
        next = ({ commands, reply }) => {
          const order = commands.map((each, at) => ({ each, rank: shuffle[at]?.[0] ?? 0 }))
            .sort((a, b) => a.rank - b.rank).map(({ each }) => each);
          for (const [, size] of shuffle) reply(order.splice(0, size));
          reply(order);
        };
        assert.deepEqual(await Promise.all(keys(30).map((key) => get(key))), valuesOf(keys(30)));
      }),
      { numRuns: 20 },
    );
  });
});

Deno.test("a call ends at its own deadline, its late reply harms nobody", async () => {
  const held: Batch[] = [];
  await withStore((batch) => held.push(batch), async ({ get }) => {
    const slow = get("slow", { timeoutMs: 60 });
    const other = get("other");
    const error = await slow;
    assert.ok(error instanceof RpcError && error.status === 4 && error.sent, String(error));
    held[0]?.reply(held[0].commands);
    assert.equal(await other, "value of other");
  });
});

Deno.test("a call that is cancelled before it left is not sent; one that left is dropped", async () => {
  const seen: string[] = [];
  const held: Batch[] = [];
  await withStore((batch) => {
    held.push(batch);
    seen.push(...batch.commands.map(({ key }) => key));
  }, async ({ get }) => {
    const early = new AbortController();
    const late = new AbortController();
    const calls = [
      get("early", { timeoutMs: 5_000, signal: early.signal }),
      get("late", { timeoutMs: 5_000, signal: late.signal }),
      get("kept"),
      get("never", { timeoutMs: 5_000, signal: AbortSignal.abort() }),
    ];
    early.abort();
    while (seen.length === 0) await sleep(5);
    late.abort();
    const [first, second, , fourth] = await Promise.all([calls[0], calls[1], null, calls[3]]);
    for (const error of [first, second, fourth]) {
      assert.ok(error instanceof TikvError && error.code === "cancelled", String(error));
    }
    held.forEach(({ reply, commands }) => reply(commands));
    assert.equal(await calls[2], "value of kept");
    assert.deepEqual(seen.sort(), ["kept", "late"]);
  });
});

Deno.test("a stream that breaks fails all that it carried as sent; the next call opens another, with new ids", async () => {
  const ids: bigint[] = [];
  const ways: ((batch: Batch) => void)[] = [
    ({ call }) => call.stream.close(2),
    ({ call }) => call.finish(),
    ({ call }) => call.cut(),
  ];
  await withStore((batch) => {
    ids.push(...batch.commands.map(({ id }) => id));
    const way = batch.commands.some(({ key }) => key === "fine") ? undefined : ways[0];
    if (way === undefined) return batch.reply(batch.commands);
    batch.reply(batch.commands.slice(0, 1));
    way(batch);
  }, async ({ get }) => {
    while (ways.length > 0) {
      const replies = await Promise.all(keys(3).map((key) => get(key)));
      assert.equal(
        replies.filter((each) => typeof each === "string").length <= 1,
        true,
        "at most one reply got through",
      );
      replies.filter((each) => typeof each !== "string").forEach((each) => assertLost(each));
      ways.shift();
      assert.equal(await get("fine"), "value of fine");
    }
    assert.equal(new Set(ids).size, ids.length, "no id twice");
  });
});

Deno.test("a status of the stream is that of its calls", async () => {
  await withStore(({ call }) => call.finish(9, "cluster id mismatch"), async ({ get }) => {
    const error = await get("k");
    assert.ok(error instanceof RpcError && error.status === 9, String(error));
    assert.match(error.message, /cluster id mismatch/);
  });
});

Deno.test("a reply that cannot be read ends the stream: malformed for its call, lost for the others", async () => {
  const wrong: Record<string, (commands: Command[]) => { requestIds: bigint[]; responses: Uint8Array[] }> = {
    "cut off": ([{ id } = { id: 0n }]) => ({ requestIds: [id], responses: [Uint8Array.fromHex("0a05")] }),
    "of another command": ([{ id } = { id: 0n }]) => ({ requestIds: [id], responses: [command({}, 2)] }),
    "empty": ([{ id } = { id: 0n }]) => ({ requestIds: [id], responses: [new Uint8Array(0)] }),
  };
  let way = "";
  await withStore(({ commands, call, reply }) => {
    const make = wrong[way];
    if (make === undefined) reply(commands);
    else call.send(BatchCommandsResponse, make(commands));
  }, async ({ get }) => {
    for (const name of Object.keys(wrong)) {
      way = name;
      const errors = await Promise.all(keys(3).map((key) => get(key)));
      const malformed = errors.filter((each) => each instanceof TikvError && each.code === "malformed");
      assert.equal(malformed.length, 1, name);
      errors.filter((each) => !(each instanceof TikvError)).forEach((each) => assertLost(each));
      way = "";
      assert.equal(await get("fine"), "value of fine");
    }
  });
});

Deno.test("a batch that cannot be read loses all its calls, never the process", async () => {
  const wrong = [
    "0000000002" + "0a05",
    "0000000002" + "1001",
    "01000000" + "00",
    "00ffffffff",
    "0000000001" + "ff",
  ];
  let breaking = false;
  await withStore(({ commands, call, reply }) => {
    if (breaking) call.stream.write(Uint8Array.fromHex(wrong[0] ?? ""));
    else reply(commands);
  }, async ({ get }) => {
    for (; wrong.length > 0; wrong.shift()) {
      breaking = true;
      for (const each of await Promise.all(keys(3).map((key) => get(key)))) assertLost(each);
      breaking = false;
      assert.equal(await get("fine"), "value of fine");
    }
  });
});

Deno.test("noise on the stream loses calls, never the process", async () => {
  let noise = new Uint8Array(0);
  await withStore(({ commands, call, reply }) => {
    if (noise.length === 0) return reply(commands);
    call.stream.write(noise);
    call.finish();
  }, async ({ get }) => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 40 }), async (bytes) => {
        noise = bytes;
        assert.ok(await get("k") instanceof Error);
        noise = new Uint8Array(0);
        assert.equal(await get("k"), "value of k");
      }),
      { numRuns: 50 },
    );
  });
});

Deno.test("replies to nobody are ignored", async () => {
  await withStore(({ commands, reply }) => {
    reply([{ id: 999_999n, key: "nobody" }, ...commands, ...commands]);
  }, async ({ get }) => {
    assert.equal(await get("a"), "value of a");
    assert.equal(await get("b"), "value of b");
  });
});

Deno.test("a request that cannot be encoded fails alone", async () => {
  await withStore(({ commands, reply }) => reply(commands), async ({ wire, server, get }) => {
    const bad = wire.call(server.address, Kv.get, { version: -1n }, { timeoutMs: 5_000 }).catch((error) =>
      error
    );
    assert.equal(await get("good"), "value of good");
    assert.ok(await bad instanceof RangeError);
  });
});

Deno.test("an address that does not know BatchCommands gets every call by itself from then on", async () => {
  let streams = 0;
  await withServer((call) => {
    if (call.path !== Streams.batchCommands.path) {
      return answer(call, Kv.get, ({ key }) => ({ value: utf8.encode(`alone ${utf8.decode(key)}`) }));
    }
    streams++;
    call.stream.respond({ ":status": 200, "grpc-status": "12" }, { endStream: true });
  }, async ({ get }) => {
    assert.deepEqual(await Promise.all(keys(3).map((key) => get(key))), keys(3).map((key) => `alone ${key}`));
    assert.equal(await get("later"), "alone later");
    assert.equal(streams, 1);
  });
});

Deno.test("a store that cannot be reached fails the calls as not sent", async () => {
  const gone = await serveGrpc({ onCall: () => {} });
  await gone.close();
  const wire = createWire({ runtime: createRuntime() });
  const get = () => wire.call(gone.address, Kv.get, {}, { timeoutMs: 5_000 }).catch((error) => error);
  for (const error of await Promise.all([get(), get()])) assertLost(error, false);
  await wire.close();
});

Deno.test("much more than the stream takes at once arrives whole", async () => {
  const big = "x".repeat(900_000);
  await withStore(
    ({ commands, reply }) => reply(commands.map(({ id, key }) => ({ id, key: String(key.length) }))),
    async ({ get }) => {
      const replies = await Promise.all(
        keys(60).map((key) => get(key.padEnd(3, "_") + big, { timeoutMs: 20_000 })),
      );
      assert.ok(replies.every((each) => each === "value of 900003"), String(replies[0]).slice(0, 100));
    },
  );
});
