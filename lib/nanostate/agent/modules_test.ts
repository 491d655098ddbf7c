/** How modules are run: with a small `ansible` of its own, which tells what a module sees. The real one is in tests/nanostate. */
import assert from "node:assert/strict";
import { zip, zipContent } from "../modules/zip.ts";
import type { JsonObject } from "../json.ts";
import type { AgentRun, Hash, WireAnsible, WireModuleFile, WireResult } from "./protocol.ts";
import {
  all,
  hashOf,
  hostError,
  onFullDisk,
  outcomes,
  processesWith,
  results,
  runOf,
  type TestHost,
  testHost,
  until,
} from "./testing_host.ts";

const encoder = new TextEncoder();

/** Loaded where it is warm; ARGS and PROFILE are what each way of entry has to set. */
const BASIC = `
import json, os, sys
LOADED_BY = os.getpid()
COUNT = 0
_ANSIBLE_ARGS = None
_ANSIBLE_PROFILE = None
def args():
    return json.loads(_ANSIBLE_ARGS.decode())["ANSIBLE_MODULE_ARGS"]
def exit_json(**result):
    print("\\n" + json.dumps(result))
    sys.exit(0)
`;
const LOADER = `
import runpy
from ansible.module_utils import basic
def run_module(*, json_params, profile, module_fqn, modlib_path, extensions):
    basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = json_params, profile
    names = dict(_module_fqn=module_fqn, _modlib_path=modlib_path)
    runpy.run_module(module_fqn, init_globals=names, run_name="__main__", alter_sys=True)
`;
const MODULES: Record<string, string> = {
  show: `
import os
basic.COUNT += 1
basic.exit_json(args=basic.args(), profile=basic._ANSIBLE_PROFILE, count=basic.COUNT, name=_module_fqn,
    archive=os.path.basename(_modlib_path), warm=basic.LOADED_BY == os.getppid(), folder=os.path.isdir(basic.args()["_ansible_tmpdir"]),
    env=os.environ.get("GREETING"), here=__name__, group=os.getpgid(0) == os.getpid())`,
  chatty: `
import atexit, sys
print("junk before")
atexit.register(lambda: print("junk after"))
print('{"changed": true,')
print(' "n": 1}')
sys.stderr.write("warned\\n")`,
  broken: `raise ValueError("no luck")`,
  silent: `sys.exit("nothing to say")`,
  slow: `
import subprocess
subprocess.call(["sleep", basic.args()["seconds"]])`,
  rude: `
import os
os.write(1, b"x" * 11000000)
os._exit(9)`,
};

function payload(version: string): { ansible: WireAnsible; bytes: Uint8Array } {
  const files: Record<string, string> = {
    "ansible/__init__.py": "",
    "ansible/module_utils/__init__.py": "",
    "ansible/module_utils/basic.py": `${BASIC}VERSION = "${version}"\n`,
    "ansible/module_utils/_internal/__init__.py": "",
    "ansible/module_utils/_internal/_ansiballz/__init__.py": "",
    "ansible/module_utils/_internal/_ansiballz/_loader.py": LOADER,
    "ansible/modules/__init__.py": "",
    "ansible/modules/version.py":
      "from ansible.module_utils import basic\nbasic.exit_json(version=basic.VERSION)\n",
  };
  for (const [name, source] of Object.entries(MODULES)) {
    files[`ansible/modules/${name}.py`] = `import sys\nfrom ansible.module_utils import basic\n${source}\n`;
  }
  const contents = Object.entries(files).map(([path, text]) =>
    [path, zipContent(encoder.encode(text))] as const
  );
  const bytes = zip(new Map(contents));
  const internal = ["check_mode", "tmpdir", "version"];
  return { ansible: { payload: hashOf(bytes), version, entry: "basic", internal, pythonMin: [3, 6] }, bytes };
}

const { ansible, bytes } = payload("2.14.18");

