/** All commands, as they stand in `salar --help`. */
import type { Command, Group } from "./command.ts";
import { config } from "./commands/config.ts";
import { events } from "./commands/events.ts";
import { login } from "./commands/login.ts";
import { nodes } from "./commands/nodes.ts";
import { plans } from "./commands/plans.ts";
import { call, template } from "./commands/raw.ts";
import { runs } from "./commands/runs.ts";
import { state } from "./commands/state.ts";
import { store } from "./commands/store.ts";
import { systems } from "./commands/systems.ts";
import { join, tokens } from "./commands/tokens.ts";
import { zones } from "./commands/zones.ts";
import { completionText, type Shell, SHELLS } from "./completion.ts";
import { EXIT } from "./exit.ts";

export const GLOBAL_INPUTS = [
  {
    as: "--server <url>",
    about: "Address of the director; else SALAR_SERVER, the login's, http://127.0.0.1:8480",
  },
  {
    as: "--token-file <file>",
    about: "File with your API token; else SALAR_TOKEN_FILE, the login's, .salar/admin.token",
  },
  {
    as: "--ca-file <file>",
    about: "PEM of an authority to trust besides the system's own; else SALAR_CA_FILE",
  },
  { as: "--json", about: "Print the API's JSON instead of tables" },
  { as: "--utc", about: "Print times as they are, in UTC, instead of how long ago" },
] as const;

const groups: readonly Group[] = [
  nodes,
  systems,
  plans,
  runs,
  zones,
  events,
  tokens,
  join,
  config,
  store,
  state,
];

const completion: Command = {
  name: "completion",
  purpose: "Print the completion script of a shell",
  inputs: [{ as: "<shell>", about: "Whose", choices: SHELLS }],
  examples: [
    "completion bash > /etc/bash_completion.d/salar",
    'completion zsh > "${fpath[1]}/_salar"',
    "completion fish > ~/.config/fish/completions/salar.fish",
  ],
  routes: [],
  run({ world, given }) {
    // The parser lets only these pass.
    world.stdout.write(completionText(given["shell"] as Shell, { ...TREE, global: GLOBAL_INPUTS }));
    return Promise.resolve(EXIT.ok);
  },
};

export const TREE: { groups: readonly Group[]; commands: readonly Command[] } = {
  groups,
  commands: [call, template, login, completion],
};
