/** A function of the mesh: a name and what triggers it. A plain value, so that any host can run any set of them. */
import type { StreamSpec } from "../bus/bus.ts";
import type { BatchHandler, SubjectHandler, Tick } from "./handler.ts";
import type { RawRoute, Route } from "./route.ts";

export interface MeshFunction {
  /** As its folder: `director`, `node-events`. Also its queue group. */
  name: string;
  routes: readonly (Route | RawRoute)[];
  handlers: readonly (SubjectHandler | BatchHandler)[];
  ticks: readonly Tick[];
  /** Streams that must exist before it starts. */
  streams: readonly StreamSpec[];
}
