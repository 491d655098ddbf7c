/** Watching nodes: grace time, orphans, the way back, stale pooled nodes, and what the audit tells of it. */
import assert from "node:assert/strict";
import { NODE_GRACE_MS, POOLED_EXPIRE_MS } from "../../lib/limits.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { audits, loads } from "../../lib/cluster/records.ts";
import { type ClusterRig, nodeFacts, type TestNode } from "../../lib/cluster/testing.ts";
import { findBroken } from "../../lib/cluster/audit.ts";
import { clusterTest, FarSide, refusal, systemsOn } from "./director_support.ts";
import { Events, NodeView, Systems } from "./director_replies.ts";

const nodeOf = (rig: ClusterRig, { fp }: { fp: string }) => rig.ask(NodeView, "GET", `/v1/nodes/${fp}`);
async function statesOn(rig: ClusterRig, { fp }: TestNode): Promise<Record<string, number>> {
  const { items } = await rig.ask(Systems, "GET", `/v1/systems?node=${fp}&limit=1000`);
  const states: Record<string, number> = {};
  for (const { state } of items) states[state] = (states[state] ?? 0) + 1;
  return states;
}

clusterTest(
  "a silent node is lost after the grace time, its systems are orphans; all returns with it",
  async (rig) => {
    const [a, b] = [await rig.node("a"), await rig.node("b")];
    await systemsOn(rig, a, 3);
    await rig.must("POST", `/v1/nodes/${a.fp}/cordon`, {});
    rig.later(NODE_GRACE_MS - 2_000);
    await b.beat();
    await rig.tick("watch");
    assert.equal((await nodeOf(rig, a)).state, "cordoned", "not yet");
    rig.later(2_000);
    await rig.tick("watch");
    const lost = await nodeOf(rig, a);
    assert.deepEqual([lost.state, lost.stateBeforeLost], ["lost", "cordoned"]);
    assert.match(lost.reason, /no heartbeat for \d+ s/);
    assert.deepEqual(await statesOn(rig, a), { orphan: 3 });
    assert.equal((await nodeOf(rig, b)).state, "accepted");

    await a.beat();
    await rig.tick("watch");
    const back = await nodeOf(rig, a);
    assert.deepEqual([back.state, back.stateBeforeLost], ["cordoned", null]);
    assert.deepEqual(await statesOn(rig, a), { bound: 3 });
    const { items } = await rig.ask(Events, "GET", `/v1/events?target=node:${a.fp}`);
    assert.deepEqual(items.slice(0, 2).map(({ what }) => what), [
      "node.return",
      "node.lose",
    ]);
  },
);

clusterTest("many systems are swept in batches, and none is left out", async (rig) => {
  const a = await rig.node("a");
  await systemsOn(rig, a, 1_020);
  rig.later(NODE_GRACE_MS);
  await rig.tick("watch");
  assert.deepEqual(await statesOn(rig, a), { orphan: 1_000 }, "the first page of them");
  assert.equal((await rig.ask(Systems, "GET", "/v1/systems?state=bound")).items.length, 0);
  await a.beat();
  await rig.tick("watch");
  assert.equal((await rig.ask(Systems, "GET", "/v1/systems?state=orphan")).items.length, 0);
  assert.deepEqual(await rig.read((tx) => tx.get(keys.sweep(a.fp))), null);
});

clusterTest(
  "a node that was never heard of is not lost, and lost is no state to take systems in",
  async (rig) => {
    const key = rig.newKey();
    const token = await rig.joinToken("node", "z");
    assert.equal((await rig.enrol("node", key, { ...nodeFacts("n", key), token })).status, 200);
    await rig.must("POST", `/v1/nodes/${key.fp}/accept`, {});
    rig.later(10 * NODE_GRACE_MS);
    await rig.tick("watch");
    assert.equal((await nodeOf(rig, key)).state, "accepted");

    const b = await rig.node("b");
    const [system] = await systemsOn(rig, b, 1);
    await rig.nodeOf("n", key).beat();
    rig.later(NODE_GRACE_MS);
    await rig.tick("watch");
    const move = await rig.call("POST", `/v1/systems/${system?.id}/move`, { to: key.fp });
    assert.deepEqual(refusal(move), [409, "no-placement"]);
    const dry = await rig.call("POST", `/v1/systems/${system?.id}/move`, { dryRun: true });
    assert.deepEqual(refusal(dry), [409, "no-placement"]);
  },
);