/** A run of python modules, one step each. */
function modulesRun(steps: [string, JsonObject?][], change: Partial<AgentRun> = {}): AgentRun {
  const entries = [...Object.keys(MODULES), "version"].map((name) =>
    [`ansible.builtin.${name}`, { kind: "python", entry: `ansible.modules.${name}` }] as const
  );
  return runOf({
    onFailure: "go-on",
    ansible,
    modules: Object.fromEntries(entries),
    groups: [{
      steps: steps.map(([name, args = {}], n) => ({
        kind: "module",
        id: `m/${n}`,
        module: `ansible.builtin.${name}`,
        args,
        action: null,
      })),
    }],
    ...change,
  });
}

function resultOf(result: WireResult | undefined): JsonObject {
  assert.ok(result?.kind === "module");
  return result.result;
}

async function once(
  host: TestHost,
  run: AgentRun,
  blobs: Record<Hash, Uint8Array> = { [ansible.payload]: bytes },
) {
  const session = await host.start();
  const found = await results(session, run, blobs);
  await session.close();
  return found;
}

for (const entry of ["basic", "loader"] as const) {
  Deno.test(`a module entered by ${entry} is forked from the warm interpreter, and by itself`, async () => {
    await using host = await testHost();
    const run = modulesRun([["show", { a: [1, "ä"] }], ["show"]], {
      ansible: { ...ansible, entry },
      environment: { GREETING: "hello" },
      check: true,
    });
    const found = (await once(host, run)).map(resultOf);
    for (const [n, { args, ...seen }] of found.entries()) {
      assert.deepEqual(seen, {
        profile: entry === "loader" ? "legacy" : null,
        count: 1,
        name: "ansible.modules.show",
        archive: ansible.payload,
        warm: true,
        folder: true,
        env: "hello",
        here: "__main__",
        group: true,
      });
      assert.ok(typeof args === "object" && args !== null && !Array.isArray(args));
      const { _ansible_tmpdir: folder, ...rest } = args;
      // Of the internal arguments only those that this version knows.
      const internal = { _ansible_check_mode: true, _ansible_version: "2.14.18" };
      assert.deepEqual(rest, n === 0 ? { a: [1, "ä"], ...internal } : internal);
      await assert.rejects(Deno.stat(String(folder)), Deno.errors.NotFound);
    }
  });
}

Deno.test("a module's result is read whatever it prints around it, and is a failure without one", async () => {
  await using host = await testHost();
  const [chatty, broken, silent, rude] = await once(
    host,
    modulesRun([["chatty"], ["broken"], ["silent"], ["rude"]]),
  );
  assert.deepEqual(resultOf(chatty), {
    changed: true,
    n: 1,
    warnings: ["Module invocation had junk after the JSON data: junk after"],
  });
  assert.ok(chatty?.kind === "module");
  assert.equal(chatty.stderr, "warned\n");
  const { exception, module_stderr, ...failure } = resultOf(broken);
  const msg = "MODULE FAILURE\nSee stdout/stderr for the exact error";
  assert.deepEqual(failure, { failed: true, msg, module_stdout: "", rc: 1 });
  assert.equal(exception, module_stderr);
  assert.match(String(exception), /^Traceback[^]*ValueError: no luck\n$/);
  const nothing = { failed: true, msg, module_stdout: "", module_stderr: "nothing to say\n", rc: 1 };
  assert.deepEqual(resultOf(silent), nothing);
  const { module_stdout, rc } = resultOf(rude);
  assert.equal(rc, 9);
  assert.match(String(module_stdout), /^x+\n\[514240 bytes left out\]\nx+$/);
});

Deno.test("a module that takes too long is ended with all that it started", async () => {
  await using host = await testHost();
  const seconds = `4327.${Deno.pid}`;
  const [slow, next] = await once(host, modulesRun([["slow", { seconds }], ["version"]], { stepMs: 500 }));
  assert.ok(slow?.kind === "module");
  assert.deepEqual([slow.timedOut, slow.result], [true, {
    failed: true,
    msg: "ended: it took longer than 0.5 s",
  }]);
  assert.deepEqual(resultOf(next), { version: "2.14.18" });
  assert.deepEqual(await processesWith(seconds), []);
});

