/** `salar nodes`: the Uyuni servers of the cluster. */
import { asNumber, changing, type Group, listing, NODE, showing, WHY } from "../command.ts";
import { entries, fingerprint, number, ratio, state, text, time } from "../columns.ts";
import { drain } from "../drain.ts";
import { nodeRun } from "../node_run.ts";
import { remove } from "../remove.ts";
import { stage } from "../stage.ts";
import { NODE_STATES } from "../../lib/cluster/types.ts";

const COLUMNS = [
  text("NODE", "name"),
  text("ZONE", "zone"),
  state(),
  ratio("SYSTEMS", "placed", "capacity"),
  number("LOAD", "beat.load"),
  time("HEARD", "beat.atMs"),
  fingerprint("FINGERPRINT", "fp"),
];

/** Accept, cordon and uncordon are alike but for the words. */
function transition(name: "accept" | "cordon" | "uncordon", purpose: string) {
  return changing({
    route: `nodes.${name}`,
    purpose,
    inputs: [NODE, WHY],
    said: "Node {name} is {state}.",
    examples: [`nodes ${name} node-1.example`],
  });
}

export const nodes: Group = {
  name: "nodes",
  alias: "node",
  purpose: "The Uyuni servers of the cluster",
  commands: [
    listing({
      route: "nodes.list",
      purpose: "List nodes; removed ones only when asked for",
      inputs: [
        { as: "--state <state>", about: "Only those", choices: NODE_STATES, to: "query.state" },
        { as: "--zone <zone>", about: "Only its nodes", to: "query.zone" },
      ],
      columns: COLUMNS,
      examples: ["nodes list", "nodes list --state pooled", "nodes list --zone berlin --json"],
    }),
    showing({
      route: "nodes.show",
      purpose: "Show one node",
      inputs: [NODE],
      columns: [
        ...COLUMNS.slice(0, -1),
        text("FINGERPRINT", "fp"),
        text("REASON", "reason"),
        number("WEIGHT", "weight"),
        text("MASTER", "master"),
        text("API", "apiUrl"),
        entries("VERSIONS", "versions"),
        number("SLOT LAG BYTES", "beat.slotLagBytes"),
        time("POOLED", "pooledAtMs"),
        text("MACHINE ID", "machineId"),
        number("REVISION", "revision"),
      ],
      examples: ["nodes show node-1", "nodes show 3f9ac01e"],
    }),
    stage,
    transition("accept", "Accept a pooled or staged node: it takes systems from now on"),
    transition("cordon", "Let a node keep its systems but take no more"),
    transition("uncordon", "Let a cordoned or drained node take systems again"),
    drain,
    changing({
      route: "nodes.undrain",
      purpose: "Stop draining a node: it keeps what it has, and takes no more",
      inputs: [NODE, WHY],
      said: "The node is {state}; cancelled plans: {cancelled}.",
      examples: ['nodes undrain node-2.example --why "disk replaced"'],
    }),
    changing({
      route: "nodes.update",
      purpose: "Change a node's capacity, weight or zone",
      inputs: [
        NODE,
        { as: "--capacity <n>", about: "Most systems that it may hold", to: "body.capacity", read: asNumber },
        {
          as: "--weight <x>",
          about: "Its share of the systems relative to others of its zone (1 is usual)",
          to: "body.weight",
          read: asNumber,
        },
        { as: "--zone <zone>", about: "Put it into this zone", to: "body.zone" },
        WHY,
      ],
      oneOf: ["--capacity", "--weight", "--zone"],
      said: "Node {name} is changed: zone {zone}, capacity {capacity}, weight {weight}.",
      examples: ["nodes update node-1 --capacity 5000 --weight 2"],
    }),
    nodeRun,
    remove,
  ],
};