clusterTest("a heartbeat that comes while a node is being lost wins", async (rig) => {
  const a = await rig.node("a");
  rig.later(NODE_GRACE_MS);
  await Promise.all([a.beat(), rig.tick("watch")]);
  await a.beat(); // the one that returns it, where the first came a moment too late
  await rig.tick("watch");
  assert.equal((await nodeOf(rig, a)).state, "accepted");
});

clusterTest("pooled nodes that nobody accepts expire; those that hold systems do not", async (rig) => {
  const pooled = async (name: string) => {
    const key = rig.newKey();
    const token = await rig.joinToken("node", "z");
    assert.equal((await rig.enrol("node", key, { ...nodeFacts(name, key), token })).status, 200);
    return { key, token };
  };
  const [stale, holding, alive] = [await pooled("stale"), await pooled("holding"), await pooled("alive")];
  await rig.nodeOf("holding", holding.key).show({
    localId: 1,
    machineId: "1".repeat(32),
    minionId: "bare.example",
  });
  rig.later(POOLED_EXPIRE_MS);
  await rig.nodeOf("alive", alive.key).beat();
  await rig.tick("watch");
  const states = await Promise.all(
    [stale, holding, alive].map(async ({ key }) => (await nodeOf(rig, key)).state),
  );
  assert.deepEqual(states, ["removed", "pooled", "pooled"]);
  assert.equal((await rig.read((tx) => loads.get(tx, holding.key.fp)))?.placed, 1);

  const again = await rig.enrol("node", stale.key, {
    ...nodeFacts("stale", stale.key),
    token: await rig.joinToken("node", "z"),
  });
  assert.equal(again.status, 200, "a removed one may come again");
  assert.equal((await nodeOf(rig, stale.key)).state, "pooled");
});

clusterTest("a system that arrives on a node that was lost meanwhile is an orphan there", async (rig) => {
  const [a, b] = [await rig.node("a"), await rig.node("b")];
  const systems = await systemsOn(rig, a, 1);
  const far = new FarSide([a, b], systems);
  await rig.must("POST", `/v1/systems/${systems[0]?.id}/move`, { to: b.fp });
  await rig.tick("advance");
  await far.nodesObey();
  rig.later(NODE_GRACE_MS);
  await a.beat();
  await rig.tick("watch");
  await far.systemsObey();
  await rig.tick("watch", "advance");
  assert.deepEqual(await statesOn(rig, b), { orphan: 1 });
  await b.beat();
  await rig.tick("watch");
  assert.deepEqual(await statesOn(rig, b), { bound: 1 });
});

clusterTest("the audit shows who changed an entry, took one out or cut the end off", async (rig) => {
  await rig.node("a");
  const sha256 = rig.context.crypt.sha256;
  const broken = () => rig.read((tx) => findBroken(tx, sha256));
  assert.equal(await broken(), null);
  const [first] = await rig.read((tx) => audits.scan(tx, keys.audits, { limit: 1 }));
  assert.ok(first);
  const { lane, n } = first.value;
  await rig.write((tx) => Promise.resolve(audits.put(tx, { ...first.value, who: "nobody" }, lane, n)));
  assert.deepEqual(await broken(), { lane, n, reason: "it was changed" });
  await rig.write((tx) => Promise.resolve(audits.delete(tx, lane, n)));
  assert.equal((await broken())?.reason, "entry 1 is missing");
  await rig.write((tx) => Promise.resolve(audits.put(tx, first.value, lane, n)));
  const last = await rig.read((tx) => audits.scan(tx, keys.auditLane(lane), { limit: 1, reverse: true }));
  const end = last[0]?.value;
  assert.ok(end);
  await rig.write((tx) => Promise.resolve(audits.delete(tx, lane, end.n)));
  assert.equal((await broken())?.reason, "its head is not its last entry");
  await rig.write((tx) => Promise.resolve(audits.put(tx, end, lane, end.n)));
});
