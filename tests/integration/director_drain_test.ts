/** Draining: what the preview says, budgets, pauses, ends of all kinds, and the recovery of a lost node. */
import assert from "node:assert/strict";
import { DIRECTIVE_MS, MOVE_MS_MAX, NODE_GRACE_MS, RETIRE_AFTER_MS } from "../../lib/limits.ts";
import { change } from "../../lib/cluster/change.ts";
import { giveUp } from "../../lib/cluster/moving.ts";
import { moves } from "../../lib/cluster/records.ts";
import type { ClusterRig, TestNode, Told } from "../../lib/cluster/testing.ts";
import { assertWhole } from "../../lib/cluster/testing_whole.ts";
import { carryOut, clusterTest, FarSide, movesOf, placedOn, refusal, systemsOn } from "./director_support.ts";
import { Begun, NodeView, Plan, Plans, Previewed, Systems, SystemView } from "./director_replies.ts";

const path = (node: TestNode, action: string) => `/v1/nodes/${node.fp}/${action}`;

async function drain(rig: ClusterRig, node: TestNode, options = {}): Promise<string> {
  return (await rig.ask(Begun, "POST", path(node, "drain"), { why: "test", ...options })).plan.id;
}
const stateOf = async (rig: ClusterRig, node: TestNode) =>
  (await rig.ask(NodeView, "GET", `/v1/nodes/${node.fp}`)).state;
/** The system that a directive concerns. */
const systemOf = (told: Told | undefined) => told !== undefined && "system" in told.body && told.body.system;
const planOf = (rig: ClusterRig, id: string) => rig.ask(Plan, "GET", `/v1/plans/${id}`);
const act = (rig: ClusterRig, plan: string, action: string) =>
  rig.must("POST", `/v1/plans/${plan}/${action}`, {});

clusterTest("a drain does what its preview said, and the node ends drained", async (rig) => {
  const all = [await rig.node("a"), await rig.node("b"), await rig.node("c", { weight: 3 })];
  const [a] = all as [TestNode, TestNode, TestNode];
  const systems = await systemsOn(rig, a, 40);
  const { preview } = await rig.ask(Previewed, "POST", path(a, "drain"), { dryRun: true });
  assert.equal(await stateOf(rig, a), "accepted", "a preview changes nothing");

  const plan = await drain(rig, a);
  await carryOut(rig, new FarSide(all, systems), () => rig.read(assertWhole));
  const planned = (await movesOf(rig, plan)).map(({ system, to }) => ({ system, to }));
  assert.deepEqual(
    planned,
    preview.moves.map(({ system, to }: { system: number; to: string }) => ({ system, to })),
  );
  const loads = Object.fromEntries(
    preview.targets.map(({ node, systems }: { node: string; systems: number }) => [node, systems]),
  );
  assert.deepEqual(await placedOn(rig, all), all.map(({ fp }) => loads[fp] ?? 0));
  const { state, counts } = await planOf(rig, plan);
  assert.deepEqual([state, counts.there, counts.stuck], ["done", 40, 0]);
  assert.equal(await stateOf(rig, a), "drained");
});

clusterTest("a drain of more than one batch goes where its preview said", async (rig) => {
  const [a, b, c] = [await rig.node("a"), await rig.node("b"), await rig.node("c")];
  await systemsOn(rig, a, 620);
  const { preview } = await rig.ask(Previewed, "POST", path(a, "drain"), { dryRun: true });
  assert.equal(preview.total, 620);
  const plan = await drain(rig, a);
  await rig.tick("advance");
  const { state, counts } = await planOf(rig, plan);
  assert.deepEqual([state, counts.total, counts.queued + counts.active], ["running", 620, 620]);
  const loads = new Map(
    preview.targets.map(({ node, systems }: { node: string; systems: number }) => [node, systems]),
  );
  assert.deepEqual(await placedOn(rig, [b, c]), [loads.get(b.fp), loads.get(c.fp)]);
  await act(rig, plan, "cancel");
  await rig.tick("advance", "advance", "advance");
  assert.equal((await planOf(rig, plan)).state, "cancelled", "all at once are too many for one transaction");
});

