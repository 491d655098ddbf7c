import assert from "node:assert/strict";
import { director } from "../functions/director/director.ts";
import { isRaw } from "../lib/mesh/route.ts";
import type { Command } from "./command.ts";
import { completionText, placesOf } from "./completion.ts";
import { EXIT_MEANINGS } from "./exit.ts";
import { ROUTES } from "./routes.ts";
import { run } from "./testing.ts";
import { GLOBAL_INPUTS, TREE } from "./tree.ts";

/** All commands, each with the words that name it. */
function commands(): { words: string; command: Command }[] {
  return [
    ...TREE.groups.flatMap((group) =>
      group.commands.map((command) => ({ words: `${group.name} ${command.name}`, command }))
    ),
    ...TREE.commands.map((command) => ({ words: command.name, command })),
  ];
}

Deno.test("ROUTES are the director's, and every one that people may call has a command", () => {
  const routes = director.routes.filter((route) => !isRaw(route) && route.role !== "public");
  const known = Object.entries(ROUTES).map(([name, [method, path]]) => `${name} ${method} ${path}`);
  assert.deepEqual(
    known.toSorted(),
    routes.map(({ name, method, path }) => `${name} ${method} ${path}`).toSorted(),
  );
  const used = new Set<string>(commands().flatMap(({ command }) => command.routes));
  assert.deepEqual([...used].toSorted(), Object.keys(ROUTES).toSorted());
});

Deno.test("a command's inputs go where its route has their names", () => {
  for (const { words, command: { inputs, routes } } of commands()) {
    const route = director.routes.find(({ name }) => name === routes[0]);
    for (const { to } of inputs) {
      if (to === undefined) continue;
      assert.ok(route !== undefined && !isRaw(route), words);
      const [where = "", field = ""] = to.split(".");
      const schema = { path: route.params, query: route.query, body: route.body }[where];
      const shape = schema !== undefined && "shape" in schema ? Object.keys(Object(schema.shape)) : [];
      assert.ok(shape.includes(field), `${words}: ${route.name} has ${to}`);
    }
  }
});

Deno.test("docs/cli.md has every command with its purpose, and every exit code", async () => {
  const page = await Deno.readTextFile(new URL("../docs/cli.md", import.meta.url));
  const rows = [...page.matchAll(/^\| `salar ([a-z ]+)` \| (.+) \|$/gm)].map((
    [, words, purpose],
  ) => [words, purpose]);
  assert.deepEqual(rows, commands().map(({ words, command }) => [words, command.purpose]));
  const codes = [...page.matchAll(/^\| (\d+) \| (.+) \|$/gm)].map((
    [, code, meaning],
  ) => [Number(code), meaning]);
  assert.deepEqual(codes, EXIT_MEANINGS.map(([code, meaning]) => [code, meaning]));
});

Deno.test("every command explains itself, with an example that names it", async () => {
  for (const { words, command } of commands()) {
    const { exit, stdout, stderr } = await run([...words.split(" "), "--help"]);
    assert.deepEqual([exit, stderr], [0, ""], words);
    const said = stdout.replaceAll(/\s+/g, " ");
    assert.ok(said.includes(command.purpose), words);
    for (const { as } of command.inputs) {
      assert.ok(said.includes(as.replace(/[<>[\]]/g, "").split(" ")[0] ?? as));
    }
    assert.ok(stdout.includes(`Examples:\n  salar ${words.replace(" list", "")}`), words);
  }
});

Deno.test("groups have their singular", async () => {
  for (const { name, alias = name } of TREE.groups) {
    const [plural, singular] = [await run([name, "--help"]), await run([alias, "--help"])];
    assert.deepEqual(singular, plural);
  }
});

Deno.test("salar --help", async () => {
  const { exit, stdout } = await run(["--help"]);
  assert.equal(exit, 0);
  assert.equal(stdout, await Deno.readTextFile(new URL("testdata/help.txt", import.meta.url)));
});

Deno.test("wrong use is exit code 2, on standard error alone", async () => {
  const lines = [
    "",
    "zonez",
    "nodes",
    "nodes paint",
    "zones add",
    "zones add a b",
    "nodes list --stat x",
    "completion csh",
  ];
  for (const line of [...lines, "nodes list --state odd"]) {
    const { exit, stdout, stderr } = await run(line === "" ? [] : line.split(" "));
    assert.deepEqual([exit, stdout], [2, ""], line);
    assert.ok(stderr.length > 0, line);
  }
  assert.match((await run(["zonez"])).stderr, /Did you mean .*zones/);
});

Deno.test("salar --version", async () => {
  assert.match((await run(["--version"])).stdout, /^salar \d+\.\d+\.\d+\n$/);
});

const tree = { ...TREE, global: GLOBAL_INPUTS };

Deno.test("completion in bash offers what may follow", async () => {
  const script = completionText("bash", tree);
  const cases: [string, string[]][] = [
    ["salar zo", ["zones", "zone"]],
    ["salar nodes un", ["uncordon", "undrain"]],
    ["salar node drain a1 --d", ["--dry-run", "--deadline"]],
    ["salar --json node dr", ["drain"]],
    ["salar completion ", ["bash", "zsh", "fish"]],
    ["salar events --fo", ["--follow"]],
    ["salar join add n", ["node"]],
  ];
  for (const [line, expected] of cases) {
    const words = line.split(" ");
    const quoted = words.map((word) => `'${word}'`).join(" ");
    const ask = `COMP_WORDS=(${quoted}); COMP_CWORD=${
      words.length - 1
    }; _salar; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const output = await new Deno.Command("bash", { args: ["-c", `${script}\n${ask}`] }).output();
    const found = new TextDecoder().decode(output.stdout).trim().split("\n");
    const wanted = words.at(-1) === "" ? found.filter((word) => !word.startsWith("--")) : found;
    assert.deepEqual(wanted, expected, line + new TextDecoder().decode(output.stderr));
  }
});

Deno.test("completion scripts of all shells know every place on the line", async () => {
  const places = placesOf(tree);
  assert.equal(new Set(places.map(({ path }) => path.join(" "))).size, places.length);
  for (const shell of ["bash", "zsh", "fish"]) {
    const { stdout } = await run(["completion", shell]);
    for (const { path } of places) {
      assert.ok(stdout.includes(`"${path.join(" ")}"`) || stdout.includes(`'${path.join(" ")}'`));
    }
  }
});
