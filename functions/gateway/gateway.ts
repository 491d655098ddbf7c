/**
 * The gateway: the API of one Uyuni server, for the whole cluster.
 *
 * A call is read (`endpoint.ts`), gets its session and overload (`calls.ts`, table in `methods.ts`), goes to nodes
 * (`asking.ts`) and becomes one answer in cluster ids (`lists.ts`, `values.ts`). A node that does not answer is left out.
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
