/** Which file a module is, what goes to a host for it, and what is refused; over files in memory. */
import assert from "node:assert/strict";
import { ModuleError } from "./library.ts";
import { moduleLibrary } from "./module_library.ts";
import { ansibleFiles, memoryFiles, PYTHON_MODULE } from "./testing_files.ts";

const LINUX = { system: "Linux", machine: "x86_64" };
const ELF = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 0);
const SHELL = "#!/bin/sh\n# WANT_JSON\n";

type Files = Record<string, string | Uint8Array>;

/** Roots /r1 and /r2, collections below /c, ansible in /a unless said otherwise. */
function library(files: Files, { ansible = "/a" }: { ansible?: string | null } = {}) {
  const all = { ...ansibleFiles("/a"), ...files };
  return moduleLibrary({ roots: ["/r1", "/r2"], collections: ["/c"], ansible, files: memoryFiles(all) });
}

/** The kind of a module's file, or its entry in the archive. */
async function fileOf(files: Files, module: string, host = LINUX): Promise<string> {
  const bundle = await library(files).bundle([module], host);
  const file = bundle.modules[module];
  if (file?.kind === "python") return file.entry;
  return new TextDecoder().decode(bundle.blobs.get(file?.blob ?? ""));
}

async function refusal(
  files: Files,
  module: string,
  options: { ansible?: string | null } = {},
): Promise<string> {
  try {
    await library(files, options).bundle([module], LINUX);
  } catch (error) {
    if (error instanceof ModuleError) return error.message;
    throw error;
  }
  return "not refused";
}

Deno.test("bundle() takes a module from the first root that has it, then from its collection or ansible", async () => {
  const own: Files = { "/r1/modules/x/ping": `${SHELL}1`, "/r2/modules/ping.sh": `${SHELL}2` };
  assert.equal(await fileOf(own, "ansible.builtin.ping"), `${SHELL}1`);
  assert.equal(await fileOf({ "/r2/modules/ping.sh": `${SHELL}2` }, "ansible.builtin.ping"), `${SHELL}2`);
  assert.equal(await fileOf({}, "ansible.builtin.ping"), "ansible.modules.ping");

  const collection: Files = { "/c/ansible_collections/ns/coll/plugins/modules/sub/x.py": PYTHON_MODULE };
  const entry = "ansible_collections.ns.coll.plugins.modules.sub.x";
  assert.equal(await fileOf(collection, "ns.coll.sub.x"), entry);
  assert.equal(await fileOf({ ...collection, "/r1/modules/ns/coll/sub/x": SHELL }, "ns.coll.sub.x"), SHELL);
  assert.equal(await fileOf({ ...collection, "/r1/modules/x": SHELL }, "ns.coll.sub.x"), entry);
});

Deno.test("bundle() gives a platform its own file of a root, and others the one for all", async () => {
  const files: Files = {
    "/r1/modules/bin/Linux/x86_64/net/x": "#!/bin/sh\n# native",
    "/r1/modules/bin/Linux/aarch64/x": ELF,
    "/r1/modules/x.sh": SHELL,
  };
  assert.equal(await fileOf(files, "ansible.builtin.x"), "#!/bin/sh\n# native");
  assert.equal(await fileOf(files, "ansible.builtin.x", { system: "Darwin", machine: "arm64" }), SHELL);
  const bundle = await library(files).bundle(["ansible.builtin.x"], { system: "Linux", machine: "aarch64" });
  assert.equal(library(files).byPlatform(["ansible.builtin.ping", "ansible.builtin.x"]), true);
  assert.equal(library(files).byPlatform(["ansible.builtin.ping"]), false);
  const [hash] = bundle.blobs.keys();
  assert.deepEqual(bundle.modules, {
    "ansible.builtin.x": { kind: "binary", blob: hash, interpreter: null },
  });
  assert.equal(bundle.ansible, null);
});