clusterTest("at no time do more moves run than the budget of any node and zone allows", async (rig) => {
  await rig.must("POST", "/v1/zones", { name: "y" });
  const all = [await rig.node("a"), await rig.node("b"), await rig.node("c", { zone: "y" })];
  const [a] = all as [TestNode, TestNode, TestNode];
  const systems = await systemsOn(rig, a, 12);
  const plan = await drain(rig, a, { budget: { perNode: 3, perZone: 2 } });
  let most = 0;
  await carryOut(rig, new FarSide(all, systems), async () => {
    const active = (await movesOf(rig, plan)).filter(({ state }) =>
      ["preparing", "switching", "settling"].includes(state)
    );
    most = Math.max(most, active.length);
    assert.ok(active.length <= 2, "all of them leave zone z");
  });
  assert.equal(most, 2, "and the budget is used");
  assert.equal((await planOf(rig, plan)).counts.there, 12);
});

clusterTest("a budget above one batch is kept, too", async (rig) => {
  const a = await rig.node("a");
  await rig.node("b");
  await systemsOn(rig, a, 620);
  const plan = await drain(rig, a, { budget: { perNode: 550, perZone: 10_000 } });
  for (let pass = 0; pass < 4; pass++) await rig.tick("advance");
  const active = (await movesOf(rig, plan)).filter(({ state }) => state === "preparing");
  assert.equal(active.length, 550);
  assert.equal((await planOf(rig, plan)).counts.active, 550);
});

clusterTest("a paused plan begins nothing, lets end what runs, and goes on when resumed", async (rig) => {
  const all = [await rig.node("a"), await rig.node("b")];
  const [a] = all as [TestNode, TestNode];
  const systems = await systemsOn(rig, a, 4);
  const far = new FarSide(all, systems);
  const plan = await drain(rig, a, { budget: { perNode: 2, perZone: 2 } });
  await rig.tick("advance");
  await act(rig, plan, "pause");
  for (let round = 0; round < 3; round++) {
    await far.nodesObey();
    await far.systemsObey();
    await rig.tick("advance");
  }
  assert.deepEqual((await planOf(rig, plan)).counts, {
    total: 4,
    queued: 2,
    active: 0,
    there: 2,
    back: 0,
    stuck: 0,
  });
  assert.deepEqual(refusal(await rig.call("POST", `/v1/plans/${plan}/pause`, {})), [409, "conflict"]);
  await act(rig, plan, "resume");
  await carryOut(rig, far);
  assert.equal((await planOf(rig, plan)).counts.there, 4);
});

clusterTest("a paused plan whose last moves end is over, and holds up no other plan", async (rig) => {
  const all = [await rig.node("a"), await rig.node("b")];
  const [a, b] = all as [TestNode, TestNode];
  const systems = await systemsOn(rig, a, 1);
  const far = new FarSide(all, systems);
  const plan = await drain(rig, a);
  await rig.tick("advance");
  await act(rig, plan, "pause");
  await systemsOn(rig, b, 1, { name: "t" });
  await far.nodesObey();
  await far.systemsObey();
  await rig.tick("advance");
  assert.equal((await planOf(rig, plan)).state, "done");
  assert.equal(await stateOf(rig, a), "drained");
});

