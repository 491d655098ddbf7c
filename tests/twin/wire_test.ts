/** The twin on a port, by clients that know nothing of Salar: Python's, and TLS that is really verified. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { UyuniCallError, uyuniClient } from "../../lib/uyuni/client.ts";
import { run } from "../parts/command.ts";
import { ensurePython } from "../parts/python.ts";
import { makeCertificate } from "../parts/tls.ts";
import { memoryDb } from "./memory_db.ts";
import { startTwin } from "./twin.ts";

const NOW_MS = Date.UTC(2026, 6, 1, 12, 0, 0);

Deno.test("Python's xmlrpc.client sees a Uyuni server", async () => {
  const { python } = await ensurePython();
  const nowMs = () => NOW_MS;
  await using node = startTwin({ db: memoryDb({ nowMs }), nowMs, timeZone: "Europe/Berlin" });
  await node.seed({
    users: [{ login: "admin", password: "admin" }],
    channels: [{ label: "base", name: "Base" }],
  });
  await node.registerMinion({ minionId: "b <&> ü", machineId: "m1" });
  await node.registerMinion({ minionId: "a", machineId: "m2" });

  const script = fileURLToPath(new URL("./wire_test.py", import.meta.url));
  const { stdout } = await run(python, [script, node.url], { limitMs: 30_000 });
  assert.equal(stdout.trim(), "ok");
});

Deno.test("over TLS a client that trusts the CA gets answers, another one does not", async () => {
  const folder = await Deno.makeTempDir({ prefix: "twin-tls-" });
  try {
    const { caFile, certFile, keyFile } = await makeCertificate(folder);
    const [ca, cert, key] = await Promise.all(
      [caFile, certFile, keyFile].map((file) => Deno.readTextFile(file)),
    );
    assert.ok(ca && cert && key);
    await using node = startTwin({ db: memoryDb(), tls: { cert, key } });
    using trusting = Deno.createHttpClient({ caCerts: [ca] });

    const options = { url: node.url, user: "admin", password: "admin", timeoutMs: 5_000 };
    const good = uyuniClient({ ...options, request: (request) => fetch(request, { client: trusting }) });
    assert.equal(await good.callBare("api.getVersion"), "29");
    const bad = uyuniClient({ ...options, request: fetch });
    await assert.rejects(
      bad.callBare("api.getVersion"),
      (error) => error instanceof UyuniCallError && error.kind === "unreachable",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