Deno.test("bundle() puts all Python modules into one archive, the same for the same files", async () => {
  const files: Files = { "/r1/modules/own.py": PYTHON_MODULE };
  const modules = ["ansible.builtin.ping", "ansible.builtin.own"];
  const bundle = await library(files).bundle(modules, LINUX);
  assert.deepEqual([...bundle.blobs.keys()], [bundle.ansible?.payload]);
  assert.deepEqual({ ...bundle.ansible, payload: "" }, {
    payload: "",
    version: "2.14.18",
    entry: "basic",
    internal: ["check_mode", "version"],
    pythonMin: [3, 5],
  });
  const again = await library(files).bundle([...modules, ...modules].reverse(), LINUX);
  assert.equal(again.ansible?.payload, bundle.ansible?.payload);
  const changed = await library({ "/r1/modules/own.py": `${PYTHON_MODULE}\n` }).bundle(modules, LINUX);
  assert.notEqual(changed.ansible?.payload, bundle.ansible?.payload);
});

Deno.test("bundle() sees that a module's file has changed", async () => {
  const files: Files = { "/r1/modules/x": `${SHELL}1` };
  const modules = moduleLibrary({
    roots: ["/r1"],
    collections: [],
    ansible: null,
    files: memoryFiles(files),
  });
  const before = await modules.bundle(["ansible.builtin.x"], LINUX);
  files["/r1/modules/x"] = `${SHELL}2`;
  const after = await modules.bundle(["ansible.builtin.x"], LINUX);
  assert.notDeepEqual([...after.blobs.keys()], [...before.blobs.keys()]);
});

Deno.test("bundle() takes the companions of an action that there are, and the module only if it is one", async () => {
  const more = ansibleFiles("/a", {
    "modules/copy.py": PYTHON_MODULE,
    "modules/file.py": PYTHON_MODULE,
    "modules/dnf.py": PYTHON_MODULE,
    "modules/setup.py": PYTHON_MODULE,
    "modules/package.py": "# documentation",
  });
  const names = async (module: string) =>
    Object.keys((await library(more).bundle([module], LINUX)).modules).sort();
  assert.deepEqual(await names("ansible.builtin.copy"), ["ansible.builtin.copy", "ansible.builtin.file"]);
  assert.deepEqual(await names("ansible.builtin.package"), ["ansible.builtin.dnf", "ansible.builtin.setup"]);
  assert.deepEqual(await names("ansible.builtin.raw"), []);
});

Deno.test("bundle() follows a name to where it is now, and no ring for ever", async () => {
  const files: Files = {
    "/a/config/ansible_builtin_runtime.yml":
      "plugin_routing:\n  modules:\n    old:\n      redirect: ns.coll.older\n    away:\n      redirect: not.there.x\n",
    "/c/ansible_collections/ns/coll/meta/runtime.yml":
      "plugin_routing: {modules: {older: {redirect: ns.coll.now}, gone: {tombstone: {warning_text: use x}}, " +
      "a: {redirect: ns.coll.b}, b: {redirect: ns.coll.a}}}",
    "/c/ansible_collections/ns/coll/plugins/modules/now.py": PYTHON_MODULE,
  };
  assert.equal(await fileOf(files, "ansible.builtin.old"), "ansible_collections.ns.coll.plugins.modules.now");
  assert.match(await refusal(files, "ns.coll.gone"), /^Cannot find ns\.coll\.gone: it was removed: use x$/);
  assert.match(await refusal(files, "ns.coll.a"), /moved more than 8 times/);
  assert.match(await refusal(files, "ansible.builtin.away"), /install the collection not\.there$/);
});

