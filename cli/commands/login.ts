/** `salar login`: remember a server and where its token lies. */
import { SalarError } from "../../lib/errors.ts";
import type { Command } from "../command.ts";
import { EXIT } from "../exit.ts";
import { openSession, say } from "../session.ts";
import { absolute, writeLogin } from "../settings.ts";

export const login: Command = {
  name: "login",
  purpose: "Remember --server and --token-file for later commands, once they work",
  inputs: [],
  examples: ["login --server https://salar.example.org --token-file ~/.config/salar/admin.token"],
  routes: ["zones.list"],
  async run({ world, flags }) {
    const { server, tokenFile, caFile } = flags;
    if (server === undefined || tokenFile === undefined) {
      throw new SalarError("bad-input", "Cannot log in: give --server and --token-file");
    }
    const session = await openSession(world, flags);
    await session.api.ask("zones.list", { query: { limit: 1 } });
    const path = await writeLogin(world, {
      server: session.server,
      tokenFile: absolute(world, tokenFile),
      ...(caFile === undefined ? {} : { caFile: absolute(world, caFile) }),
    });
    say(world, `${session.server} answers to that token; ${path} remembers where both are.`);
    return EXIT.ok;
  },
};
