/** The functions' program under clients that open connections and say nothing, or never stop. */
import assert from "node:assert/strict";
import { DRAIN_MS_MAX, HTTP_BODY_BYTES_MAX } from "../../lib/limits.ts";
import { realNet } from "../../lib/mesh/real_net.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { makeCertificate } from "../parts/tls.ts";
import { waitFor } from "../parts/wait.ts";
import { type FunctionsProgram, startFunctions } from "./functions_program.ts";

const HALF_OPEN = 600;
const FILES_MAX = 200;
/** Far more than the limit and all buffers between. */
const BODY_BYTES_SENT = 512 * HTTP_BODY_BYTES_MAX;
const SETTLE_MS = 15_000;
const ARGS = ["--functions", "director"];

const scope = realScope({ name: "test" });
const HEAD = "GET /healthz HTTP/1.1\r\nhost: a\r\n"; // its end never comes

Deno.test("600 half-open connections keep nobody from an answer; a drain ends in spite of them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const { caFile, certFile, keyFile } = await makeCertificate(folder);
    const caPem = await Deno.readTextFile(caFile);
    const https = ["--http-cert-file", certFile, "--http-key-file", keyFile];
    // Deno waits for a TLS handshake that was begun: there the drain is ended by its limit.
    for (const { tls, endMs } of [{ tls: [], endMs: 5_000 }, { tls: https, endMs: DRAIN_MS_MAX + 3_000 }]) {
      await using program = await startFunctions({ args: [...ARGS, ...tls] });
      const connections = await flood(program, HALF_OPEN);
      assert.equal(connections.length, HALF_OPEN);
      assert.deepEqual(await health(program, caPem), { alive: true });
      const startMs = performance.now();
      assert.equal(await program.stop(), 0, program.log());
      assert.ok(performance.now() - startMs < endMs, program.log());
      hangUp(connections);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a host without file descriptors left lives on, and listens again when some are free", async () => {
  await using program = await startFunctions({ args: ARGS, filesMax: FILES_MAX });
  for (let round = 1; round <= 2; round++) {
    const connections = await flood(program, 2 * FILES_MAX);
    await waitFor("the loss of the listener", SETTLE_MS, () => count(program, "listener ended") === round);
    hangUp(connections);
    const alive = await waitFor("an answer", SETTLE_MS, () => health(program));
    assert.deepEqual(alive, { alive: true });
    assert.equal(count(program, "listening again"), round);
  }
  const connections = await flood(program, 2 * FILES_MAX);
  await waitFor("the loss of the listener", SETTLE_MS, () => count(program, "listener ended") === 3);
  assert.equal(await program.stop(), 0, program.log());
  hangUp(connections);
});

Deno.test("a body that never ends is refused at its limit, and what still comes is not kept", async () => {
  await using program = await startFunctions({ args: ARGS });
  const { hostname, port } = new URL(program.url);
  using connection = await Deno.connect({ hostname, port: Number(port) });
  const send = async (text: string) => {
    const bytes = new TextEncoder().encode(text);
    for (let at = 0; at < bytes.length;) at += await connection.write(bytes.subarray(at));
    return bytes.length;
  };
  await send("POST /v1/enrol/node HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n");
  await send("transfer-encoding: chunked\r\n\r\n");
  const before = await residentBytes(program);
  const answering = (async () => {
    const head = new Uint8Array(1_024);
    return new TextDecoder().decode(head.subarray(0, await connection.read(head) ?? 0));
  })();
  const chunk = `10000\r\n${"x".repeat(0x10000)}\r\n`;
  for (let sent = 0; sent < BODY_BYTES_SENT;) sent += await send(chunk);
  assert.match(await answering, /^HTTP\/1\.1 413 /);
  assert.ok(await residentBytes(program) - before < BODY_BYTES_SENT / 4);
  assert.deepEqual(await health(program), { alive: true });
});

async function residentBytes({ pid }: FunctionsProgram): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024;
}

/** Opens connections, every other with a begun request, until one is refused. */
async function flood({ url }: FunctionsProgram, wanted: number): Promise<Deno.Conn[]> {
  const port = Number(new URL(url).port);
  const connections: Deno.Conn[] = [];
  try {
    while (connections.length < wanted) {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port });
      connections.push(connection);
      if (connections.length % 2 === 0) await connection.write(new TextEncoder().encode(HEAD));
    }
  } catch {
    // refused, as expected of one that cannot accept
  }
  return connections;
}

function hangUp(connections: Deno.Conn[]): void {
  for (const connection of connections) connection.close();
}

async function health({ url }: FunctionsProgram, caPem: string | null = null): Promise<unknown> {
  const net = realNet({ caPem });
  try {
    const answer = await scope.timeout(5_000, (inner) => net.request(inner, new Request(`${url}/healthz`)));
    return await answer.json();
  } finally {
    net.close();
  }
}

function count(program: FunctionsProgram, message: string): number {
  return program.log().split(`"message":"${message}"`).length - 1;
}
