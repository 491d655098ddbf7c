/** What only the demo has: killing a node as a power cut would, and bringing it back. */
import { z } from "zod";
import { SalarError } from "../lib/errors.ts";
import type { MeshFunction } from "../lib/mesh/function.ts";
import { done } from "../lib/mesh/handler.ts";
import { route } from "../lib/mesh/route.ts";
import type { Demo } from "./demo.ts";

const NodeParams = z.object({ name: z.string().describe("node-1 … node-5") });
const Reply = z.object({ node: z.string(), up: z.boolean() });

/** `demo` gives null while the demo cluster is still being set up. */
export function demoFunction(demo: () => Demo | null): MeshFunction {
  const nodeNamed = (name: string) => {
    const node = demo()?.node(name);
    if (node === undefined || node === null) {
      throw new SalarError("not-found", `Cannot find demo node "${name}": there are node-1 to node-5`);
    }
    return node;
  };
  const kill = route({
    name: "demo.kill",
    method: "POST",
    path: "/demo/nodes/{name}/kill",
    role: "operator",
    summary: "Kill a demo node: no heartbeat, no API, no Salt master",
    params: NodeParams,
    reply: Reply,
    run(_context, { params: { name } }) {
      nodeNamed(name).kill();
      return Promise.resolve(done({ node: name, up: false }));
    },
  });
  const start = route({
    name: "demo.start",
    method: "POST",
    path: "/demo/nodes/{name}/start",
    role: "operator",
    summary: "Start a killed demo node again",
    params: NodeParams,
    reply: Reply,
    async run(_context, { params: { name } }) {
      const node = nodeNamed(name);
      if (!node.isUp()) await demo()?.start(node);
      return done({ node: name, up: true });
    },
  });
  return { name: "demo", routes: [kill, start], handlers: [], ticks: [], streams: [] };
}
