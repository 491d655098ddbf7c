/**
 * The gateway: the API of one Uyuni server, for the whole cluster.
 *
 * A call is read (`endpoint.ts`), gets its session and overload (`calls.ts`, table in `methods.ts`), goes to nodes and
 * becomes one answer in cluster ids (`policies.ts`). Nodes that do not answer are left out, and said to be (`asking.ts`).
 */
import type { MeshFunction } from "../../lib/mesh/function.ts";
import { callRoute, pageRoute } from "./endpoint.ts";
import { sweepTick } from "./sessions.ts";

export const gateway: MeshFunction = {
  name: "gateway",
  routes: [callRoute, pageRoute],
  handlers: [],
  ticks: [sweepTick],
  streams: [],
};
