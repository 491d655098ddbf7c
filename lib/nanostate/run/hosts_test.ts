import assert from "node:assert/strict";
import { moduleLibrary } from "../modules/module_library.ts";
import { HostError } from "../transport/transport.ts";
import { runHosts } from "./hosts.ts";
import { eventText, fakeLibrary, farm, options, outcomes, target } from "./testing.ts";

const THREE = {
  "s.st": `id: s
state:
  a:
    - shell: [{one: "1"}, {two: "2"}]
    - ansible.ping:
  b:
    - ansible.file: {path: /x}
`,
};

Deno.test("runHosts() tells of each step in order and counts each response once", async () => {
  const events: string[] = [];
  const { start, runs } = farm(() => ({}));
  const result = await runHosts(start, options(THREE, { onEvent: (event) => events.push(eventText(event)) }));
  assert.deepEqual(outcomes(result), ["h a/0 changed changed", "h a/1 ok", "h b/0 ok"]);
  assert.deepEqual(events, [
    "connecting h",
    "connected h",
    ...["a/0", "a/1", "b/0"].flatMap((id) => [`begin h ${id}`, `step h ${id}`]),
    "host h",
  ]);
  assert.deepEqual(result.counts, {
    ok: 2,
    changed: 2,
    failed: 0,
    skipped: 0,
    unknown: 0,
    notRun: 0,
    hosts: 1,
    unreachable: 0,
  });
  assert.deepEqual([result.code, runs.length], [0, 1]); // the whole plan in one run
});

for (
  const [onFailure, expected] of [
    ["end-group", ["h a/0 failed changed", "h a/1 not-run", "h b/0 ok"]],
    ["end-run", ["h a/0 failed changed", "h a/1 not-run", "h b/0 not-run"]],
    ["go-on", ["h a/0 failed changed", "h a/1 ok", "h b/0 ok"]],
  ] as const
) {
  Deno.test(`runHosts() with ${onFailure} runs after a failure just what that says`, async () => {
    const { start } = farm(() => ({
      answer: (step, _run, name) => name === "one" ? { rc: 3 } : fine(step.kind),
    }));
    const result = await runHosts(start, options(THREE, { onFailure }));
    assert.deepEqual(outcomes(result), expected);
    assert.deepEqual([result.code, result.hosts[0]?.groups.map(({ code }) => code)], [
      1,
      [1, onFailure === "end-run" ? 2 : 0],
    ]);
    assert.equal(result.hosts[0]?.groups[0]?.steps[0]?.responses[0]?.message, "exit code 3");
  });

  Deno.test(`runHosts() with ${onFailure} treats a refused module as one that failed`, async () => {
    const files = {
      "s.st": THREE["s.st"].replace(
        "ansible.ping:",
        "ansible.template: {src: x, dest: y}\n    - ansible.ping:",
      ),
    };
    const { start, runs } = farm(() => ({}));
    const result = await runHosts(start, options(files, { onFailure }));
    const rest = { "end-group": ["not-run", "ok"], "end-run": ["not-run", "not-run"], "go-on": ["ok", "ok"] };
    assert.deepEqual(outcomes(result), [
      "h a/0 changed changed",
      "h a/1 failed",
      `h a/2 ${rest[onFailure][0]}`,
      `h b/0 ${rest[onFailure][1]}`,
    ]);
    assert.match(result.hosts[0]?.groups[0]?.steps[1]?.responses[0]?.message ?? "", /Jinja2/);
    const sent = runs.flatMap(({ run }) => run.groups.flatMap(({ steps }) => steps.map(({ id }) => id)));
    assert.deepEqual(sent.includes("a/2"), onFailure === "go-on");
  });
}

Deno.test("runHosts() names a module that is nowhere and runs the others", async () => {
  const { start } = farm(() => ({}));
  const modules = fakeLibrary({ missing: ["ansible.builtin.file"] });
  const result = await runHosts(start, options(THREE, { modules }));
  assert.deepEqual(outcomes(result), ["h a/0 changed changed", "h a/1 ok", "h b/0 failed"]);
});

Deno.test("runHosts() without an Ansible runs shell steps, and says of modules what to install", async () => {
  const { start } = farm(() => ({}));
  const modules = moduleLibrary({ roots: [], collections: [], ansible: null });
  const result = await runHosts(start, options(THREE, { modules }));
  assert.deepEqual(outcomes(result), ["h a/0 changed changed", "h a/1 failed", "h b/0 failed"]);
  assert.match(result.hosts[0]?.groups[1]?.steps[0]?.responses[0]?.message ?? "", /install ansible-core/);
});