Deno.test("a module leaves no process behind when the session is closed", async () => {
  await using host = await testHost();
  const seconds = `4328.${Deno.pid}`;
  const session = await host.start();
  const running = results(session, modulesRun([["slow", { seconds }]]), { [ansible.payload]: bytes });
  const lost = assert.rejects(running, hostError("cancelled", /closed/));
  await until(async () => (await processesWith(seconds)).length > 0);
  await session.close();
  assert.deepEqual(await processesWith(seconds), []);
  await lost;
});

Deno.test("a payload is asked for once a host, and again when what is there is not it", async () => {
  await using host = await testHost();
  const run = modulesRun([["version"], ["version"]]);
  const wanted = async () => {
    const session = await host.start();
    let asked = 0;
    const give = () => {
      asked++;
      return Promise.resolve(bytes);
    };
    const events = await all(session.run(run, give));
    await session.close();
    const versions = events.flatMap((event) =>
      event.type === "result" ? [resultOf(event.result)["version"]] : []
    );
    assert.deepEqual(versions, ["2.14.18", "2.14.18"]);
    return asked;
  };
  assert.equal(await wanted(), 1);
  assert.equal(await wanted(), 0);
  await Deno.writeTextFile(`${host.cache}/${ansible.payload}`, "tampered");
  assert.equal(await wanted(), 1);
  await Deno.remove(`${host.cache}/${ansible.payload}.d/ansible/modules/version.py`);
  assert.equal(await wanted(), 0);
  const { mode } = await Deno.stat(host.cache);
  assert.equal((mode ?? 0) & 0o777, 0o700);
  assert.deepEqual(await leftovers(host.cache), []);
});

Deno.test("another payload in the same session takes the place of the one before", async () => {
  await using host = await testHost();
  const other = payload("2.19.14");
  const session = await host.start();
  const versions = async (of: WireAnsible) => {
    const run = modulesRun([["version"]], { ansible: of });
    const blobs = { [ansible.payload]: bytes, [other.ansible.payload]: other.bytes };
    return (await results(session, run, blobs)).map((result) => resultOf(result)["version"]);
  };
  assert.deepEqual(await versions(ansible), ["2.14.18"]);
  assert.deepEqual(await versions(other.ansible), ["2.19.14"]);
  assert.deepEqual(await versions(ansible), ["2.14.18"]);
  await session.close();
});

Deno.test("a cache that is not for its owner alone is not used, nor changed", async () => {
  const spoilt: Record<string, (cache: string) => Promise<void>> = {
    "open to others": async (cache) => {
      await Deno.mkdir(cache, { recursive: true });
      await Deno.chmod(cache, 0o755);
    },
    "a link": async (cache) => {
      await Deno.mkdir(`${cache}-elsewhere`, { recursive: true, mode: 0o700 });
      await Deno.symlink(`${cache}-elsewhere`, cache);
    },
    "another user's": async (cache) => {
      await Deno.mkdir(cache, { recursive: true, mode: 0o700 });
      await new Deno.Command("chown", { args: ["4242", cache] }).output();
    },
    "a file": async (cache) => {
      await Deno.mkdir(cache.slice(0, cache.lastIndexOf("/")), { recursive: true });
      await Deno.writeTextFile(cache, "");
    },
  };
  for (const [name, spoil] of Object.entries(spoilt)) {
    await using host = await testHost();
    await spoil(host.cache);
    assert.deepEqual(
      (await once(host, modulesRun([["version"]]))).map(resultOf),
      [{ version: "2.14.18" }],
      name,
    );
    // What was used instead is gone with the agent.
    const names = (await Array.fromAsync(Deno.readDir(host.home))).map((entry) => entry.name);
    assert.deepEqual(names.filter((each) => each.startsWith("salar")), [], name);
    if (name !== "a file") assert.deepEqual(await Array.fromAsync(Deno.readDir(host.cache)), [], name);
  }
});

Deno.test("a host without room says so, and does what needs none", async () => {
  await using host = await testHost();
  const session = await host.start({ around: onFullDisk });
  const run = modulesRun([["version"]]);
  const shell = runOf({
    groups: [{ steps: [{ kind: "shell", id: "s/0", commands: [{ name: "c", run: "true" }] }] }],
  });
  assert.deepEqual(outcomes(await results(session, shell)), { "s/0": ["changed"] });
  const failing = results(session, run, { [ansible.payload]: bytes });
  await assert.rejects(failing, hostError("disk", /Cannot store.*No space left on device.*make room/));
});