clusterTest("cancelling gives back what nobody was told, and lets end what a system has", async (rig) => {
  const all = [await rig.node("a"), await rig.node("b")];
  const [a, b] = all as [TestNode, TestNode];
  const systems = await systemsOn(rig, a, 4);
  const far = new FarSide(all, systems);
  const plan = await drain(rig, a, { budget: { perNode: 3, perZone: 3 } });
  await rig.tick("advance");
  const [keyOf] = await b.fetch();
  await b.report(keyOf?.seq ?? 0); // one of three is switching; its system is told
  const told = systems.find(({ id }) => id === systemOf(keyOf));
  assert.ok(told);
  const [directive] = await told.directives();
  const [, second] = await b.fetch();
  await b.report(second?.seq ?? 0); // another one is switching, and its system has not asked yet

  await act(rig, plan, "cancel");
  await rig.tick("advance");
  const states = async () => (await movesOf(rig, plan)).map(({ state }) => state).sort();
  assert.deepEqual(await states(), ["back", "back", "back", "switching"]);
  assert.equal((await planOf(rig, plan)).state, "cancelling");
  const untold = systems.find(({ id }) => id === systemOf(second));
  assert.deepEqual(await untold?.directives(), [], "what was withdrawn is never handed out");

  assert.equal((await told.report(directive ?? { seq: 0, epoch: 0 }, "there")).status, 200);
  await b.show({ localId: told.id, ...told });
  await rig.tick("advance");
  const { state, counts } = await planOf(rig, plan);
  assert.deepEqual([state, counts.there, counts.back], ["cancelled", 1, 3]);
  assert.equal(await stateOf(rig, a), "draining", "it kept some, and can be drained again");
  await far.nodesObey();
  await drain(rig, a);
  await carryOut(rig, far);
  assert.equal(await stateOf(rig, a), "drained");
});

clusterTest("after its deadline a plan begins no more moves, and those under way end", async (rig) => {
  const all = [await rig.node("a"), await rig.node("b")];
  const [a] = all as [TestNode, TestNode];
  const systems = await systemsOn(rig, a, 3);
  const far = new FarSide(all, systems);
  const plan = await drain(rig, a, {
    budget: { perNode: 1, perZone: 1 },
    deadlineAtMs: rig.nowMs() + 5_000,
  });
  await rig.tick("advance");
  rig.later(5_000);
  await far.nodesObey();
  await rig.tick("advance");
  await far.systemsObey();
  await rig.tick("advance");
  const { state, counts } = await planOf(rig, plan);
  assert.deepEqual([state, counts.there, counts.back], ["done", 1, 2]);
});

clusterTest("one drain at a time; undraining cancels it", async (rig) => {
  const all = [await rig.node("a"), await rig.node("b")];
  const [a] = all as [TestNode, TestNode];
  await systemsOn(rig, a, 2);
  const plan = await drain(rig, a);
  assert.deepEqual(refusal(await rig.call("POST", path(a, "drain"), {})), [409, "conflict"]);
  await rig.tick("advance");
  const undrained = await rig.must("POST", path(a, "undrain"), { why: "changed my mind" });
  assert.deepEqual(undrained, { state: "cordoned", cancelled: [plan] });
  await rig.tick("advance");
  assert.equal((await planOf(rig, plan)).state, "cancelled");
  assert.deepEqual(await placedOn(rig, all), [2, 0]);
  assert.equal(await stateOf(rig, a), "cordoned");
});

clusterTest(
  "systems without an agent, of other plans or pinned are counted as stuck, as the preview says",
  async (rig) => {
    const all = [await rig.node("a"), await rig.node("b")];
    const [a, b] = all as [TestNode, TestNode];
    const [pinned, moving, free] = await systemsOn(rig, a, 3);
    await a.show({ localId: 9, machineId: "9".repeat(32), minionId: "bare.example" });
    await rig.must("PUT", `/v1/systems/${pinned?.id}/pin`, { node: a.fp });
    await rig.must("POST", `/v1/systems/${moving?.id}/move`, { to: b.fp });

    const { preview } = await rig.ask(Previewed, "POST", path(a, "drain"), { dryRun: true });
    assert.deepEqual([preview.total, preview.stuckTotal, preview.moves.length], [4, 3, 1]);
    const plan = await drain(rig, a);
    await carryOut(rig, new FarSide(all, [pinned, moving, free].filter((each) => each !== undefined)));
    const { counts } = await planOf(rig, plan);
    assert.deepEqual([counts.total, counts.stuck, counts.there], [4, 3, 1]);
    assert.equal(await stateOf(rig, a), "draining");
    assert.deepEqual(await placedOn(rig, all), [2, 2]);

    await rig.must("PUT", `/v1/systems/${pinned?.id}/pin`, { node: null });
    assert.equal((await planOf(rig, await drain(rig, a))).state, "planning", "drained again for the rest");
  },
);

