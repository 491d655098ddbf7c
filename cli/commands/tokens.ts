/** `salar tokens` and `salar join`: credentials of people and of agents. Secrets are shown once, when they are made. */
import { asDuration, asNumber, changing, type Group, type Input, listing, WHY_QUERY } from "../command.ts";
import { number, text, time } from "../columns.ts";

const ID: Input = { as: "<id>", about: "Id of the token, as `list` shows it", to: "path.id" };

export const tokens: Group = {
  name: "tokens",
  alias: "token",
  purpose: "API tokens of people and automation",
  commands: [
    changing({
      route: "tokens.add",
      purpose: "Make an API token; it is printed this once, alone on standard output",
      inputs: [
        { as: "<name>", about: "Whose or what for", to: "body.name" },
        {
          as: "--role <role>",
          about: "What it may do (needed)",
          needed: true,
          choices: ["viewer", "operator", "admin"],
          to: "body.role",
        },
        {
          as: "--ttl <time>",
          about: "Its life, such as 30d; 90d without it",
          to: "body.ttlMs",
          read: asDuration,
        },
      ],
      prints: "token",
      said: "Token {id} of role {role} is made; it will not be shown again.",
      examples: [
        "tokens add monitoring --role viewer > viewer.token",
        "tokens add ci --role operator --ttl 1d",
      ],
    }),
    listing({
      route: "tokens.list",
      purpose: "List API tokens, without their secrets",
      columns: [
        text("ID", "id"),
        text("NAME", "name"),
        text("ROLE", "role"),
        time("MADE", "createdAtMs"),
        time("EXPIRES", "expiresAtMs"),
      ],
      examples: ["tokens list"],
    }),
    changing({
      route: "tokens.remove",
      purpose: "Revoke an API token",
      inputs: [ID, WHY_QUERY],
      said: "Token {removed} is revoked; it may work for some seconds more.",
      examples: ['tokens remove q3Zk1PpXv0aYb2Lc --why "left the team"'],
    }),
  ],
};

export const join: Group = {
  name: "join",
  purpose: "Join tokens, with which agents enrol",
  commands: [
    changing({
      route: "join.add",
      purpose: "Make a join token; it is printed this once, alone on standard output",
      inputs: [
        { as: "<kind>", about: "What joins with it", choices: ["node", "system"], to: "body.kind" },
        { as: "--zone <zone>", about: "Where it belongs (needed)", needed: true, to: "body.zone" },
        {
          as: "--uses <n>",
          about: "How often it may be used; once without it",
          to: "body.uses",
          read: asNumber,
        },
        {
          as: "--ttl <time>",
          about: "Its life, such as 2d; 1h without it",
          to: "body.ttlMs",
          read: asDuration,
        },
        { as: "--machine-id <id>", about: "Only this machine may use it", to: "body.machineId" },
      ],
      prints: "token",
      said: "Join token {id} for a {kind} in zone {zone} is made; it will not be shown again.",
      examples: [
        "join add node --zone berlin > /etc/salar/join-token",
        "join add system --zone berlin --uses 500 --ttl 7d",
      ],
    }),
    listing({
      route: "join.list",
      purpose: "List join tokens, without their secrets",
      columns: [
        text("ID", "id"),
        text("KIND", "kind"),
        text("ZONE", "zone"),
        number("USES LEFT", "usesLeft"),
        time("EXPIRES", "expiresAtMs"),
        text("BY", "maker"),
        text("MACHINE ID", "machineId"),
      ],
      examples: ["join list"],
    }),
    changing({
      route: "join.remove",
      purpose: "Revoke a join token",
      inputs: [ID, WHY_QUERY],
      said: "Join token {removed} is revoked.",
      examples: ["join remove q3Zk1PpXv0aYb2Lc"],
    }),
  ],
};
