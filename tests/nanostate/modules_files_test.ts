/** What a module library sends of Ansible, against what Ansible's own packer takes. */
import assert from "node:assert/strict";
import { parse } from "yaml";
import type { ModuleBundle } from "../../lib/nanostate/modules/library.ts";
import { moduleKind } from "../../lib/nanostate/modules/module_kind.ts";
import { moduleLibrary } from "../../lib/nanostate/modules/module_library.ts";
import { partOf } from "../../lib/nanostate/modules/actions.ts";
import { builtinRouting, routingOf } from "../../lib/nanostate/modules/routing.ts";
import { type Ansible, ANSIBLE_VERSIONS, ensureAnsible } from "../parts/ansible.ts";
import { run } from "../parts/command.ts";
import oracle from "./engine_files.py" with { type: "text" };

const LINUX = { system: "Linux", machine: "x86_64" };
const NEW_STYLE_MODULES = { "2.14.18": 45, "2.19.14": 47 };
/** Path in an archive → hash of the content. */
type Files = Record<string, string>;

for (const version of ANSIBLE_VERSIONS) {
  Deno.test(`a bundle of ${version} has, for each builtin module, exactly the files of Ansible's packer`, async () => {
    const ansible = await ensureAnsible(version);
    const names = newStyleModules(ansible);
    assert.equal(names.length, NEW_STYLE_MODULES[version]);
    const packed = await packedByEngine(ansible, names);
    const library = moduleLibrary({ roots: [], collections: [], ansible: ansible.package });

    const usable = names.filter((name) => !("refused" in partOf(`ansible.builtin.${name}`)));
    assert.deepEqual(names.filter((name) => !usable.includes(name)), ["async_status", "async_wrapper"]);
    for (const name of usable) {
      const bundle = await library.bundle([`ansible.builtin.${name}`], LINUX);
      assert.deepEqual(await filesOf(bundle, ansible), unionFor(bundle, packed), name);
    }
  });

  Deno.test(`a bundle of all modules of ${version} is one archive that Python reads, the same each time`, async () => {
    const ansible = await ensureAnsible(version);
    const modules = newStyleModules(ansible).map((name) => `ansible.builtin.${name}`)
      .filter((name) => !("refused" in partOf(name)));
    const options = { roots: [], collections: [], ansible: ansible.package };
    const bundle = await moduleLibrary(options).bundle(modules, LINUX);
    const again = await moduleLibrary(options).bundle(modules.toReversed(), LINUX);
    assert.deepEqual(
      await filesOf(bundle, ansible),
      unionFor(bundle, await packedByEngine(ansible, newStyleModules(ansible))),
    );
    assert.equal(again.ansible?.payload, bundle.ansible?.payload);
    assert.equal(bundle.ansible?.version, version);
  });

  Deno.test(`builtinRouting() reads of ${version} what a whole reading of the file gives`, async () => {
    const { package: folder } = await ensureAnsible(version);
    const text = await Deno.readTextFile(`${folder}/config/ansible_builtin_runtime.yml`);
    const quick = builtinRouting(text);
    const whole = routingOf(text);
    const sections: Record<string, Record<string, unknown>> = parse(text).plugin_routing;
    for (const kind of ["modules", "module_utils", "action"] as const) {
      const names = Object.keys(sections[kind] ?? {});
      assert.ok(names.length > 40, `${kind}: ${names.length}`);
      for (const name of names) assert.deepEqual(quick(kind, name), whole(kind, name), `${kind} ${name}`);
    }
  });

  Deno.test(`no module of ${version} has both a file and a redirect`, async () => {
    const { package: folder } = await ensureAnsible(version);
    const routing = builtinRouting(await Deno.readTextFile(`${folder}/config/ansible_builtin_runtime.yml`));
    const names = [...Deno.readDirSync(`${folder}/modules`)].map(({ name }) => name.replace(/\.py$/, ""));
    assert.deepEqual(names.filter((name) => routing("modules", name) !== null), []);
  });

  Deno.test(`the arguments that ${version} is said to know are those that its basic knows`, async () => {
    const { python, package: folder } = await ensureAnsible(version);
    const library = moduleLibrary({ roots: [], collections: [], ansible: folder });
    const { ansible } = await library.bundle(["ansible.builtin.ping"], LINUX);
    const script =
      "import json; from ansible.module_utils.common.parameters import PASS_VARS; print(json.dumps(list(PASS_VARS)))";
    assert.deepEqual(ansible?.internal, JSON.parse((await run(python, ["-c", script])).stdout));
    assert.deepEqual(ansible?.pythonMin, version === "2.14.18" ? [3, 5] : [3, 8]);
    assert.equal(ansible?.entry, version === "2.14.18" ? "basic" : "loader");
  });
}

function newStyleModules(ansible: Ansible): string[] {
  const folder = `${ansible.package}/modules`;
  return [...Deno.readDirSync(folder)].map(({ name }) => name)
    .filter((name) => name.endsWith(".py") && moduleKind(Deno.readFileSync(`${folder}/${name}`)) === "python")
    .map((name) => name.replace(/\.py$/, "")).sort();
}

async function packedByEngine(ansible: Ansible, names: readonly string[]): Promise<Record<string, Files>> {
  const pairs = names.map((name) => `${name}=${ansible.package}/modules/${name}.py`);
  return JSON.parse((await run(ansible.python, ["-c", oracle, ...pairs], { limitMs: 120_000 })).stdout);
}

/** Of all modules that the bundle names: those asked for, and the companions of their actions. */
function unionFor(bundle: ModuleBundle, packed: Record<string, Files>): Files {
  const entries = Object.values(bundle.modules).map((file) => file.kind === "python" ? file.entry : "");
  assert.ok(entries.length > 0);
  return Object.assign({}, ...entries.map((entry) => packed[entry.split(".").at(-1) ?? ""]));
}

/** As Python's zipfile reads it, sums checked. */
async function filesOf(bundle: ModuleBundle, { python }: Ansible): Promise<Files> {
  const archive = bundle.blobs.get(bundle.ansible?.payload ?? "");
  assert.ok(archive !== undefined);
  const path = await Deno.makeTempFile({ suffix: ".zip" });
  try {
    await Deno.writeFile(path, archive);
    return JSON.parse((await run(python, ["-c", READ, path])).stdout);
  } finally {
    await Deno.remove(path);
  }
}

const READ = `
import hashlib, json, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
print(json.dumps({name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}))
`;
