/** What only the agent for `sh` does in its own way; the rules of commands are in `commands_test.ts`. */
import assert from "node:assert/strict";
import type { AgentRun, Hash, WireModule, WireModuleFile, WireResult } from "./protocol.ts";
import {
  all,
  hashOf,
  hostError,
  onFullDisk,
  outcomes,
  results,
  runOf,
  shellGroup,
  testHost,
} from "./testing_host.ts";

const encoder = new TextEncoder();
const TELL = `printf '{"args": "%s"}\\n' "$(tr '"' "'" <"$1")"`;

function module(
  id: string,
  name: string,
  args: WireModule["args"] = {},
  action: string | null = null,
): WireModule {
  return { kind: "module", id, module: name, args, action };
}

function binaries(
  sources: Record<string, string>,
): { modules: AgentRun["modules"]; blobs: Record<Hash, Uint8Array> } {
  const modules: Record<string, WireModuleFile> = {};
  const blobs: Record<Hash, Uint8Array> = {};
  for (const [name, source] of Object.entries(sources)) {
    const content = encoder.encode(`#!/bin/sh\n${source}\n`);
    modules[name] = { kind: "binary", blob: hashOf(content), interpreter: null };
    blobs[hashOf(content)] = content;
  }
  return { modules, blobs };
}

Deno.test("a binary module is sent once, and gets its arguments in a file", async () => {
  await using host = await testHost({ hasPython: false });
  await Deno.symlink("/usr/bin/tr", `${host.home}/bin/tr`);
  // Longer than one block of the copy there, with all bytes in it.
  const noise = String.fromCharCode(...Array.from({ length: 256 }, (_, code) => code)).repeat(400);
  const { modules, blobs } = binaries({ tell: `${TELL}\nexit 0\n${noise}` });
  const run = runOf({
    modules,
    groups: [{ steps: [module("m/0", "tell", { a: "it's" }), module("m/1", "tell")] }],
  });
  let asked = 0;
  const give = (hash: Hash) => {
    asked++;
    const blob = blobs[hash];
    assert.ok(blob !== undefined);
    return Promise.resolve(blob);
  };
  for (const _ of [1, 2]) {
    const session = await host.start();
    const found = resultsIn(await all(session.run(run, give)));
    await session.close();
    const internal = "'_ansible_check_mode':false,'_ansible_diff':false,'_ansible_verbosity':0}";
    assert.deepEqual(found.map((result) => result.kind === "module" && result.result), [
      { args: `{'a':'it's',${internal}` },
      { args: `{${internal}` },
    ]);
  }
  assert.equal(asked, 1);
  const [hash] = Object.keys(blobs);
  await Deno.writeTextFile(`${host.cache}/${hash}`, "tampered");
  const session = await host.start();
  await all(session.run(run, give));
  await session.close();
  assert.equal(asked, 2);
  assert.deepEqual((await Array.fromAsync(Deno.readDir(host.cache))).map(({ name }) => name), [hash]);
});

Deno.test("a binary module fails by its result, not by its exit code; one without a result fails", async () => {
  await using host = await testHost({ hasPython: false });
  const { modules, blobs } = binaries({
    fine: `echo '{"changed": true}'; exit 3`,
    failed: `echo '{"failed": true, "msg": "no"}'`,
    code: `echo '{"rc": 4}'`,
    silent: "echo nothing >&2",
  });
  const steps = (name: string) => ({ steps: [module(`${name}/0`, name), module(`${name}/1`, "fine")] });
  const session = await host.start();
  const groups = Object.keys(modules).map(steps);
  const found = await results(session, runOf({ modules, groups }), blobs);
  const missing = await results(
    session,
    runOf({ modules: binaries({ gone: "true" }).modules, groups: [steps("gone")] }),
  );
  await session.close();
  assert.deepEqual(outcomes(found), {
    "fine/0": ["ok"],
    "fine/1": ["ok"],
    "failed/0": ["failed"],
    "failed/1": ["not-run"],
    // By its `rc`, which whoever shows the result reads, too.
    "code/0": ["ok"],
    "code/1": ["not-run"],
    "silent/0": ["failed"],
    "silent/1": ["not-run"],
  });
  const silent = found.find(({ step }) => step === "silent/0");
  assert.ok(silent?.kind === "module");
  assert.deepEqual([silent.stderr, silent.result["module_stderr"]], ["nothing\n", "nothing\n"]);
  const [first] = missing;
  assert.deepEqual(first, {
    step: "gone/0",
    kind: "not-run",
    why: "the module gone could not be sent",
    cannot: true,
  });
});

Deno.test("raw runs without Python; other modules say that they need it", async () => {
  await using host = await testHost({ hasPython: false });
  const raw = (id: string, args: WireModule["args"]) => module(id, "ansible.builtin.raw", args, "raw");
  const steps = [
    raw("m/0", { _raw_params: "echo it\\'s $0" }),
    raw("m/1", { _raw_params: "exit 3" }),
    raw("m/2", { _raw_params: "echo $0", executable: "/usr/bin/dash" }),
    module("m/3", "ansible.builtin.ping"),
  ];
  const session = await host.start();
  const found = await results(session, runOf({ onFailure: "go-on", groups: [{ steps }] }));
  const [planned] = await results(session, runOf({ check: true, groups: [{ steps: steps.slice(0, 1) }] }));
  await session.close();
  const fine = { changed: true, stderr: "" };
  assert.deepEqual(found.map((result) => result.kind === "module" ? result.result : result), [
    { ...fine, rc: 0, stdout: "it's /bin/sh\n" },
    { ...fine, rc: 3, stdout: "", failed: true, msg: "non-zero return code" },
    { ...fine, rc: 0, stdout: "/usr/bin/dash\n" },
    {
      step: "m/3",
      kind: "not-run",
      why: "there is no Python on this host, which ansible.builtin.ping needs",
      cannot: true,
    },
  ]);
  assert.ok(planned?.kind === "module");
  assert.deepEqual(planned.result, { skipped: true });
});

Deno.test("a host without the usual tools of a shell still runs commands", async () => {
  const tools = "sh ls cat cp mv rm dd wc tail grep mkdir chmod id uname date sleep".split(" ");
  await using host = await testHost({ hasPython: false, tools });
  const session = await host.start();
  const run = runOf({
    stepMs: 1000,
    groups: [shellGroup("a", [{ run: "echo fine" }]), shellGroup("b", [{ run: "sleep 20" }])],
  });
  assert.deepEqual(outcomes(await results(session, run)), { "a/0": ["changed"], "b/0": ["failed"] });
  await session.close();
});

Deno.test("a host without room for outputs says so", async () => {
  await using host = await testHost();
  const session = await host.start({ python: "/nowhere/python", around: onFullDisk });
  assert.equal((await session.info).kind, "sh");
  const failing = results(session, runOf({ groups: [shellGroup("a", [{ run: "true" }])] }));
  await assert.rejects(failing, hostError("disk", /Cannot store.*nothing can be written there; make room/));
});

function resultsIn(events: Awaited<ReturnType<typeof all>>): WireResult[] {
  return events.flatMap((event) => event.type === "result" ? [event.result] : []);
}