clusterTest(
  "draining a lost node recovers its systems; what it had is retired when it is back",
  async (rig) => {
    const all = [await rig.node("a"), await rig.node("b")];
    const [a, b] = all as [TestNode, TestNode];
    const systems = await systemsOn(rig, a, 3);
    rig.later(NODE_GRACE_MS);
    await b.beat();
    await rig.tick("watch");
    assert.equal(await stateOf(rig, a), "lost");

    await drain(rig, a);
    await carryOut(rig, new FarSide([b], systems), () => rig.read(assertWhole));
    assert.equal(await stateOf(rig, a), "drained");
    assert.deepEqual(await placedOn(rig, all), [0, 3]);
    await rig.tick("watch");
    assert.equal(await stateOf(rig, a), "lost", "empty, and still silent");

    rig.later(RETIRE_AFTER_MS);
    await rig.tick("retire");
    assert.deepEqual(await rig.read((tx) => tx.scan({ from: "outbox/", to: "outbox0" }, { limit: 10 })), []);
    await a.beat();
    assert.equal(await stateOf(rig, a), "drained");
    await rig.tick("retire");
    const retire = (await a.fetch()).filter(({ kind }) => kind === "directive.retire");
    assert.deepEqual(retire.map((told) => told.kind === "directive.retire" && told.body.minionIds.length), [
      3,
    ], "one directive for all");
  },
);

clusterTest("a system that goes back to a silent node is an orphan until it is heard of", async (rig) => {
  const all = [await rig.node("a"), await rig.node("b")];
  const [a, b] = all as [TestNode, TestNode];
  const systems = await systemsOn(rig, a, 2);
  const far = new FarSide([b], systems);
  await rig.tick("watch");
  await drain(rig, a, { budget: { perNode: 1, perZone: 1 } });
  rig.later(NODE_GRACE_MS);
  await b.beat();
  await rig.tick("watch", "advance");
  await far.nodesObey("refused");
  const states = async () =>
    await Promise.all(
      systems.map(async ({ id }) => (await rig.ask(SystemView, "GET", `/v1/systems/${id}`)).state),
    );
  assert.deepEqual((await states()).sort(), ["bound", "orphan"]);
  assert.equal(await stateOf(rig, a), "draining");
  await a.beat();
  await rig.tick("watch");
  assert.deepEqual(await states(), ["bound", "bound"]);
});

clusterTest("reports that come twice, late or forged change nothing", async (rig) => {
  const all = [await rig.node("a"), await rig.node("b")];
  const [a, b] = all as [TestNode, TestNode];
  const [system, other] = await systemsOn(rig, a, 2);
  assert.ok(system && other);
  const { plan } = await rig.ask(Begun, "POST", `/v1/systems/${system.id}/move`, { to: b.fp });
  await rig.tick("advance");
  const [accept] = await b.fetch();
  assert.equal(accept?.kind, "directive.key.accept");
  await a.report(accept?.seq ?? 0); // a directive of somebody else
  const stateOfMove = async () => (await movesOf(rig, plan.id))[0]?.state;
  assert.equal(await stateOfMove(), "preparing");
  await b.report(accept?.seq ?? 0);
  await b.report(accept?.seq ?? 0, "refused", "second thoughts");
  assert.equal(await stateOfMove(), "switching");

  const [told] = await system.directives();
  assert.ok(told);
  await other.report(told, "there");
  assert.equal(await stateOfMove(), "switching");
  const wrongEpoch = await system.report({ ...told, epoch: told.epoch + 1 }, "there");
  assert.deepEqual(refusal(wrongEpoch), [409, "conflict"]);
  assert.equal((await system.directives()).length, 1, "it is still told");
  for (let twice = 0; twice < 2; twice++) assert.equal((await system.report(told, "there")).status, 200);
  await system.report(told, "back");
  assert.equal(await stateOfMove(), "settling");
  await b.show({ localId: 1, ...system });
  await b.show({ localId: 1, ...system });
  assert.equal(await stateOfMove(), "there");
  assert.equal((await rig.ask(SystemView, "GET", `/v1/systems/${system.id}`)).node, b.fp);
});

