import assert from "node:assert/strict";
import actions from "../agent/actions.py" with { type: "text" };
import { chosenModules, localSources, partOf } from "./actions.ts";

Deno.test("partOf() names a function of actions.py for each module that the host's part does", () => {
  const functions = new Set([...actions.matchAll(/^@_action\ndef (\w+)\(/gm)].map(([, name]) => name));
  for (const name of functions) {
    assert.deepEqual(partOf(`ansible.builtin.${name}`), {
      ...partOf(`ansible.legacy.${name}`),
      action: name,
    });
  }
  assert.equal(functions.size, 14);
});

Deno.test("partOf() leaves pure modules and those of collections alone", () => {
  for (
    const module of ["ansible.builtin.file", "community.general.copy", "own", "ansible.builtin.constructor"]
  ) {
    assert.deepEqual(partOf(module), { action: null, companions: [], where: "host" });
  }
});

Deno.test("partOf() refuses what an engine does, with what to use instead", () => {
  const refused = partOf("ansible.builtin.template");
  assert.match(
    "refused" in refused ? refused.refused : "",
    /^Cannot run ansible\.builtin\.template: .*`content`/,
  );
  assert.ok("refused" in partOf("ansible.builtin.set_fact"));
});

Deno.test("partOf() gives to the runner what outlives the connection", () => {
  for (const name of ["reboot", "wait_for_connection"]) {
    assert.deepEqual(partOf(`ansible.builtin.${name}`), { action: name, companions: [], where: "runner" });
  }
});

Deno.test("chosenModules() are those that `use` names", () => {
  assert.deepEqual(chosenModules("ansible.builtin.package", { use: "apt" }), ["ansible.builtin.apt"]);
  assert.deepEqual(chosenModules("ansible.builtin.service", { use: "a.b.runit" }), ["a.b.runit"]);
  assert.deepEqual(chosenModules("ansible.builtin.service", { use: "auto" }), []);
  assert.deepEqual(chosenModules("ansible.builtin.file", { use: "apt" }), []);
});

Deno.test("localSources() are the files of the controller that the arguments name", () => {
  const paths = (module: string, args: Parameters<typeof localSources>[1]) =>
    localSources(`ansible.builtin.${module}`, args).map(({ path }) => path);

  assert.deepEqual(localSources("ansible.builtin.copy", { src: "a/", local_follow: "no" }), [
    { path: "a/", under: "", folder: true, follow: false },
  ]);
  assert.deepEqual(paths("copy", { src: "a", remote_src: "yes" }), []);
  assert.deepEqual(paths("copy", { content: "" }), []);
  assert.deepEqual(paths("assemble", { src: "a" }), []);
  assert.deepEqual(paths("assemble", { src: "a", remote_src: false }), ["a"]);
  assert.deepEqual(paths("unarchive", { src: "a.tgz" }), ["a.tgz"]);
  assert.deepEqual(paths("unarchive", { src: "a.tgz", copy: false }), []);
  assert.deepEqual(paths("script", { _raw_params: `'a b'/c\\ d.sh --x "y"` }), ["a b/c d.sh"]);
  assert.deepEqual(paths("script", { _raw_params: `"open` }), []);
  assert.deepEqual(paths("file", { src: "a" }), []);
});

Deno.test("localSources() are the files of a form, each once and under its name", () => {
  const file = { filename: "a/b.txt" };
  const body = { one: file, two: file, text: "x", inline: { filename: "c", content: "d" } };
  assert.deepEqual(localSources("ansible.builtin.uri", { body_format: "form-multipart", body }), [
    { path: "a/b.txt", under: "a/b.txt", folder: false, follow: true },
  ]);
});
