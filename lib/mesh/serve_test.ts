import assert from "node:assert/strict";
import { silentLog } from "../log.ts";
import { realScope } from "./real_scope.ts";
import { listen } from "./serve.ts";
import { meshFunction, testRig } from "./testing.ts";

const scope = realScope({ name: "test" });

/** Sends bytes as they are; gives what came back until the far side closed, for 10 s at most. */
async function raw(port: number, request: string): Promise<string> {
  const connection = await Deno.connect({ port });
  try {
    const bytes = new TextEncoder().encode(request);
    const reading = scope.timeout(10_000, () => new Response(connection.readable).text()).catch(() => "");
    await connection.writable.getWriter().write(bytes).catch(() => {}); // it may close before it read all
    return await reading;
  } finally {
    try {
      connection.close();
    } catch {
      // the reader closed it
    }
  }
}

Deno.test("a host lives through hostile headers and requests that are none", async () => {
  const rig = testRig();
  const host = await rig.start([meshFunction({})], { http: { hostname: "127.0.0.1", port: 0 } });
  const port = Number(new URL(host.url ?? "").port);
  const hostile = [
    `GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: ${"y".repeat(2_000_000)}\r\n\r\n`,
    `GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n${"a: b\r\n".repeat(20_000)}\r\n`,
    `GET /${"z".repeat(1_000_000)} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`,
    "POST /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n12345",
    "POST /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: -1\r\n\r\n",
    "GET /%00 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    "GET //evil.example/ HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nhost: a b<>\r\nconnection: close\r\n\r\n",
    "\u0000\u0001\u0002 nothing\r\n\r\n",
  ];
  for (const request of hostile) {
    const answer = await raw(port, request);
    assert.ok(!/^HTTP\/1\.1 (2|500)/.test(answer), `${request.slice(0, 60)}: ${answer.slice(0, 200)}`);
    const alive = await fetch(`${host.url}/healthz`);
    assert.deepEqual(await alive.json(), { alive: true });
  }
  assert.ok(!rig.lines.some(({ level }) => level === "error"), JSON.stringify(rig.lines));
  await rig.end();
});

Deno.test("listen() names its address and shuts down while connections are idle", async () => {
  const listening = listen(
    scope,
    silentLog,
    { hostname: "127.0.0.1", port: 0 },
    () => Promise.resolve(new Response("hi")),
  );
  assert.match(listening.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.equal(await (await fetch(listening.url)).text(), "hi"); // its connection stays open, idle
  await scope.timeout(5_000, () => listening.shutdown());
  await listening.shutdown();
  await assert.rejects(fetch(listening.url));
});
