/** `deno task dev` as a newcomer meets it: it comes up, shows a whole cluster, and keeps it for the next start. */
import assert from "node:assert/strict";
import type { Node, System } from "../../lib/cluster/types.ts";
import { partFolder } from "../parts/daemon.ts";
import { waitFor } from "../parts/wait.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const UP_MS = 60_000;
const END_MS = 20_000;

Deno.test("deno task dev shows a cluster of 5 nodes and 500 systems, ends on SIGTERM and goes on where it was", async () => {
  const folder = await partFolder("dv");
  try {
    const first = await startDev(folder.path);
    const before = await first.everySystem();
    assert.equal((await first.nodes()).length, 5);
    assert.equal(await first.systemsByXmlRpc(), 500);
    await first.stop();

    const again = await startDev(folder.path);
    const after = await again.everySystem();
    assert.deepEqual(after.map(({ id, node }) => [id, node]), before.map(({ id, node }) => [id, node]));
    await again.stop();
  } finally {
    await folder.remove();
  }
});

async function startDev(data: string) {
  const spawnedMs = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${ROOT}dev/main.ts`, "--port", "0", "--data", data],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let printed = "";
  const url = await waitFor("the banner", UP_MS, async () => {
    printed += (await reader.read()).value ?? "";
    return /Salar runs on (http:\S+)/.exec(printed)?.[1] ?? null;
  });
  const upS = Number(/up after ([\d.]+) s/.exec(printed)?.[1]);
  const sinceS = (performance.now() - spawnedMs) / 1_000;
  assert.ok(upS > 0 && upS <= sinceS + 0.05, `it is up after ${upS} s, of ${sinceS} s since it was started`);
  const token = (await Deno.readTextFile(`${data}/admin.token`)).trim();

  async function list<T>(path: string): Promise<T[]> {
    const response = await fetch(url + path, { headers: { authorization: `Bearer ${token}` } });
    const { items } = await response.json();
    return items;
  }
  return {
    nodes: () => list<Node>("/v1/nodes"),
    /** Once all are bound. */
    everySystem: () =>
      waitFor("500 bound systems", UP_MS, async () => {
        const bound = await list<System>("/v1/systems?state=bound&limit=1000");
        return bound.length === 500 ? bound : null;
      }),
    async systemsByXmlRpc(): Promise<number> {
      const script = `import xmlrpc.client as x
api = x.ServerProxy("${url}/rpc/api"); key = api.auth.login("admin", "admin")
print(len(api.system.listSystems(key)))`;
      const { stdout } = await new Deno.Command("python3", { args: ["-c", script] }).output();
      return Number(new TextDecoder().decode(stdout));
    },
    async stop(): Promise<void> {
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), END_MS);
      const { code } = await child.status;
      clearTimeout(timer);
      await reader.cancel();
      assert.equal(code, 0);
    },
  };
}
