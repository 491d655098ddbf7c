/**
 * `salar store`: the cluster's state itself, reached where it lies and not through a server.
 *
 * Which store it is says the configuration of a host of functions, so these commands run where such a host does.
 */
import {
  exportStore,
  importStore,
  type OnProgress,
  type PortableStore,
  refuseHalfImported,
} from "../../lib/store/portable.ts";
import type { Command, Given, Group, Input, Invocation } from "../command.ts";
import { EXIT, type Exit } from "../exit.ts";
import { HOST_CONFIG_INPUTS, hostConfig } from "../host_config.ts";
import { paintOf, printJson, say } from "../session.ts";
import { absolute } from "../settings.ts";
import { tableWriter } from "../table.ts";
import type { World } from "../world.ts";

const PROGRESS_EVERY_MS = 2_000;
const FILE: Input = { as: "<file>", about: "Lines of JSON, one for each entry, with a digest at the end" };
const CONFIG_EXAMPLE = "--config /etc/salar/functions.json";

const check: Command = {
  name: "check",
  purpose: "Look at every part of the store: the file, or the servers",
  inputs: HOST_CONFIG_INPUTS,
  examples: [`store check ${CONFIG_EXAMPLE}`, "store check -- --tikv-pd pd-1:2379,pd-2:2379"],
  routes: [],
  run: (invocation) =>
    withStore(invocation, { create: false }, async ({ world, flags }, store) => {
      const parts = await store.inspect(world.scope);
      await store.check(world.scope);
      await refuseHalfImported(world.scope, store);
      if (flags.json) printJson(world, parts.map((part) => ({ ...part })));
      else world.stdout.write(tableOf(world, parts));
      return parts.every(({ ok }) => ok) ? EXIT.ok : EXIT.failed;
    }),
};

const exporting: Command = {
  name: "export",
  purpose: "Copy the whole store into a file; the store is not changed",
  inputs: [FILE, ...HOST_CONFIG_INPUTS],
  examples: [`store export salar.jsonl ${CONFIG_EXAMPLE}`],
  routes: [],
  run: (invocation) =>
    withStore(invocation, { create: false }, async ({ world, given, flags }, store) => {
      const { scope, crypt, files } = world;
      const onProgress = progress(world, "exported");
      const summary = await files.create(
        fileOf(world, given),
        (write) => exportStore(scope, { store, crypt, write, onProgress }),
      );
      if (flags.json) printJson(world, { ...summary });
      else say(world, `Exported ${summary.entries} entries and ${summary.tokens} tokens.`);
      return EXIT.ok;
    }),
};

const importing: Command = {
  name: "import",
  purpose: "Fill an empty store from an exported file, verified before anything is written",
  inputs: [FILE, ...HOST_CONFIG_INPUTS],
  examples: ["store import salar.jsonl -- --tikv-pd pd-1:2379", `store import salar.jsonl ${CONFIG_EXAMPLE}`],
  routes: [],
  run: (invocation) =>
    withStore(invocation, { create: true }, async ({ world, given, flags }, store) => {
      const { scope, crypt, files } = world;
      const path = fileOf(world, given);
      const read = () => files.lines(path);
      const summary = await importStore(scope, {
        store,
        crypt,
        read,
        onProgress: progress(world, "imported"),
      });
      if (flags.json) printJson(world, { ...summary });
      else say(world, `Imported ${summary.entries} entries and ${summary.tokens} tokens.`);
      return EXIT.ok;
    }),
};

export const store: Group = {
  name: "store",
  purpose: "Check, copy and move the state of the cluster",
  commands: [check, exporting, importing],
};

async function withStore(
  invocation: Invocation,
  options: { create: boolean },
  work: (invocation: Invocation, store: PortableStore) => Promise<Exit>,
): Promise<Exit> {
  const { world, given } = invocation;
  const store = await world.store((await hostConfig(world, given)).value, options);
  try {
    return await work(invocation, store);
  } finally {
    await store.close();
  }
}

function fileOf(world: World, { file }: Given): string {
  return absolute(world, String(file)); // the parser demands it
}

/** A line now and then, so that a long copy is seen to go on. */
function progress(world: World, done: string): OnProgress {
  let saidMs = world.scope.monoMs();
  return ({ entries, tokens }) => {
    if (world.scope.monoMs() - saidMs < PROGRESS_EVERY_MS) return;
    saidMs = world.scope.monoMs();
    say(world, `${entries} entries and ${tokens} tokens ${done} so far`);
  };
}

function tableOf(world: World, parts: readonly { name: string; ok: boolean; state: string }[]): string {
  const headings = [{ title: "PART" }, { title: "STATE" }];
  const rows = parts.map(({ name, ok, state }) => [
    { text: name },
    { text: state, tone: ok ? "good" as const : "bad" as const },
  ]);
  return tableWriter(headings, paintOf(world, world.stdout))(rows);
}
