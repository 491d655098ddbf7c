/** What the director's tests share: a cluster per test, and a far side that does what it is told. */
import assert from "node:assert/strict";
import { clientBind } from "../../functions/client-bind/client_bind.ts";
import { director } from "../../functions/director/director.ts";
import { nodeEvents } from "../../functions/node-events/node_events.ts";
import {
  type Answer,
  ClusterRig,
  problemIn,
  type TestNode,
  type TestSystem,
} from "../../lib/cluster/testing.ts";
import type { Move, Plan } from "../../lib/cluster/types.ts";
import { assertWhole } from "../../lib/cluster/testing_whole.ts";
import { Moves, NodeView, Plans } from "./director_replies.ts";

const ROUNDS_MAX = 60;

/** A test with a cluster of one zone, `z`; at its end the cluster must be whole. */
export function clusterTest(name: string, run: (rig: ClusterRig) => Promise<void>): void {
  Deno.test(name, async () => {
    const rig = await ClusterRig.start([director, nodeEvents, clientBind]);
    try {
      await rig.must("POST", "/v1/zones", { name: "z" });
      await run(rig);
      await rig.read(assertWhole);
    } finally {
      await rig.end();
    }
  });
}

/** `count` systems that follow `node` already, of one join token. */
export async function systemsOn(
  rig: ClusterRig,
  node: TestNode | null,
  count: number,
  { name = "s", zone = "z" } = {},
): Promise<TestSystem[]> {
  const token = await rig.joinToken("system", zone, { uses: count });
  const all: TestSystem[] = [];
  for (let at = 0; at < count; at++) {
    all.push(await rig.system(`${name}${at}`, { zone, token, master: node?.master ?? null }));
  }
  return all;
}

/** Agents that remember what they have done, as real ones do. */
export class FarSide {
  readonly #done = new Map<string, number>();

  constructor(readonly nodes: readonly TestNode[], readonly systems: readonly TestSystem[]) {}

  /** Every node does what it was told. */
  async nodesObey(outcome: "done" | "refused" = "done"): Promise<void> {
    for (const node of this.nodes) {
      for (const { seq } of await node.fetch(this.#done.get(node.fp) ?? 0)) {
        await node.report(seq, outcome, outcome === "done" ? "" : "no room in the rack");
        this.#done.set(node.fp, seq);
      }
    }
  }

  /** Every system does what it was told; its new node shows it where it is `seen`. */
  async systemsObey(outcome: "there" | "back" = "there", { seen = true } = {}): Promise<number> {
    let obeyed = 0;
    for (const system of this.systems) {
      for (const told of await system.directives(this.#done.get(system.fp) ?? 0)) {
        assert.equal(told.kind, "directive.move");
        const target = this.nodes.find(({ fp }) => fp === told.body.node);
        const answer = await system.report(told, outcome, outcome === "there" ? "" : "did not answer");
        assert.equal(answer.status, 200, JSON.stringify(answer.body));
        if (outcome === "there" && seen) await target?.show({ localId: system.id, ...system });
        this.#done.set(system.fp, told.seq);
        obeyed++;
      }
    }
    return obeyed;
  }
}

/** Lets the cluster and its agents work until no plan is open. `each` runs after every step. */
export async function carryOut(
  rig: ClusterRig,
  far: FarSide,
  each: () => Promise<void> = () => Promise.resolve(),
): Promise<void> {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    await rig.tick("place", "advance");
    await each();
    if ((await openPlans(rig)).length === 0) return;
    await far.nodesObey();
    await each();
    await far.systemsObey();
    await each();
  }
  assert.fail(`plans are over in ${ROUNDS_MAX} rounds`);
}

export async function openPlans(rig: ClusterRig): Promise<Plan[]> {
  const { items } = await rig.ask(Plans, "GET", "/v1/plans?limit=1000");
  return items.filter(({ state }) => state !== "done" && state !== "cancelled");
}

export async function movesOf(rig: ClusterRig, plan: string): Promise<Move[]> {
  return (await rig.ask(Moves, "GET", `/v1/plans/${plan}/moves?limit=1000`)).items;
}

export async function placedOn(rig: ClusterRig, nodes: readonly TestNode[]): Promise<number[]> {
  return await Promise.all(
    nodes.map(async ({ fp }) => (await rig.ask(NodeView, "GET", `/v1/nodes/${fp}`)).placed),
  );
}

/** The refusal's code, of an answer that must be one. */
export function refusal(answer: Answer): [number, string] {
  return [answer.status, problemIn(answer).code];
}
