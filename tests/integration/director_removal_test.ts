/** Nodes that are gone: nobody plans with them any more, and a dead one can be removed with all that is left on it. */
import assert from "node:assert/strict";
import { NODE_GRACE_MS } from "../../lib/limits.ts";
import type { ClusterRig, TestNode } from "../../lib/cluster/testing.ts";
import { clusterTest, refusal, systemsOn } from "./director_support.ts";

const unknown = "f".repeat(64);

async function remove(rig: ClusterRig, { fp }: TestNode): Promise<void> {
  await rig.must("POST", `/v1/nodes/${fp}/drain`, {});
  await rig.tick("advance");
  await rig.must("DELETE", `/v1/nodes/${fp}`);
}

/** No word of `silent` for the grace time; the others go on. */
async function lose(rig: ClusterRig, silent: TestNode, others: readonly TestNode[]): Promise<void> {
  rig.later(NODE_GRACE_MS);
  for (const node of others) await node.beat();
  await rig.tick("watch");
  assert.equal((await rig.must("GET", `/v1/nodes/${silent.fp}`)).state, "lost");
}

clusterTest(
  "a removed node takes no change, and nobody is planned onto a node that is not there",
  async (rig) => {
    const [a, gone, dead] = [await rig.node("a"), await rig.node("gone"), await rig.node("dead")];
    const [system] = await systemsOn(rig, a, 1);
    await remove(rig, gone);
    await lose(rig, dead, [a]);
    assert.deepEqual(refusal(await rig.call("PATCH", `/v1/nodes/${gone.fp}`, { weight: 2 })), [
      409,
      "conflict",
    ]);
    assert.deepEqual(refusal(await rig.call("POST", `/v1/nodes/${gone.fp}/drain`, { dryRun: true })), [
      409,
      "conflict",
    ]);
    assert.equal(
      (await rig.must("PATCH", `/v1/nodes/${dead.fp}`, { weight: 2 })).weight,
      2,
      "it may come back",
    );

    for (const [fp, wanted] of [[gone.fp, 409], [dead.fp, 409], [unknown, 404]] as const) {
      const asked: [string, string, string, unknown][] = [
        ["PUT", "pin", "body.node", { node: fp }],
        ["POST", "move", "body.to", { to: fp }],
        ["POST", "move", "body.to", { to: fp, dryRun: true }],
      ];
      for (const [method, what, field, body] of asked) {
        const answer = await rig.call(method, `/v1/systems/${system?.id}/${what}`, body);
        assert.equal(answer.status, wanted, `${what}: ${JSON.stringify(answer.body)}`);
        assert.deepEqual(answer.body.problems.map((each: { field: string }) => each.field), [field]);
      }
    }
    assert.equal((await rig.must("GET", `/v1/systems/${system?.id}`)).pin, null);
  },
);
