/** Whatever people, agents and replicas do at the same time, the cluster is whole after it, and comes to rest. */
import assert from "node:assert/strict";
import fc from "fast-check";
import {
  DIRECTIVE_MS,
  MOVE_MS_MAX,
  NODE_GRACE_MS,
  PLACE_AGAIN_MS,
  RETIRE_AFTER_MS,
} from "../../lib/limits.ts";
import { assertWhole } from "../../lib/cluster/testing_whole.ts";
import type { ClusterRig, TestNode, TestSystem } from "../../lib/cluster/testing.ts";
import { carryOut, clusterTest, FarSide, openPlans, systemsOn } from "./director_support.ts";
import { SystemView } from "./director_replies.ts";

interface World {
  rig: ClusterRig;
  nodes: TestNode[];
  systems: TestSystem[];
}

type Step = (world: World, pick: number) => Promise<unknown>;

const node = ({ nodes }: World, pick: number) => nodes[pick % nodes.length]?.fp;
const system = ({ systems }: World, pick: number) => systems[pick % systems.length]?.id;
const onPlan = (action: string): Step => async ({ rig }, pick) => {
  const plans = await openPlans(rig);
  const plan = plans[pick % Math.max(1, plans.length)];
  return plan && await rig.call("POST", `/v1/plans/${plan.id}/${action}`, {});
};
const onNode = (action: string): Step => (world, pick) =>
  world.rig.call("POST", `/v1/nodes/${node(world, pick)}/${action}`, {});
const tick = (name: string): Step => ({ rig }) => rig.tick(name);

/** Agents forget here what they have done: everything is told, done and reported more than once. */
const obey = (outcome: "there" | "back"): Step => async ({ nodes, systems }) => {
  const far = new FarSide(nodes, systems);
  await far.nodesObey(outcome === "there" ? "done" : "refused");
  await far.systemsObey(outcome);
};

const STEPS: Record<string, Step> = {
  place: tick("place"),
  advance: tick("advance"),
  "advance again": tick("advance"),
  watch: tick("watch"),
  retire: tick("retire"),
  obey: obey("there"),
  "obey again": obey("there"),
  refuse: obey("back"),
  drain: onNode("drain"),
  undrain: onNode("undrain"),
  cordon: onNode("cordon"),
  uncordon: onNode("uncordon"),
  pause: onPlan("pause"),
  resume: onPlan("resume"),
  cancel: onPlan("cancel"),
  move: (world, pick) =>
    world.rig.call("POST", `/v1/systems/${system(world, pick)}/move`, { to: node(world, pick >> 4) }),
  pin: (world, pick) =>
    world.rig.call("PUT", `/v1/systems/${system(world, pick)}/pin`, {
      node: pick % 3 === 0 ? node(world, pick) : null,
    }),
  show: (world, pick) => {
    const shown = world.systems[pick % world.systems.length];
    return shown === undefined
      ? Promise.resolve()
      : world.nodes[(pick >> 4) % world.nodes.length]?.show({ localId: shown.id, ...shown }) ??
        Promise.resolve();
  },
};
/** What a cluster does most of the time; else hardly a move would come to its end. */
const OFTEN = ["advance", "obey", "advance", "obey", "advance", "obey", "advance", "obey", "move", "refuse"];
const WAITS = [1_000, NODE_GRACE_MS, PLACE_AGAIN_MS, MOVE_MS_MAX, DIRECTIVE_MS, RETIRE_AFTER_MS];

clusterTest(
  "fifteen stories of everything at once leave the cluster whole, and it comes to rest",
  async (rig) => {
    const step = fc.tuple(fc.constantFrom(...Object.keys(STEPS), ...OFTEN), fc.nat({ max: 255 }));
    const batch = fc.record({
      steps: fc.array(step, { minLength: 2, maxLength: 6 }),
      waitMs: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, fc.constantFrom(...WAITS)),
      heard: fc.subarray([0, 1, 2], { minLength: 1 }),
    });
    let stories = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(batch, { minLength: 8, maxLength: 20 }), async (batches) => {
        const zone = `story-${++stories}`;
        await rig.must("POST", "/v1/zones", { name: zone, fallback: false });
        const nodes: TestNode[] = [];
        for (const name of ["a", "b", "c"]) nodes.push(await rig.node(`${zone}-${name}`, { zone }));
        const systems = [
          ...await systemsOn(rig, nodes[0] ?? null, 3, { name: `${zone}-s`, zone }),
          ...await systemsOn(rig, null, 3, { name: `${zone}-t`, zone }),
        ];
        const world = { rig, nodes, systems };
        for (const { steps, waitMs, heard } of batches) {
          rig.later(waitMs);
          if (waitMs > 0) await Promise.all(heard.map((at) => nodes[at]?.beat()));
          await Promise.all(steps.map(([name, pick]) => STEPS[name]?.(world, pick)));
          await rig.read(assertWhole);
        }
        await rest(world);
      }),
      { numRuns: 15, endOnFailure: true },
    );
  },
);

/** With everybody alive and obedient, all plans end and every system has a living node. */
async function rest(world: World): Promise<void> {
  const { rig, nodes, systems } = world;
  for (const { id } of await openPlans(rig)) await rig.call("POST", `/v1/plans/${id}/resume`, {});
  rig.later(PLACE_AGAIN_MS);
  await Promise.all(nodes.map((each) => each.beat()));
  for (const { fp } of nodes) {
    for (const action of ["undrain", "uncordon"]) await rig.call("POST", `/v1/nodes/${fp}/${action}`, {});
  }
  for (const { id } of systems) await rig.must("PUT", `/v1/systems/${id}/pin`, { node: null });
  await rig.tick("watch", "place");
  const far = new FarSide(nodes, systems);
  await carryOut(rig, far);
  rig.later(PLACE_AGAIN_MS);
  await Promise.all(nodes.map((each) => each.beat()));
  await rig.tick("watch", "place");
  await carryOut(rig, far);
  await rig.read(assertWhole);
  for (const { id } of systems) {
    const { state, reason } = await rig.ask(SystemView, "GET", `/v1/systems/${id}`);
    assert.equal(state, "bound", `system ${id}: ${reason}`);
  }
}