const DEPENDS = {
  "s.st": `id: s
state:
  ~t/base:
  user &t/base:
    - ansible.ping:
  other:
    - ansible.ping:
`,
  "t.st": "id: t\nstate:\n  base:\n    - ansible.file: {path: /x}\n",
};

Deno.test("runHosts() runs a dependency once; a later copy says that it ran above", async () => {
  const { start, runs } = farm(() => ({}));
  const result = await runHosts(start, options(DEPENDS));
  assert.deepEqual(outcomes(result), ["h base/0 ok", "h user/0 ok", "h user/1 ok", "h other/0 ok"]);
  assert.equal(result.hosts[0]?.groups[1]?.steps[0]?.responses[0]?.message, "ran above: base/0");
  assert.deepEqual(runs[0]?.run.groups.map(({ steps }) => steps.map(({ id }) => id)), [
    ["base/0"],
    ["user/1"],
    ["other/0"],
  ]);
});

Deno.test("runHosts() does not run a group whose dependency failed above, but runs others", async () => {
  const { start } = farm(() => ({
    answer: (step) => step.id === "base/0" ? { result: { failed: true, msg: "no" } } : fine(step.kind),
  }));
  assert.deepEqual(outcomes(await runHosts(start, options(DEPENDS))), [
    "h base/0 failed",
    "h user/0 not-run",
    "h user/1 not-run",
    "h other/0 ok",
  ]);
});

Deno.test("runHosts() in check mode: what may need an earlier change is unknown, never failed or fine", async () => {
  const files = {
    "s.st": `id: s
state:
  a:
    - ansible.file: {path: /x}
    - ansible.ping:
  b:
    - ansible.apt: {name: x}
    - ansible.expect: {}
`,
  };
  const answers = (first: boolean) =>
    farm(() => ({
      answer: (step) =>
        step.id === "a/0"
          ? { result: { changed: first, diff: { before: "1", after: "2" } } }
          : step.id === "b/0"
          ? { result: { failed: true, msg: "no such package" } }
          : step.id === "b/1"
          ? { result: { skipped: true, msg: "remote module does not support check mode" } }
          : fine(step.kind),
    }));
  const open = await runHosts(answers(true).start, options(files, { mode: "check" }));
  assert.deepEqual(outcomes(open), ["h a/0 changed", "h a/1 ok", "h b/0 unknown", "h b/1 unknown"]);
  assert.equal(open.code, 0);
  assert.deepEqual(open.hosts[0]?.groups[0]?.steps[0]?.responses[0]?.diff, { before: "1", after: "2" });
  const closed = await runHosts(answers(false).start, options(files, { mode: "check" }));
  assert.deepEqual(outcomes(closed), ["h a/0 ok", "h a/1 ok", "h b/0 failed", "h b/1 unknown"]);
  assert.equal(closed.code, 1);
});

Deno.test("runHosts() keeps what hosts do apart: refused, lost in the middle, timed out, fine", async () => {
  const { start } = farm((name) => {
    if (name === "refuses") return { refuses: new HostError("refused", "nothing listens on refuses:22") };
    if (name === "drops") {
      return {
        answer: ({ id, kind }) => id === "a/1" ? new HostError("lost", "the connection broke") : fine(kind),
      };
    }
    if (name === "hangs") {
      return { answer: ({ id, kind }) => id === "a/1" ? new Promise(() => {}) : fine(kind) };
    }
    return {};
  });
  const targets = ["refuses", "drops", "hangs", "fine"].map((name) => target(name));
  const result = await runHosts(start, options(THREE, { targets, limits: { runMs: 100 } }));
  assert.deepEqual(outcomes(result), [
    "refuses a/0 not-run not-run",
    "refuses a/1 not-run",
    "refuses b/0 not-run",
    "drops a/0 changed changed",
    "drops a/1 unknown",
    "drops b/0 not-run",
    "hangs a/0 changed changed",
    "hangs a/1 unknown",
    "hangs b/0 not-run",
    "fine a/0 changed changed",
    "fine a/1 ok",
    "fine b/0 ok",
  ]);
  assert.deepEqual(result.hosts.map(({ code, message }) => [code, message]), [
    [255, "nothing listens on refuses:22"],
    [255, "the connection broke"],
    [255, "hangs did not finish within 0.1 s"],
    [0, ""],
  ]);
  assert.equal(result.counts.unreachable, 3);
  const cut = result.hosts[1]?.groups[0]?.steps[1];
  assert.deepEqual([cut?.code, cut?.responses[0]?.message], [2, "unknown outcome: the connection broke"]);
});