Deno.test("bundle() refuses by name what cannot run, and says what to do", async () => {
  const cases: [files: Files, module: string, message: RegExp, ansible?: null][] = [
    [
      {},
      "ansible.builtin.none",
      /^Cannot find ansible\.builtin\.none: it is neither in \/r1\/modules.* nor in ansible 2\.14\.18$/,
    ],
    [{}, "ansible.builtin.ping", /there is no ansible.*SALAR_ANSIBLE$/, null],
    [
      { "/r1/modules/x.py": PYTHON_MODULE },
      "ansible.builtin.x",
      /it imports ansible\.module_utils; install/,
      null,
    ],
    [{}, "ns.coll.x", /install the collection ns\.coll$/],
    [{ "/r1/modules/x.ps1": "#Requires -Version 5" }, "ansible.builtin.x", /is PowerShell/],
    [{ "/r1/modules/x": "WANT_JSON" }, "ansible.builtin.x", /has no #! line/],
    [
      { "/r1/modules/x": SHELL, "/r1/modules/y/x.sh": SHELL },
      "ansible.builtin.x",
      /has it twice, as x and as y\/x\.sh/,
    ],
    [{}, "ansible.builtin.template", /^Cannot run ansible\.builtin\.template: .*`content`/],
    [
      {
        "/c/ansible_collections/ns/coll/plugins/action/x.py": "",
        "/c/ansible_collections/ns/coll/plugins/modules/x.py": PYTHON_MODULE,
      },
      "ns.coll.x",
      /^Cannot run ns\.coll\.x: its collection has a part/,
    ],
    [{}, "ns.coll.../../x", /modules have names like/],
    [{}, "ns..x", /modules have names like/],
    [
      { "/r1/modules/x.py": `${PYTHON_MODULE}from ansible.module_utils.no import x\n` },
      "ansible.builtin.x",
      /imports ansible\.module_utils\.no\.x, which \/a has not/,
    ],
    [
      { "/r1/modules/x.py": `${PYTHON_MODULE}import ansible_collections.ns.no.plugins.module_utils.y\n` },
      "ansible.builtin.x",
      /ns\.no is in no path; install ns\.no$/,
    ],
    [
      { "/c/ansible_collections/ns/coll/meta/runtime.yml": "a: [", "/c/ansible_collections/ns/coll/x": "" },
      "ns.coll.x",
      /runtime\.yml cannot be read: /,
    ],
  ];
  for (const [files, module, message, ansible] of cases) {
    assert.match(await refusal(files, module, ansible === null ? { ansible } : {}), message);
  }
});

Deno.test("action() is that of the builtin table, of a moved name too; a root's own module needs none", () => {
  const files: Files = {
    "/r1/modules/debug.sh": SHELL,
    "/r1/modules/bin/Linux/aarch64/fail": ELF,
    "/c/ansible_collections/ns/coll/meta/runtime.yml":
      "plugin_routing: {modules: {old: {redirect: ansible.builtin.ping}}, action: {routed: {redirect: ns.coll.base}}}",
    "/c/ansible_collections/ns/coll/plugins/action/mixed.py": "",
    ...Object.fromEntries(
      ["mixed", "plain", "routed"].map((
        name,
      ) => [`/c/ansible_collections/ns/coll/plugins/modules/${name}.py`, PYTHON_MODULE]),
    ),
  };
  const modules = library(files);
  assert.deepEqual(modules.action("ansible.builtin.copy"), { action: "copy" }, "no file is needed to tell");
  assert.deepEqual(modules.action("ns.coll.old"), { action: null });
  assert.deepEqual(modules.action("ns.coll.plain"), { action: null });
  assert.deepEqual(modules.action("ansible.builtin.debug"), { action: null });
  assert.deepEqual(modules.action("ansible.builtin.fail"), { action: null });
  for (const module of ["ns.coll.mixed", "ns.coll.routed", "ansible.builtin.template"]) {
    const answer = modules.action(module);
    assert.match("refused" in answer ? answer.refused : "", new RegExp(`^Cannot run ${module}: `));
  }
});

Deno.test("what cannot be read is refused by its path, and a name that is none by itself", async () => {
  const fail = (path: string): never => {
    throw new Error(`EACCES: permission denied, '${path}'`);
  };
  const files = { ...memoryFiles({ "/r1/modules/x": SHELL }), read: fail };
  const modules = moduleLibrary({ roots: ["/r1"], collections: [], ansible: null, files });
  await assert.rejects(modules.bundle(["ansible.builtin.x"], LINUX), {
    name: "ModuleError",
    message: "Cannot read /r1/modules/x: EACCES: permission denied, '/r1/modules/x'",
  });
  const closed = moduleLibrary({
    roots: ["/r1"],
    collections: [],
    ansible: null,
    files: { read: fail, list: fail },
  });
  for (const module of ["ansible.builtin.x", "x"]) {
    assert.match(Object.keys(closed.action(module)).join(), /^refused$/);
  }
});
