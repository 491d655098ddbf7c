import assert from "node:assert/strict";
import { NODE_GRACE_MS } from "../lib/limits.ts";
import { EXIT } from "./exit.ts";
import { type TestCluster, withCluster } from "./testing_cluster.ts";
import { NodeView, Systems } from "../tests/integration/director_replies.ts";

/** a1 is dead, with three systems that have an agent and one that has none. */
async function kill({ rig, nodes: { a1, a2, b1 } }: TestCluster): Promise<() => Promise<string>> {
  await a1.show({ localId: 9, machineId: "9".repeat(32), minionId: "bare.example" });
  rig.later(NODE_GRACE_MS);
  for (const node of [a2, b1]) await node.beat();
  await rig.tick("watch");
  return async () => (await rig.ask(NodeView, "GET", `/v1/nodes/${a1.fp}`)).state;
}

Deno.test("remove --force shows what would be forgotten, and removes once the name is typed", async () => {
  await withCluster(async (cluster) => {
    const stateOf = await kill(cluster);
    const { salar, rig } = cluster;
    const typing = (stdin: string) =>
      salar(["node", "remove", "a1", "--force", "--why", "fire"], {
        terminal: true,
        stdin,
        env: { NO_COLOR: "1" },
      });
    const no = await typing("y\n");
    assert.deepEqual([no.exit, no.stdout], [EXIT.failed, ""]);
    assert.match(
      no.stderr,
      /^Of its systems, 1 would be forgotten \(no client agent\), 3 placed anew, 0 end their move first\.\n/,
    );
    assert.match(no.stderr, /Forgotten:\n +ID +SYSTEM\n\d+ +bare\.example\n.*Nothing is changed\.\n$/s);
    assert.equal(await stateOf(), "lost");
    const yes = await typing("a1.example\n");
    assert.equal(yes.exit, EXIT.ok, yes.stderr);
    assert.match(yes.stderr, /Node a1\.example is removed\.\n$/);
    assert.equal(await stateOf(), "removed");
    await rig.tick("watch");
    assert.deepEqual((await rig.ask(Systems, "GET", "/v1/systems?state=deleted")).items.length, 1);
  });
});

Deno.test("remove --force changes nothing with --dry-run, on a living node, and where nobody can be asked", async () => {
  await withCluster(async (cluster) => {
    const { salar } = cluster;
    const alive = await salar(["node", "remove", "a1", "--force", "--yes"]);
    assert.deepEqual([alive.exit, alive.stdout], [EXIT.failed, ""]);
    assert.match(alive.stderr, /it was heard of \d+ s ago; drain it, then remove it/);
    const stateOf = await kill(cluster);
    const dry = await salar(["node", "remove", "a1", "--force", "--dry-run"]);
    assert.deepEqual([dry.exit, dry.stderr], [EXIT.ok, ""]);
    assert.match(dry.stdout, /^Of its systems, 1 would be forgotten/);
    const json = await salar(["node", "remove", "a1", "--force", "--dry-run", "--json"]);
    assert.equal(JSON.parse(json.stdout).preview.forgotten, 1);
    const nobody = await salar(["node", "remove", "a1", "--force"]);
    assert.deepEqual([nobody.exit, nobody.stdout], [EXIT.usage, ""]);
    assert.match(nobody.stderr, /give --yes or --dry-run/);
    const unforced = await salar(["node", "remove", "a1", "--yes"]);
    assert.deepEqual([unforced.exit, unforced.stderr.includes("go with --force")], [EXIT.usage, true]);
    assert.equal(await stateOf(), "lost");
  });
});