Deno.test("runHosts() never has more hosts under way, or being connected to, than it may", async () => {
  const { start, open } = farm(() => ({
    answer: async ({ kind }) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      return fine(kind);
    },
  }));
  const targets = Array.from({ length: 40 }, (_, n) => target(`h${n}`));
  const result = await runHosts(start, options(THREE, { targets, jobs: 7, connects: 3 }));
  assert.deepEqual([result.counts.hosts, result.code], [40, 0]);
  assert.deepEqual([open.most, open.mostConnecting, open.now], [7, 3, 0]);
  assert.deepEqual(result.hosts.map(({ host }) => host), targets.map(({ name }) => name));
});

Deno.test("runHosts() cancelled has a result for each host, and leaves no session open", async () => {
  const ending = new AbortController();
  const farmed = farm(() => ({
    answer: ({ id, kind }) => id === "a/1" ? new Promise(() => {}) : fine(kind),
  }));
  const targets = ["h1", "h2", "h3"].map((name) => target(name));
  let begun = 0;
  const result = await runHosts(
    farmed.start,
    options(THREE, {
      targets,
      jobs: 2,
      signal: ending.signal,
      onEvent: (event) => {
        if (event.type === "begin" && event.step === "a/1" && ++begun === 2) ending.abort();
      },
    }),
  );
  assert.deepEqual(outcomes(result).filter((line) => line.includes("/1")), [
    "h1 a/1 unknown",
    "h2 a/1 unknown",
  ]);
  assert.deepEqual(result.hosts.map(({ code, message }) => [code, message]), [
    [2, "the run was cancelled"],
    [2, "the run was cancelled"],
    [2, "the run was cancelled"],
  ]);
  assert.deepEqual([farmed.open.now, farmed.connected.get("h3")], [0, undefined]);
});

const ASKS = {
  "s.st": "id: s\nstate:\n  a ?debian: [ansible.ping: ]\n  b: [ansible.ping: ]\n",
  "s.fn": 'function debian() return fact("os_family") == param("family", "Debian") end\n',
};

Deno.test("runHosts() gathers facts only for a state that asks for them; hosts that agree share a plan", async () => {
  const { start, runs } = farm((name) => ({
    facts: { ansible_os_family: name === "suse" ? "Suse" : "Debian", ansible_hostname: name },
  }));
  const targets = ["deb1", "suse", "deb2"].map((name) => target(name));
  const { hosts } = await runHosts(start, options(ASKS, { targets }));
  assert.deepEqual(hosts.map(({ groups }) => groups.map(({ name }) => name)), [["a", "b"], ["b"], [
    "a",
    "b",
  ]]);
  assert.deepEqual(hosts.map(({ plan }) => plan?.facts["os_family"]), ["Debian", "Suse", "Debian"]);
  assert.equal(hosts[0]?.plan?.hash, hosts[2]?.plan?.hash);
  assert.equal(runs.length, 6);
  assert.equal((await runHosts(start, options(THREE))).hosts[0]?.code, 0);
  assert.equal(runs.length, 7);
});

Deno.test("runHosts() does not connect to a host whose state does not compile there", async () => {
  const files = {
    "s.st": "id: s\nstate:\n  a ?f: [ansible.ping: ]\n",
    "s.fn": 'function f() return param("zone") == "x" end\n',
  };
  const { start, connected } = farm(() => ({}));
  const targets = [target("with", { params: { zone: "x" } }), target("without")];
  const result = await runHosts(start, options(files, { targets }));
  assert.deepEqual(result.hosts.map(({ code }) => code), [0, 1]);
  assert.match(result.hosts[1]?.message ?? "", /s\.st:3:5: .*param\("zone"\)/);
  assert.deepEqual([connected.get("without"), result.counts.failed], [undefined, 1]);
});

Deno.test("runHosts() refuses options that make no run", async () => {
  const { start } = farm(() => ({}));
  const twice = options(THREE, { targets: [target("h"), target("h")] });
  await assert.rejects(runHosts(start, twice), /two hosts are called "h"/);
  await assert.rejects(runHosts(start, options(THREE, { jobs: 0 })), /jobs is 0/);
  await assert.rejects(runHosts(start, options(THREE, { limits: { runMs: 1e12 } })), /runMs/);
});

function fine(kind: "shell" | "module") {
  return kind === "shell" ? { rc: 0 } : { result: { changed: false } };
}
