import assert from "node:assert/strict";
import { processesWith, until } from "../agent/testing_host.ts";
import { localTransport } from "./local.ts";
import type { Channel } from "./transport.ts";

const signal = new AbortController().signal;
const encoder = new TextEncoder();

async function text(channel: Channel): Promise<string> {
  const decoder = new TextDecoder();
  let all = "";
  for await (const bytes of channel.output) all += decoder.decode(bytes, { stream: true });
  return all;
}

Deno.test("localTransport() runs one command with its input, outputs and end", async () => {
  const channel = await localTransport().start("read line; echo got $line; echo warned >&2; exit 3", {
    signal,
  });
  await channel.write(encoder.encode("it\n"));
  assert.equal(await text(channel), "got it\n");
  assert.deepEqual(await channel.ended, { code: 3, signal: null });
  await until(() => Promise.resolve(channel.stderr() === "warned\n"));
  await channel.close();
  await channel.close();
});

Deno.test("localTransport() says which signal ended it", async () => {
  const channel = await localTransport().start("kill -TERM $$", { signal });
  assert.deepEqual(await channel.ended, { code: null, signal: "SIGTERM" });
  await channel.close();
});

Deno.test("close() ends what does not listen, and all of its group", async () => {
  const mark = `sleep 4329.${Deno.pid}`;
  const channel = await localTransport().start(`trap '' TERM; ${mark} & ${mark} & wait`, { signal });
  const output = text(channel);
  await until(async () => (await processesWith(mark)).length >= 2);
  await channel.close();
  assert.equal(await output, "");
  assert.deepEqual(await channel.ended, { code: null, signal: "SIGKILL" });
  await until(async () => (await processesWith(mark)).length === 0);
});

Deno.test("an aborted signal closes the channel, and starts none", async () => {
  const stop = new AbortController();
  const channel = await localTransport().start("sleep 4330", { signal: stop.signal });
  stop.abort();
  await channel.ended;
  await channel.close();
  await assert.rejects(localTransport().start("true", { signal: stop.signal }), {
    name: "HostError",
    code: "cancelled",
  });
});

Deno.test("write() to a program that ended is a lost channel", async () => {
  const channel = await localTransport().start("exec 0<&-; sleep 0", { signal });
  await channel.ended;
  const big = new Uint8Array(1024 * 1024);
  await assert.rejects(channel.write(big), { name: "HostError", code: "lost" });
  await channel.close();
});

Deno.test("stderr() keeps head and tail of a long one", async () => {
  const command = "echo first >&2; head -c 100000 /dev/zero | tr '\\0' x >&2; echo last >&2";
  const channel = await localTransport().start(command, { signal });
  await channel.ended;
  await until(() => Promise.resolve(channel.stderr().endsWith("last\n")));
  assert.ok(channel.stderr().startsWith("first\nx"));
  assert.equal(channel.stderr().length, 16 * 1024);
  await channel.close();
});

Deno.test("megabytes go both ways", async () => {
  const channel = await localTransport().start("cat", { signal });
  const block = new Uint8Array(1024 * 1024).fill(7);
  const sent = (async () => {
    for (let n = 0; n < 8; n++) await channel.write(block);
  })();
  let bytes = 0;
  for await (const piece of channel.output) {
    bytes += piece.length;
    if (bytes === 8 * block.length) break;
  }
  await sent;
  assert.equal(bytes, 8 * block.length);
  await channel.close();
});
