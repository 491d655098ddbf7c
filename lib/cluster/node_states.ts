/** How a node's record enters another state: the one place that writes it. */
import type { Change } from "./change.ts";
import { next, type NodeEvent, nodeMachine } from "./machines.ts";
import { nodes } from "./records.ts";
import type { Node } from "./types.ts";

/** Writes the node in the state after `event` and records it. @throws {SalarError} `conflict` */
export function enterNodeState(
  { tx, record }: Pick<Change, "tx" | "record">,
  node: Node,
  event: NodeEvent,
  why: string,
): Node {
  const state = next(nodeMachine, node.state, event, `node "${node.name}"`);
  const changed: Node = {
    ...node,
    state,
    stateBeforeLost: state === "lost" ? node.state : null,
    reason: why,
    revision: node.revision + 1,
  };
  nodes.put(tx, changed, node.fp);
  record({ what: `node.${event}`, target: `node:${node.fp}`, why, detail: { from: node.state, to: state } });
  return changed;
}
