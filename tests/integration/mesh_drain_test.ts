/** SIGTERM under load: what was accepted is done and answered, and nothing else is; a second signal ends at once. */
import assert from "node:assert/strict";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { openSqliteStore } from "../../lib/store/sqlite.ts";
import { prefixRange } from "../../lib/store/store.ts";
import { waitFor } from "../parts/wait.ts";
import { type Child, startChild } from "./mesh_process.ts";

const SEEN_MS = 10_000;

/** Runs `test` against a child of its own, which is gone afterwards in any case. */
async function withChild(test: (child: Child & { path: string }) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/salar.db`;
  try {
    await using child = await startChild("mesh_drain_child.ts", [path]);
    await test({ ...child, path });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function addedIn(path: string): Promise<Set<string>> {
  const store = openSqliteStore({ path });
  const scope = realScope({ name: "look" });
  const found = await store.read(scope, (tx) => tx.scan(prefixRange("added/"), { limit: 10_000 }));
  await store.close();
  return new Set(found.map(({ key }) => key.slice("added/".length)));
}

/** Posts one after the other until the child takes no more; adds the ids that were answered with 200. */
async function load(url: string, name: string, answered: Set<string>): Promise<void> {
  for (let n = 0; n < 10_000; n++) {
    const id = `${name}-${n}`;
    try {
      const response = await fetch(`${url}/add/${id}`, { method: "POST" });
      await response.body?.cancel();
      if (response.status !== 200) return;
      answered.add(id);
    } catch {
      return; // refused or closed before it was accepted; were it done nevertheless, the sets would differ
    }
  }
}

Deno.test("a drain under load does and answers exactly what it accepted, and ends with code 0", async () => {
  for (let round = 0; round < 3; round++) {
    await withChild(async ({ url, path, process, text }) => {
      const answered = new Set<string>();
      const loads = Array.from({ length: 30 }, (_, at) => load(url, `c${at}`, answered));
      while (answered.size < 100 * (round + 1)) await new Promise((resolve) => setTimeout(resolve, 5));
      const poll = fetch(`${url}/poll`);
      await waitFor("the poll to wait", SEEN_MS, () => text().includes("poll waits"));
      process.kill("SIGTERM");
      const polled = await poll;
      assert.deepEqual([polled.status, polled.headers.get("retry-after")], [503, "0"]);
      await polled.body?.cancel();
      await Promise.all(loads);
      assert.equal((await process.status).code, 0, text());
      assert.deepEqual([...await addedIn(path)].sort(), [...answered].sort());
      assert.match(text(), /host drained/);
    });
  }
});

for (const [signal, code] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
  Deno.test(`a second ${signal} ends a drain that waits, with code ${code}`, async () => {
    await withChild(async ({ url, process, text }) => {
      const hanging = fetch(`${url}/hang`).then((response) => response.body?.cancel(), () => {});
      await waitFor("the request to hang", SEEN_MS, () => text().includes("request hangs"));
      process.kill(signal);
      await waitFor("the drain to begin", SEEN_MS, () => text().includes('"ending"'));
      process.kill(signal);
      assert.equal((await process.status).code, code);
      await hanging;
    });
  });
}
