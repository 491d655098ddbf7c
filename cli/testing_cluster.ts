/** A small cluster for the tool's tests: two zones, three nodes, three systems on the first of them, and an administrator. */
import { clientBind } from "../functions/client-bind/client_bind.ts";
import { director } from "../functions/director/director.ts";
import { nodeEvents } from "../functions/node-events/node_events.ts";
import { ClusterRig, Minted, type TestNode, type TestSystem } from "../lib/cluster/testing.ts";
import { FarSide, systemsOn } from "../tests/integration/director_support.ts";
import { type Ran, run, type TestOptions, TOKEN_FILE } from "./testing.ts";

export interface TestCluster {
  rig: ClusterRig;
  nodes: { a1: TestNode; a2: TestNode; b1: TestNode };
  systems: TestSystem[];
  /** Runs one command line as an administrator. */
  salar(args: readonly string[], options?: TestOptions): Promise<Ran>;
  /** Lets the cluster and its agents go on; systems that are told to move do so, or go back. */
  step(outcome?: "there" | "back"): Promise<void>;
}

export async function withCluster(test: (cluster: TestCluster) => Promise<void>): Promise<void> {
  const rig = await ClusterRig.start([director, nodeEvents, clientBind]);
  try {
    for (const name of ["a", "b"]) await rig.must("POST", "/v1/zones", { name, description: `Zone ${name}` });
    const nodes = {
      a1: await rig.node("a1.example", { zone: "a", master: "a1" }),
      a2: await rig.node("a2.example", { zone: "a", master: "a2" }),
      b1: await rig.node("b1.example", { zone: "b", master: "b1" }),
    };
    const systems = await systemsOn(rig, { ...nodes.a1, master: "a1" }, 3, { zone: "a" });
    const { token } = await rig.ask(Minted, "POST", "/v1/tokens", { name: "test", role: "admin" });
    const far = new FarSide(Object.values(nodes), systems);
    await test({
      rig,
      nodes,
      systems,
      salar: (args, options = {}) =>
        run(args, {
          fetch: (request) => rig.host.fetch(request),
          nowMs: rig.nowMs(),
          ...options,
          files: { [TOKEN_FILE]: token, ...options.files },
        }),
      async step(outcome = "there") {
        await rig.tick("advance");
        await far.nodesObey();
        await far.systemsObey(outcome);
        await rig.tick("advance");
      },
    });
  } finally {
    await rig.end();
  }
}
