/**
 * Every subject and stream of Salar. Nothing else spells one.
 *
 * | subject                       | kind    | from → to               | payload                                  |
 * | salar.node.<fp>.beat          | core    | node agent → node-events | statement `node.beat`                    |
 * | salar.node.<fp>.fetch         | request | node agent → node-events | statement `node.fetch` → `Directives`    |
 * | salar.node.<fp>.report        | request | node agent → node-events | statement `node.report` → `{ ok: true }` |
 * | salar.node.<fp>.run           | request | node agent → node-events | statement `node.run` → `RunAnswer`       |
 * | salar.changes.<fp>            | durable | node agent → node-events | statement `node.changes`                 |
 * | salar.to.<fp>.hint            | core    | functions → node agent,  | `{ seq }`: there is something to fetch   |
 * |                               |         | client-bind replicas     |                                          |
 * | salar.event.<kind>            | core    | functions → who watches  | an audit entry, after its commit         |
 * Source: design.md section 5, trust brief 1.3.
 */
import type { StreamSpec } from "./bus.ts";

export const subjects = {
  nodeBeat: (fp: string) => `salar.node.${fp}.beat`,
  nodeFetch: (fp: string) => `salar.node.${fp}.fetch`,
  nodeReport: (fp: string) => `salar.node.${fp}.report`,
  nodeRun: (fp: string) => `salar.node.${fp}.run`,
  changes: (fp: string) => `salar.changes.${fp}`,
  hint: (fp: string) => `salar.to.${fp}.hint`,
  event: (kind: string) => `salar.event.${kind}`,
} as const;

/** Database changes of all nodes. Kept a week, so that a function that was down reads on where it was. */
export const CHANGES: StreamSpec = {
  name: "CHANGES",
  subjects: ["salar.changes.*"],
  ageMsMax: 7 * 24 * 3_600_000,
  bytesMax: 4 * 1024 ** 3,
};