Deno.test("content that is not what was asked for ends the session; one that cannot be given fails its step", async () => {
  await using host = await testHost();
  const wrong = await host.start();
  const lie = results(wrong, modulesRun([["version"]]), {
    [ansible.payload]: encoder.encode("something else"),
  });
  await assert.rejects(lie, hostError("protocol", /a content that does not have its hash/));
  assert.deepEqual(await leftovers(host.cache), []);

  const [missing] = await once(host, modulesRun([["version"]]), {});
  assert.deepEqual(resultOf(missing), { failed: true, msg: `there is no ${ansible.payload}` });
});

Deno.test("a module that cannot run there says why", async () => {
  await using host = await testHost();
  const why = async (run: AgentRun) => {
    const [result] = await once(host, run);
    assert.ok(result?.kind === "not-run" && result.cannot);
    return result.why;
  };
  const old = modulesRun([["version"]], { ansible: { ...ansible, pythonMin: [9, 1] } });
  assert.match(await why(old), /^the Python there is 3\.\d+; ansible-core 2\.14\.18 needs 9\.1$/);
  const unknown = modulesRun([["version"]], { modules: {} });
  assert.equal(await why(unknown), "the module ansible.builtin.version did not come with this run");
});

const TELL = `printf '{"name": "%s", "args": "%s"}\\n' "$(basename "$0")" "$(tr '"' "'" <"$1")"`;

Deno.test("modules that are files get their arguments as their kind has it", async () => {
  await using host = await testHost();
  const files: Record<string, [Omit<Extract<WireModuleFile, { blob: Hash }>, "blob">, string]> = {
    "want-json": [{ kind: "want-json", interpreter: "/bin/sh" }, TELL],
    "binary": [{ kind: "binary", interpreter: null }, `#!/bin/sh\n${TELL}`],
    "old": [{ kind: "old", interpreter: "/usr/bin/env sh" }, TELL],
    "json-args": [
      { kind: "json-args", interpreter: "/usr/bin/python3 -B" },
      `import json, sys\ngiven = json.loads('''<<INCLUDE_ANSIBLE_MODULE_JSON_ARGS>>''')\nprint(json.dumps({"a": given["a"], "flag": sys.dont_write_bytecode}))`,
    ],
    "nowhere": [{ kind: "old", interpreter: "/nowhere/perl" }, ""],
  };
  const modules: Record<string, WireModuleFile> = {};
  const blobs: Record<Hash, Uint8Array> = {};
  for (const [name, [file, source]] of Object.entries(files)) {
    const content = encoder.encode(source);
    modules[name] = { ...file, blob: hashOf(content) };
    blobs[hashOf(content)] = content;
  }
  const args = { a: "it's x" };
  const steps = Object.keys(files).map((id) => ({
    kind: "module" as const,
    id,
    module: id,
    args,
    action: null,
  }));
  const run = runOf({ onFailure: "go-on", modules, groups: [{ steps }] });
  const found = Object.fromEntries(
    (await once(host, run, blobs)).map((result) => [result.step, resultOf(result)]),
  );
  const internal = "'_ansible_check_mode': false, '_ansible_diff': false, '_ansible_verbosity': 0, ";
  for (const kind of ["want-json", "binary"]) {
    assert.ok(String(found[kind]?.["args"]).startsWith(`{'a': 'it's x', ${internal}`));
  }
  assert.match(String(found["old"]?.["args"]), /^a='it'''''s x' _ansible_check_mode=False /);
  assert.deepEqual(found["json-args"], { a: "it's x", flag: true });
  assert.match(String(found["nowhere"]?.["msg"]), /No such file or directory.*\/nowhere\/perl/);
  assert.deepEqual(await leftovers(host.cache), []);
});

/** Parts and folders of steps, which nothing may leave. */
async function leftovers(cache: string): Promise<string[]> {
  const names = (await Array.fromAsync(Deno.readDir(cache))).map(({ name }) => name);
  return names.filter((name) => !/^[0-9a-f]{64}(\.d)?$/.test(name));
}