clusterTest(
  "a move back ends at the old node with its place given back and its key forgotten",
  async (rig) => {
    const all = [await rig.node("a"), await rig.node("b")];
    const [a, b] = all as [TestNode, TestNode];
    const systems = await systemsOn(rig, a, 1);
    const far = new FarSide(all, systems);
    const plan = await drain(rig, a);
    await rig.tick("advance");
    await far.nodesObey();
    await far.systemsObey("back");
    assert.deepEqual((await b.fetch()).map(({ kind }) => kind), ["directive.key.forget"]);
    assert.deepEqual(await placedOn(rig, all), [1, 0]);
    await rig.tick("advance");
    assert.equal((await planOf(rig, plan)).counts.back, 1);
  },
);

clusterTest(
  "a directive ends with its time; then the move is given up, and what comes later is the truth",
  async (rig) => {
    const all = [await rig.node("a"), await rig.node("b")];
    const [a, b] = all as [TestNode, TestNode];
    const [system, deaf] = await systemsOn(rig, a, 2);
    assert.ok(system && deaf);
    await drain(rig, a);
    await rig.tick("advance");
    await new FarSide([b], []).nodesObey();
    const [told] = await system.directives();
    assert.ok(told);
    rig.later(DIRECTIVE_MS - 60_000);
    const [again] = await system.directives();
    assert.equal(again?.exp, told.exp, "asking again does not make it last longer");
    rig.later(60_000);
    assert.deepEqual([await system.directives(), await deaf.directives()], [[], []]);
    await rig.tick("advance");
    assert.equal(
      (await rig.ask(SystemView, "GET", `/v1/systems/${system.id}`)).state,
      "moving",
      "it may be on its way",
    );

    rig.later(MOVE_MS_MAX);
    await a.beat();
    await rig.tick("advance", "advance");
    const place = async () => {
      const { state, node } = await rig.ask(SystemView, "GET", `/v1/systems/${system.id}`);
      return { state, node };
    };
    assert.deepEqual(await place(), { state: "bound", node: a.fp });
    await rig.read(assertWhole);
    assert.equal((await system.report(told, "there")).status, 200);
    await b.beat();
    assert.deepEqual(await place(), { state: "bound", node: b.fp });
    assert.deepEqual(await placedOn(rig, all), [1, 1]);
  },
);

clusterTest("a plan counts a system that tells late that it is there, whenever it tells", async (rig) => {
  const all = [await rig.node("a"), await rig.node("b")];
  const [a, b] = all as [TestNode, TestNode];
  const systems = await systemsOn(rig, a, 3);
  const plan = await drain(rig, a);
  await rig.tick("advance");
  await new FarSide([b], []).nodesObey();
  const told = await Promise.all(systems.map(async (system) => (await system.directives())[0]));
  rig.later(DIRECTIVE_MS + MOVE_MS_MAX);
  const tellLate = async (at: number) => {
    const [system, directive] = [systems[at], told[at]];
    assert.ok(system && directive);
    assert.equal((await system.report(directive, "there")).status, 200);
    await rig.read(assertWhole);
  };
  const counts = async () => {
    const { state, counts } = await planOf(rig, plan);
    return [state, counts.there, counts.back];
  };
  const giveUpOnly = (at: number) =>
    change(rig.context, { who: "test" }, async (c) => {
      const id = systems[at]?.id ?? 0;
      return await giveUp(c, plan, id, { reason: "silent", told: true });
    });

  await giveUpOnly(0);
  await tellLate(0); // before the plan has counted it
  await giveUpOnly(1);
  await rig.write(async (tx) => { // one more under way, and in time: it keeps the plan open
    const move = await moves.get(tx, plan, systems[2]?.id ?? 0);
    assert.ok(move);
    moves.put(tx, { ...move, deadlineAtMs: rig.nowMs() + MOVE_MS_MAX }, plan, move.system);
  });
  await rig.tick("advance");
  assert.deepEqual(await counts(), ["running", 1, 1]);
  await tellLate(1);
  await rig.tick("advance");
  assert.deepEqual(await counts(), ["running", 2, 0]);
  rig.later(MOVE_MS_MAX);
  await rig.tick("advance", "advance");
  assert.deepEqual(await counts(), ["done", 2, 1]);
  await tellLate(2);
  assert.deepEqual(await counts(), ["done", 3, 0]);
});

