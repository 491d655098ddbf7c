/** `salar systems`: the clients of the cluster. */
import { SYSTEM_STATES } from "../../lib/cluster/types.ts";
import { asNode, changing, type Group, type Input, listing, showing, SYSTEM, WHY } from "../command.ts";
import { node, number, state, text, time } from "../columns.ts";
import { move } from "../move.ts";

const FILTERS: readonly Input[] = [
  { as: "--node <node>", about: "Only those on this node", to: "query.node", read: asNode },
  { as: "--zone <zone>", about: "Only those of this zone", to: "query.zone" },
  {
    as: "--state <state>",
    about: "Only those",
    choices: SYSTEM_STATES,
    to: "query.state",
  },
];
const COLUMNS = [
  number("ID", "id"),
  text("SYSTEM", "name"),
  text("MINION", "minionId"),
  text("ZONE", "zone"),
  node("NODE", "node"),
  state(),
];

export const systems: Group = {
  name: "systems",
  alias: "system",
  purpose: "The clients of the cluster, wherever they are",
  commands: [
    listing({
      route: "systems.list",
      purpose: "List systems",
      inputs: FILTERS,
      columns: COLUMNS,
      examples: ["systems list --node node-1", "systems list --state orphan", "systems list --limit 20"],
    }),
    listing({
      route: "systems.list",
      name: "search",
      purpose: "List systems with a text in name, minion id, machine-id or id",
      inputs: [{ as: "<text>", about: "Part of it, in any case", to: "query.q" }, ...FILTERS],
      columns: COLUMNS,
      examples: ["systems search web", "systems search web --zone berlin"],
    }),
    showing({
      route: "systems.show",
      purpose: "Show one system, its last sign of life and the move under way",
      inputs: [SYSTEM],
      columns: [
        ...COLUMNS,
        text("REASON", "reason"),
        node("PINNED TO", "pin"),
        time("HEARD", "beat.atMs"),
        number("ROUND TRIP MS", "beat.rttMs"),
        text("MASTER", "beat.master"),
        text("PLAN", "move.plan"),
        node("MOVES TO", "move.to"),
        state("MOVE", "move.state"),
        time("REGISTERED", "registeredAtMs"),
        number("EPOCH", "epoch"),
        text("MACHINE ID", "machineId"),
        text("AGENT", "fp"),
        number("REVISION", "revision"),
      ],
      examples: ["systems show 17", "systems show web-3.example"],
    }),
    changing({
      route: "systems.pin",
      purpose: "Pin a system to a node: placement then uses no other. It does not move by this",
      inputs: [
        SYSTEM,
        { as: "<node>", about: "Name or fingerprint of the node", to: "body.node", read: asNode },
        WHY,
      ],
      said: "System {id} ({name}) is pinned; `salar system move {id}` brings it there.",
      examples: ['systems pin web-3.example node-1 --why "licence"'],
    }),
    changing({
      route: "systems.pin",
      name: "unpin",
      purpose: "Let placement decide about a system again",
      inputs: [SYSTEM, WHY],
      fixed: { node: null },
      said: "System {id} ({name}) is not pinned any more.",
      examples: ["systems unpin web-3.example"],
    }),
    move,
  ],
};
