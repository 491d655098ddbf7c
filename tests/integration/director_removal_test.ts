/** Nodes that are gone: nobody plans with them any more, and a dead one can be removed with all that is left on it. */
import assert from "node:assert/strict";
import { MOVE_MS_MAX, NODE_GRACE_MS } from "../../lib/limits.ts";
import { keys } from "../../lib/cluster/keys.ts";
import type { RowChange } from "../../lib/cluster/protocol.ts";
import { type ClusterRig, problemIn, type TestNode } from "../../lib/cluster/testing.ts";
import { assertWhole } from "../../lib/cluster/testing_whole.ts";
import { carryOut, clusterTest, FarSide, movesOf, placedOn, refusal, systemsOn } from "./director_support.ts";
import { Begun, Events, ForcePreviewed, NodeView, Removed, Systems, SystemView } from "./director_replies.ts";

const machine = (digit: number) => String(digit).repeat(32);
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
  assert.equal((await rig.ask(NodeView, "GET", `/v1/nodes/${silent.fp}`)).state, "lost");
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
      (await rig.ask(NodeView, "PATCH", `/v1/nodes/${dead.fp}`, { weight: 2 })).weight,
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
        assert.deepEqual(problemIn(answer).problems?.map((each) => each.field), [field]);
      }
    }
    assert.equal((await rig.ask(SystemView, "GET", `/v1/systems/${system?.id}`)).pin, null);
  },
);

clusterTest(
  "a dead node goes by force: bare systems are forgotten, those with an agent are placed anew",
  async (rig) => {
    const [a, dead] = [await rig.node("a"), await rig.node("dead")];
    const systems = await systemsOn(rig, dead, 3);
    await dead.show({ localId: 7, machineId: machine(7), minionId: "bare.example" });
    const bare = (await rig.ask(Systems, "GET", "/v1/systems?q=bare")).items[0]?.id;
    await rig.must("PUT", `/v1/systems/${systems[0]?.id}/pin`, { node: dead.fp });
    const path = `/v1/nodes/${dead.fp}/force-remove`;

    for (const dryRun of [true, false]) {
      const alive = await rig.call("POST", path, { dryRun });
      assert.deepEqual(refusal(alive), [409, "conflict"]);
      assert.match(problemIn(alive).detail, /Cannot force-remove node "dead": it was heard of \d+ s ago/);
    }
    await lose(rig, dead, [a]);
    assert.deepEqual(refusal(await rig.call("DELETE", `/v1/nodes/${dead.fp}`)), [409, "conflict"]);
    const { node, preview } = await rig.ask(ForcePreviewed, "POST", path, { dryRun: true });
    assert.deepEqual([node.state, preview.forgotten, preview.placedAnew, preview.moving], ["lost", 1, 3, 0]);
    assert.deepEqual(preview.named, [{ system: bare, name: "bare.example" }]);

    assert.equal((await rig.ask(Removed, "POST", path, { why: "burnt down" })).node.state, "removed");
    await rig.read(assertWhole);
    await rig.tick("watch");
    assert.equal((await rig.ask(SystemView, "GET", `/v1/systems/${bare}`)).state, "deleted");
    const events = (await rig.ask(Events, "GET", `/v1/events?target=system:${bare}`)).items;
    assert.deepEqual(
      events.slice(0, 1).map(({ what, why }) => [what, why]),
      [["system.delete", 'its node "dead" was removed: burnt down']],
    );
    await carryOut(rig, new FarSide([a], systems));
    for (const { id } of systems) {
      const { state, node, pin } = await rig.ask(SystemView, "GET", `/v1/systems/${id}`);
      assert.deepEqual([state, node, pin], ["bound", a.fp, null]);
    }
    assert.deepEqual(await placedOn(rig, [a, dead]), [3, 0]);
  },
);

clusterTest(
  "systems on their way from or to a node that is removed by force end their moves first",
  async (rig) => {
    const [a, b, dead] = [await rig.node("a"), await rig.node("b"), await rig.node("dead")];
    const [leaving] = await systemsOn(rig, dead, 1, { name: "leaving" });
    const [coming, late] = await systemsOn(rig, a, 2, { name: "coming" });
    assert.ok(leaving && coming && late);
    const far = new FarSide([a, b, dead], [leaving, late]);
    await rig.must("POST", `/v1/systems/${late.id}/move`, { to: dead.fp });
    await rig.must("POST", `/v1/systems/${leaving.id}/move`, { to: b.fp });
    await rig.tick("advance");
    await far.nodesObey();
    const { plan } = await rig.ask(Begun, "POST", `/v1/systems/${coming.id}/move`, { to: dead.fp });
    await lose(rig, dead, [a, b]);
    const { preview } = await rig.ask(ForcePreviewed, "POST", `/v1/nodes/${dead.fp}/force-remove`, {
      dryRun: true,
    });
    assert.deepEqual([preview.forgotten, preview.placedAnew, preview.moving], [0, 0, 3]);
    await rig.must("POST", `/v1/nodes/${dead.fp}/force-remove`, {});
    await rig.tick("watch", "advance");
    await far.systemsObey("there", { seen: false });
    await b.show({ localId: 1, ...leaving });
    rig.later(MOVE_MS_MAX);
    for (const node of [a, b]) await node.beat();
    await rig.tick("advance", "watch"); // `late` has settled on the removed node, and leaves it again
    assert.equal((await movesOf(rig, plan.id))[0]?.reason, "its node takes no systems any more");
    await carryOut(rig, new FarSide([a, b], [late]));
    const nodesOf = (id: number) =>
      rig.ask(SystemView, "GET", `/v1/systems/${id}`).then(({ node }) => node ?? "");
    assert.deepEqual([await nodesOf(coming.id), await nodesOf(leaving.id)], [a.fp, b.fp]);
    assert.ok([a.fp, b.fp].includes(await nodesOf(late.id)));
    assert.deepEqual(await placedOn(rig, [dead]), [0]);
    await rig.tick("watch");
    assert.deepEqual(await rig.read((tx) => tx.getMany([keys.sweep(dead.fp), keys.away(dead.fp)])), [
      null,
      null,
    ]);
  },
);

clusterTest("many systems are forgotten in batches", async (rig) => {
  const [, dead] = [await rig.node("a"), await rig.node("dead")];
  const changes: RowChange[] = [];
  for (let id = 1; id <= 510; id++) {
    const [server, minion] = [{ id: `${id}`, name: `n${id}` }, { server_id: `${id}`, minion_id: `n${id}` }];
    const row = { ...server, machine_id: `${id}`.padStart(32, "0") };
    changes.push({ table: "rhnserver", op: "insert", row, oldKey: null });
    changes.push({ table: "suseminioninfo", op: "insert", row: minion, oldKey: null });
  }
  for (const half of [changes.slice(0, 510), changes.slice(510)]) await dead.changes(half);
  assert.deepEqual(await placedOn(rig, [dead]), [510]);
  await lose(rig, dead, []);
  await rig.must("POST", `/v1/nodes/${dead.fp}/force-remove`, {});
  await rig.tick("watch");
  assert.deepEqual(await placedOn(rig, [dead]), [0]);
});
