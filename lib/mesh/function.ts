/** A function of the mesh: a name and what triggers it. A plain value, so that any host can run any set of them. */
import type { StreamSpec } from "../bus/bus.ts";
import type { BatchHandler, SubjectHandler, Tick } from "./handler.ts";
import type { RawRoute, Route } from "./route.ts";

export interface MeshFunction {
  /** As its folder: `director`, `node-events`. Its queue groups and durable consumers begin with it. */
  name: string;
  routes: readonly (Route | RawRoute)[];
  handlers: readonly (SubjectHandler | BatchHandler)[];
  ticks: readonly Tick[];
  /** Streams that must exist before it starts. */
  streams: readonly StreamSpec[];
}

/** Queue group and durable name in one: the replicas of one handler share its messages. */
export function groupOf(owner: string, handler: { name: string }): string {
  return `${owner}-${handler.name}`;
}