clusterTest("moves that hang are given up: before the switch back, after it there", async (rig) => {
  const all = [await rig.node("a"), await rig.node("b")];
  const [a, b] = all as [TestNode, TestNode];
  const [silent, unseen] = await systemsOn(rig, a, 2);
  assert.ok(silent && unseen);
  const plan = await drain(rig, a);
  await rig.tick("advance");
  const accept = (await b.fetch()).find((told) => systemOf(told) === unseen.id);
  await b.report(accept?.seq ?? 0);
  const [told] = await unseen.directives();
  await unseen.report(told ?? { seq: 0, epoch: 0 }, "there");
  rig.later(MOVE_MS_MAX);
  await Promise.all(all.map((node) => node.beat()));
  await rig.tick("advance", "advance");
  const ends = await movesOf(rig, plan);
  assert.deepEqual(
    ends.map(({ system, state }) => [system, state]).sort(),
    [
      [silent.id, "back"],
      [unseen.id, "there"],
    ].sort(),
  );
  assert.equal((await planOf(rig, plan)).state, "done");
});

clusterTest(
  "a new system whose first way fails waits, and is placed again; it is never forgotten",
  async (rig) => {
    const all = [await rig.node("a")];
    const systems = await systemsOn(rig, null, 1);
    const far = new FarSide(all, systems);
    await rig.tick("place", "advance");
    await far.nodesObey("refused");
    await rig.read(assertWhole);
    await rig.tick("place", "advance");
    assert.equal((await rig.ask(Plans, "GET", "/v1/plans")).items.length, 1, "not at once");
    rig.later(10 * 60_000);
    await carryOut(rig, far);
    assert.deepEqual(await placedOn(rig, all), [1]);
  },
);

clusterTest("a place on a node that takes nobody any more is given up for another", async (rig) => {
  const [a, system] = [await rig.node("a"), await rig.system("s")];
  await rig.tick("place");
  await rig.must("POST", path(a, "cordon"), {});
  const b = await rig.node("b");
  const all = [a, b];
  await carryOut(rig, new FarSide(all, [system]));
  await rig.tick("place");
  await carryOut(rig, new FarSide(all, [system]));
  assert.deepEqual(await placedOn(rig, all), [0, 1]);
});

clusterTest("systems for which there is no place hold up nobody behind them", async (rig) => {
  await rig.must("POST", "/v1/zones", { name: "closed", fallback: false });
  const far = new FarSide([await rig.node("a")], []);
  await systemsOn(rig, null, 520, { zone: "closed" });
  const others = await systemsOn(rig, null, 40, { name: "t" });
  await rig.tick("place");
  assert.deepEqual(await placedOn(rig, far.nodes), [40]);
  const waiting = await rig.ask(Systems, "GET", "/v1/systems?zone=closed&limit=1");
  assert.match(waiting.items[0]?.reason ?? "", /has no accepting node/);
  assert.equal(others.length, 40);
});

clusterTest(
  "a system on its way back keeps its old profile",
  async (rig) => {
    const all = [await rig.node("a"), await rig.node("b")];
    const [a, b] = all as [TestNode, TestNode];
    const [system] = await systemsOn(rig, a, 1);
    assert.ok(system);
    const far = new FarSide(all, [system]);
    await rig.must("POST", `/v1/systems/${system.id}/move`, { to: b.fp });
    await carryOut(rig, far);
    rig.later(RETIRE_AFTER_MS);
    await rig.must("POST", `/v1/systems/${system.id}/move`, { to: a.fp });
    await rig.tick("retire");
    assert.deepEqual((await a.fetch()).filter(({ kind }) => kind === "directive.retire"), []);
    await carryOut(rig, far);
    await rig.tick("retire");
    assert.deepEqual(
      (await a.fetch()).filter(({ kind }) => kind === "directive.retire"),
      [],
      "it lives there again",
    );
  },
);
