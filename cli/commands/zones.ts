/** `salar zones`: named groups of nodes. */
import { changing, type Group, type Input, listing, showing, WHY_QUERY } from "../command.ts";
import { entries, number, text, time, yesNo } from "../columns.ts";

const ZONE: Input = { as: "<zone>", about: "Name of the zone", to: "path.zone" };
const SETTINGS: readonly Input[] = [
  { as: "--description <text>", about: "For people", to: "body.description" },
  { as: "--fallback", about: "Placement may use other zones when this one has no room", to: "body.fallback" },
  { as: "--no-fallback", about: "Placement must not use other zones", to: "body.fallback" },
];
const COLUMNS = [
  text("ZONE", "name"),
  yesNo("FALLBACK", "fallback"),
  time("ADDED", "createdAtMs"),
  text("DESCRIPTION", "description"),
];

export const zones: Group = {
  name: "zones",
  alias: "zone",
  purpose: "Named groups of nodes, such as the nodes of one site",
  commands: [
    listing({
      route: "zones.list",
      purpose: "List zones",
      columns: COLUMNS,
      examples: ["zones list", "zones list --json"],
    }),
    showing({
      route: "zones.show",
      purpose: "Show one zone",
      inputs: [ZONE],
      columns: [...COLUMNS, number("REVISION", "revision")],
      examples: ["zones show berlin"],
    }),
    changing({
      route: "zones.add",
      purpose: "Add a zone",
      inputs: [{ as: "<zone>", about: "Its name: a lower-case DNS label", to: "body.name" }, ...SETTINGS],
      said: "Zone {name} is there; nodes join it with a token of `salar join add node --zone {name}`.",
      examples: ['zones add berlin --description "First floor"', "zones add dmz --no-fallback"],
    }),
    changing({
      route: "zones.update",
      purpose: "Change a zone's description or fallback",
      inputs: [ZONE, ...SETTINGS],
      oneOf: ["--description", "--fallback", "--no-fallback"],
      said: "Zone {name} is changed.",
      examples: ["zones update berlin --no-fallback"],
    }),
    changing({
      route: "zones.remove",
      purpose: "Remove a zone that has no node",
      inputs: [ZONE, WHY_QUERY],
      said: "Zone {removed} is removed.",
      examples: ['zones remove berlin --why "site closed"'],
    }),
    showing({
      route: "zones.stats",
      purpose: "Count a zone's nodes, capacity and systems",
      inputs: [ZONE],
      columns: [
        text("ZONE", "zone"),
        number("NODES", "nodes"),
        entries("BY STATE", "nodesByState"),
        number("CAPACITY", "capacity"),
        number("SYSTEMS", "placed"),
      ],
      examples: ["zones stats berlin"],
    }),
  ],
};
