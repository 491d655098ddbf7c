/** A cluster's state moves from SQLite to TiKV and back with `salar store`, and the functions go on where they were. */
import assert from "node:assert/strict";
import { type FunctionsProgram, startFunctions } from "../integration/functions_program.ts";
import { run } from "../parts/command.ts";
import { anyCluster } from "./any_cluster.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const ZONES = ["berlin", "oslo"];

Deno.test("the state of a cluster moves from SQLite to TiKV and back, and nothing is lost", async () => {
  await using cluster = await anyCluster();
  const folder = await Deno.makeTempDir({ prefix: "salar-move-" });
  const prefix = `test-${crypto.randomUUID()}/`;
  const onTikv = ["--tikv-pd", cluster.pd.join(","), "--tikv-prefix", prefix];
  try {
    let token: string;
    {
      await using functions = await startFunctions();
      token = await functions.adminToken();
      for (const name of ZONES) await addZone(functions, token, name);
      await salar([
        "store",
        "export",
        `${folder}/a.jsonl`,
        "--",
        "--store-path",
        `${functions.dataFolder}/salar.db`,
      ]);
      assert.equal(await functions.stop(), 0);
    }

    await salar(["store", "import", `${folder}/a.jsonl`, "--", ...onTikv]);
    assert.match(await salar(["store", "check", "--", ...onTikv]), /gives timestamps\nstore \d+ at .*serves/);
    await salar(["store", "export", `${folder}/b.jsonl`, "--", ...onTikv]);
    const [before, after] = await Promise.all(
      ["a", "b"].map((name) => Deno.readTextFile(`${folder}/${name}.jsonl`)),
    );
    assert.equal(after, before);
    const full = await salar(["store", "import", `${folder}/a.jsonl`, "--", ...onTikv]).catch(String);
    assert.match(full, /the store is not empty/);

    // Two replicas on one store; each sees at once what the other did.
    await using one = await startFunctions({ args: [...onTikv, "--replica", "one"] });
    await using two = await startFunctions({ args: [...onTikv, "--replica", "two"] });
    assert.deepEqual(await zonesOf(one, token), ZONES);
    await addZone(two, token, "rome");
    assert.deepEqual(await zonesOf(one, token), [...ZONES, "rome"]);
    assert.deepEqual([await one.stop(), await two.stop()], [0, 0]);

    await salar(["store", "export", `${folder}/c.jsonl`, "--", ...onTikv]);
    await salar(["store", "import", `${folder}/c.jsonl`, "--", "--store-path", `${folder}/back.db`]);
    assert.match(
      await salar(["store", "check", "--", "--store-path", `${folder}/back.db`]),
      /none of them damaged/,
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** What it printed. @throws with what it said, when its exit code is not 0 */
async function salar(args: string[]): Promise<string> {
  const command = ["run", "--quiet", "-P=cli", "cli/main.ts", ...args];
  return (await run(Deno.execPath(), command, { cwd: ROOT, limitMs: 60_000 })).stdout;
}

async function addZone({ url }: FunctionsProgram, token: string, name: string): Promise<void> {
  const body = JSON.stringify({ name });
  const reply = await fetch(`${url}/v1/zones`, { method: "POST", body, headers: headersOf(token) });
  assert.equal(reply.status, 201, await reply.text());
}

async function zonesOf({ url }: FunctionsProgram, token: string): Promise<string[]> {
  const reply = await fetch(`${url}/v1/zones`, { headers: headersOf(token) });
  const { items } = await reply.json() as { items: { name: string }[] };
  return items.map(({ name }) => name);
}

function headersOf(token: string): Record<string, string> {
  return {
    "authorization": `Bearer ${token}`,
    "content-type": "application/json",
    "idempotency-key": crypto.randomUUID(),
  };
}
