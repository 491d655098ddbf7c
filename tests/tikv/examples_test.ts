/** The examples in the doc comments of the client type-check, and run on the scripted cluster. */
import assert from "node:assert/strict";
import { ScriptedCluster } from "./scripted/cluster.ts";

const ROOM = new URL("../../lib/tikv/", import.meta.url);

/** What an example may take as given. */
const PRELUDE = `
import { type Client, connect as connectTo, type ConnectOptions } from "${new URL("client.ts", ROOM)}";
const bytes = (text: string) => new TextEncoder().encode(text);
const text = (value: Uint8Array) => new TextDecoder().decode(value);
const show = (..._: unknown[]) => {};
`;

interface Example {
  /** File and line. */
  place: string;
  code: string;
}

async function examples(): Promise<Example[]> {
  const found: Example[] = [];
  for await (const { name } of Deno.readDir(ROOM)) {
    if (!name.endsWith(".ts") || name.endsWith("_test.ts")) continue;
    const source = await Deno.readTextFile(new URL(name, ROOM));
    for (const match of source.matchAll(/^ *\* ```ts\n(.*?)^ *\* ```$/gms)) {
      const place = `${name}:${source.slice(0, match.index).split("\n").length}`;
      found.push({ place, code: (match[1] ?? "").replace(/^ *\* ?/gm, "") });
    }
  }
  return found.sort((a, b) => a.place < b.place ? -1 : 1);
}

Deno.test("examples of the client's doc comments type-check and run", async (t) => {
  const all = await examples();
  assert.ok(all.length >= 4, "the examples are found");
  const folder = await Deno.makeTempDir();
  try {
    const file = `${folder}/examples.ts`;
    const functions = all.map(({ code }, at) => `
export async function example${at}(client: Client, pd: string[]): Promise<void> {
  const connect = (options: ConnectOptions) => connectTo({ ...options, pd });
  void [client, connect];
  {
${code}
  }
}`);
    await Deno.writeTextFile(file, PRELUDE + functions.join("\n"));
    const { success, stderr } = await new Deno.Command(Deno.execPath(), { args: ["check", "--quiet", file] })
      .output();
    assert.ok(success, new TextDecoder().decode(stderr));

    const { connect } = await import("../../lib/tikv/client.ts");
    const module: Record<string, (client: unknown, pd: string[]) => Promise<void>> = await import(
      `file://${file}`
    );
    for (const [at, { place }] of all.entries()) {
      await t.step(place, async () => {
        await using cluster = await ScriptedCluster.start();
        await using client = await connect({ pd: cluster.addresses });
        await module[`example${at}`]?.(client, cluster.addresses);
        assert.ok(cluster.calls.log.length > 0);
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
