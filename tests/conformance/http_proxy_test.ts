/** The proxy configuration that ships in deploy/haproxy, with real replicas behind it: it serves, limits and goes around a dead one. */
import assert from "node:assert/strict";
import { realNet } from "../../lib/mesh/real_net.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { type FunctionsProgram, startFunctions } from "../integration/functions_program.ts";
import { checkHaproxy, startHaproxy } from "../parts/haproxy.ts";
import { type Certificate, makeCertificate } from "../parts/tls.ts";
import { freePort, waitFor } from "../parts/wait.ts";

const SHIPPED = new URL("../../deploy/haproxy/haproxy.cfg", import.meta.url);
/** `timeout http-request` of the file, and time to notice. */
const HEAD_MS_MAX = 10_000 + 5_000;
const UP_MS = 15_000;
const REQUESTS = 60;

const scope = realScope({ name: "test" });

Deno.test("the shipped proxy: checked as it is, serves each function, ends half-open requests, goes around a dead replica", async (t) => {
  const folder = await Deno.makeTempDir();
  await using stack = new AsyncDisposableStack();
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const certificate = await makeCertificate(folder);
  await t.step("is valid for haproxy", async () => {
    const file = `${folder}/shipped.cfg`;
    await Deno.writeTextFile(file, await shipped(folder, certificate));
    await checkHaproxy(file);
  });

  const args = ["--http-cert-file", certificate.certFile, "--http-key-file", certificate.keyFile];
  const one = stack.use(await startFunctions({ args }));
  const two = stack.use(await startFunctions({ args }));
  const port = freePort();
  stack.use(await startHaproxy(configured(await shipped(folder, certificate), port, [one, two]), port));
  const net = realNet({ caPem: await Deno.readTextFile(certificate.caFile) });
  stack.defer(() => net.close());
  const statusOf = async (path: string, init: RequestInit = {}) => {
    const answer = await net.request(scope, new Request(`https://localhost:${port}${path}`, init));
    await answer.body?.cancel();
    return answer.status;
  };
  await waitFor("replicas behind it", UP_MS, async () => await statusOf("/healthz") === 200);

  await t.step("leads to each function", async () => {
    assert.equal(await statusOf("/v1/zones"), 401);
    assert.equal(await statusOf("/v1/enrol/challenge"), 200);
    assert.equal(await statusOf("/rpc/api", { method: "POST", body: "<methodCall/>" }), 200);
  });

  await t.step("ends a request whose head or body does not come", async () => {
    const halves = [
      "GET /healthz HTTP/1.1\r\nhost: a\r\n",
      "POST /rpc/api HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n<meth",
    ];
    const heads = await Promise.all(halves.map((half) => untilClosed(port, certificate, half)));
    for (const head of heads) assert.match(head, /^HTTP\/1\.1 408 /);
  });

  await t.step("lets nobody notice that a replica was killed", async () => {
    const statuses: number[] = [];
    let killing: Promise<unknown> = Promise.resolve();
    for (let at = 0; at < REQUESTS; at++) {
      if (at === REQUESTS / 3) killing = one.kill();
      statuses.push(await statusOf("/healthz"));
    }
    await killing;
    assert.deepEqual(new Set(statuses), new Set([200]));
  });
});

/** With the files of this test. */
async function shipped(folder: string, { caFile, certFile, keyFile }: Certificate): Promise<string> {
  const both = await Deno.readTextFile(certFile) + await Deno.readTextFile(keyFile);
  await Deno.writeTextFile(`${folder}/salar.pem`, both, { mode: 0o600 });
  return (await Deno.readTextFile(SHIPPED))
    .replaceAll("/etc/haproxy/salar-ca.pem", caFile)
    .replaceAll("/etc/haproxy/salar.pem", `${folder}/salar.pem`);
}

/** With the address of this test, and its two replicas as those of every function. */
function configured(config: string, port: number, [one, two]: [FunctionsProgram, FunctionsProgram]): string {
  const addressOf = ({ url }: FunctionsProgram) => `127.0.0.1:${new URL(url).port}`;
  return config
    .replace("bind :443", `bind 127.0.0.1:${port}`)
    .replace("maxconn 50000", "maxconn 500")
    .replace(/ [\w-]+-1\.example:8480$/gm, ` ${addressOf(one)}`)
    .replace(/ [\w-]+-2\.example:8480$/gm, ` ${addressOf(two)}`);
}

/** Sends it and nothing more; what came back until the far side closed. */
async function untilClosed(port: number, { caFile }: Certificate, half: string): Promise<string> {
  using connection = await Deno.connectTls({
    hostname: "localhost",
    port,
    caCerts: [await Deno.readTextFile(caFile)],
  });
  await connection.write(new TextEncoder().encode(half));
  return await scope.timeout(HEAD_MS_MAX, async () => {
    let text = "";
    const buffer = new Uint8Array(4_096);
    for (;;) {
      const size = await connection.read(buffer);
      if (size === null) return text;
      text += new TextDecoder().decode(buffer.subarray(0, size));
    }
  });
}
