/** What the simulation found, each in its smallest form over the real host (docs/simulation.md, "What it found"). */
import assert from "node:assert/strict";
import { NODE_GRACE_MS } from "../../lib/limits.ts";
import { systemFacts, type TestNode } from "../../lib/cluster/testing.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { plans, systemById } from "../../lib/cluster/records.ts";
import { carryOut, clusterTest, FarSide, systemsOn } from "./director_support.ts";
import { EnrolAnswer } from "../../lib/cluster/protocol.ts";
import { Begun } from "./director_replies.ts";

clusterTest(
  "an agent whose first answer was lost is not told to skip what it was given since",
  async (rig) => {
    const node = await rig.node("a");
    const key = rig.newKey();
    const token = await rig.joinToken("system", "z");
    const body = { ...systemFacts("s", key), token };
    const first = await rig.enrol("system", key, body);
    await rig.tick("place", "advance");
    const [told] = await node.fetch();
    assert.ok(told);
    await node.report(told.seq);

    const again = await rig.enrol("system", key, body);
    const { id, lastSeq } = EnrolAnswer.parse(again.body);
    assert.equal(id, EnrolAnswer.parse(first.body).id);
    const system = rig.systemOf(
      { machineId: body.machineId, minionId: body.minionId, id: id ?? 0 },
      key,
    );
    const kinds = (await system.directives(lastSeq)).map(({ kind }) => kind);
    assert.deepEqual(kinds, ["directive.move"]);
  },
);

clusterTest("a heartbeat finds orphans though its replica never saw the node silent", async (rig) => {
  const a = await rig.node("a");
  const [system] = await systemsOn(rig, a, 1);
  assert.ok(system);
  await rig.must("POST", `/v1/nodes/${a.fp}/drain`, { why: "test" });
  rig.later(NODE_GRACE_MS);
  await rig.write((tx) => Promise.resolve(tx.put(keys.sweep(a.fp), new Uint8Array())));
  await rig.tick("watch");
  assert.equal((await rig.read((tx) => systemById(tx, system.id))).state, "orphan");

  rig.later(-NODE_GRACE_MS); // the replica that hears the node has another clock
  await a.beat();
  await rig.tick("watch");
  assert.equal((await rig.read((tx) => systemById(tx, system.id))).state, "bound");
});

clusterTest("a move back to a node that still shows the old profile settles with its report", async (rig) => {
  const all = [await rig.node("a"), await rig.node("b")];
  const [a, b] = all as [TestNode, TestNode];
  const [system] = await systemsOn(rig, a, 1);
  assert.ok(system);
  await a.show({ localId: 1_000_000_001, machineId: system.machineId, minionId: system.minionId });
  await rig.must("POST", `/v1/systems/${system.id}/move`, { to: b.fp });
  await carryOut(rig, new FarSide(all, [system]));

  const { plan } = await rig.ask(Begun, "POST", `/v1/systems/${system.id}/move`, { to: a.fp });
  await rig.tick("advance");
  const accept = (await a.fetch()).at(-1);
  assert.ok(accept);
  await a.report(accept.seq);
  const move = (await system.directives()).at(-1);
  assert.ok(move);
  await system.report(move, "there");
  await rig.tick("advance");
  assert.equal((await rig.read((tx) => plans.get(tx, plan.id)))?.state, "done");
});
