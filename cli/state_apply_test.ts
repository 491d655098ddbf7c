/** `salar state apply`: what it reads, refuses, prints and ends with. The runs themselves are tested in lib/nanostate/run. */
import assert from "node:assert/strict";
import { runHosts } from "../lib/nanostate/run/hosts.ts";
import type { RunOptions } from "../lib/nanostate/run/run.ts";
import { type FakeHost, farm, target } from "../lib/nanostate/run/testing.ts";
import { HostError } from "../lib/nanostate/transport/transport.ts";
import { run as runSalar, type TestOptions } from "./testing.ts";

const FILES = {
  "/here/web.st": `id: web
import: []
state:
  files: [ansible.copy: {dest: /etc/motd, content: "{greeting()}"}]
  checks ?berlin:
    - shell: [{answers: "curl localhost"}]
`,
  "/here/web.fn": `function greeting() return "hello " .. param("name", "all") end
function berlin() return param("zone", "") == "berlin" end
`,
  "/states/identify.st": "id: identify\nstate:\n  a: [ansible.ping: ]\n",
  "/here/hosts.yaml": `user: ann
params: {zone: hamburg}
groups:
  web: {params: {zone: berlin}}
hosts:
  web-1: {groups: [web]}
  web-2: {groups: [web], port: 2222, become: true}
  db-1: {address: 10.0.0.9, params: {name: db}}
`,
};
const CHANGED: FakeHost = {
  answer: (step) =>
    step.kind === "shell"
      ? { rc: 0 }
      : { result: { changed: true, diff: { before: "old\n", after: "new\n", before_header: "/etc/motd" } } },
};

interface More extends TestOptions {
  hosts?: (name: string) => FakeHost;
}

async function apply(line: string, { hosts = () => ({}), ...more }: More = {}) {
  const farmed = farm(hosts);
  const seen: { options: RunOptions | null; ways: unknown[] } = { options: null, ways: [] };
  const ran = await runSalar(["state", "apply", ...line.split(" ")], {
    ...more,
    files: { ...FILES, ...more.files },
    nanostates: {
      shipped: "/states",
      ways: () => (host) => {
        seen.ways.push(host);
        return Promise.resolve(target(host.address).transport);
      },
      run: (options) => {
        seen.options = options;
        return runHosts(farmed.start, options);
      },
    },
  });
  return { ...ran, ...seen, runs: farmed.runs };
}

Deno.test("a check shows what would change, as a diff, and exits 2; the same without changes exits 0", async () => {
  const check = await apply("web.st --host web-1 --check", { hosts: () => CHANGED });
  assert.equal(check.exit, 2);
  assert.equal(
    check.stdout,
    `web-1
  changed  files/0  ansible.builtin.copy  (web.st:4:11)
           --- /etc/motd
           +++ after
           @@ -1,1 +1,1 @@
           -old
           +new

HOST   OK  CHANGED  FAILED  SKIPPED  UNKNOWN  NOT RUN
web-1   0        1       0        0        0        0
`,
  );
  assert.equal((await apply("web.st --host web-1 --check")).exit, 0);
  const applied = await apply("web.st --host web-1", { hosts: () => CHANGED });
  assert.equal(applied.exit, 0);
  assert.equal(applied.stdout.includes("-old"), false);
});

Deno.test("what a check cannot tell is unknown, and pending", async () => {
  const hosts = () => ({ answer: () => ({ result: { skipped: true, msg: "no check mode" } }) });
  const { exit, stdout } = await apply("web.st --host h --check", { hosts });
  assert.equal(exit, 2);
  assert.match(stdout, /^ {2}unknown {2}files\/0 .*\n {11}no check mode$/m);
});

Deno.test("--json prints an event a line; the last one has the counts and the exit code", async () => {
  const { exit, stdout, stderr } = await apply("web.st --host a b --json", { hosts: () => CHANGED });
  const lines = stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual([exit, stderr], [0, ""]);
  const ofA = lines.filter(({ host }) => host === "a").map(({ type }) => type);
  assert.deepEqual(ofA, ["connecting", "connected", "begin", "step", "host"]);
  const { ms, ...summary } = lines.at(-1);
  assert.equal(typeof ms, "number");
  assert.deepEqual(summary, {
    type: "summary",
    mode: "apply",
    ok: 0,
    changed: 2,
    failed: 0,
    skipped: 0,
    unknown: 0,
    notRun: 0,
    hosts: 2,
    unreachable: 0,
    code: 0,
    exit: 0,
  });
  const host = lines.find(({ type, host }) => type === "host" && host === "b");
  assert.equal(host.result.Groups[0].Response[0].Module, "ansible.builtin.copy");
});

Deno.test("a host that cannot be reached is told apart, and exits 1", async () => {
  const hosts = (name: string) =>
    name === "gone"
      ? { refuses: new HostError("refused", "Cannot reach gone:22: nothing listens") }
      : CHANGED;
  const { exit, stdout, stderr } = await apply("web.st --host gone here", { hosts });
  assert.equal(exit, 1);
  assert.match(stdout, /^gone\n {2}Cannot reach gone:22: nothing listens\n {2}not-run {2}files\/0/);
  assert.match(stdout, /^2 hosts {3}0 {8}1 {7}0 {8}0 {8}0 {8}1$/m);
  assert.match(stderr, /^gone {2}Cannot reach gone:22: nothing listens; not run 1$/m);
});

Deno.test("an inventory gives hosts, groups and parameters; --param comes before it; --host chooses", async () => {
  const all = await apply("web.st --inventory hosts.yaml");
  assert.deepEqual(
    all.ways,
    [
      { address: "web-1", port: null, user: "ann" },
      { address: "web-2", port: 2222, user: "ann" },
      { address: "10.0.0.9", port: null, user: "ann" },
    ].map((way, n) => ({ ...all.ways[n] as object, ...way })),
  );
  assert.deepEqual(all.options?.targets.map(({ name, become }) => [name, become?.user ?? null]), [
    ["web-1", null],
    ["web-2", "root"],
    ["db-1", null],
  ]);
  const sent = all.runs.map((
    { host, run },
  ) => [host, run.groups.length, JSON.stringify(run).includes("hello db")]);
  assert.deepEqual(sent.toSorted(), [["10.0.0.9", 1, true], ["web-1", 2, false], ["web-2", 2, false]]);
  const group = await apply(
    "web.st --inventory hosts.yaml --host web --param zone=lab --become --become-user www",
  );
  assert.deepEqual(group.options?.targets.map(({ name, become }) => [name, become?.user]), [
    ["web-1", "www"],
    ["web-2", "www"],
  ]);
  assert.deepEqual(group.runs.map(({ run }) => run.groups.length), [1, 1]);
});

Deno.test("a state is found by its id among --root folders, then among those that ship", async () => {
  assert.equal((await apply("identify --host h")).exit, 0);
  const files = { "/mine/x.st": "id: identify\nstate:\n  mine: [ansible.ping: ]\n" };
  const own = await apply("identify --host h --root /mine", { files });
  assert.equal(own.runs[0]?.run.groups[0]?.steps[0]?.id, "mine/0");
  const { exit, stderr } = await apply("nowhere --host h");
  assert.equal(exit, 3);
  assert.match(stderr, /Cannot find the state "nowhere" in \/states; there are: identify/);
});

Deno.test("secrets come from the environment, a file or a person, before any host is connected to", async () => {
  const secrets = async (line: string, more: More = {}) => {
    const { options, exit, stderr } = await apply(`identify --host h ${line}`, more);
    if (options === null) return `${exit} ${stderr.split("\n")[0]}`;
    return Object.fromEntries(
      await Promise.all([...options.secrets].map(async ([name, value]) => [name, await value()])),
    );
  };
  const files = { "/here/db.txt": "from file\n" };
  const env = { DB: "from env" };
  assert.deepEqual(await secrets("--secret a=env:DB b=file:db.txt", { files, env }), {
    a: "from env",
    b: "from file",
  });
  assert.deepEqual(await secrets("--secret c=prompt", { terminal: true, stdin: "typed\n" }), { c: "typed" });
  assert.match(String(await secrets("--secret c=prompt")), /^2 .*nobody is there to answer/);
  assert.match(String(await secrets("--secret a=env:NONE")), /^2 .*the variable NONE is not set/);
  assert.match(String(await secrets("--secret a=file:none")), /^2 .*there is no file none/);
  const wrong = String(await secrets("--secret a=hunter2"));
  assert.match(wrong, /^2 .*its source is env:VARIABLE/);
  assert.equal(wrong.includes("hunter2"), false);
  assert.equal(String(await secrets("--secret hunter2")).includes("hunter2"), false);
});

for (
  const [line, exit, why] of [
    ["web.st", 2, /give --host NAME, --host local or --inventory FILE/],
    ["none.st --host h", 3, /there is no such file/],
    ["web.st --host h --out x", 2, /give --check, too/],
    ["web.st --host h --check --plan x", 2, /--plan is for an apply/],
    ["web.st --host h --become-user x", 2, /needs --become/],
    ["web.st --host h --plan none.json", 3, /Cannot read none.json/],
    ["web.st --host h --plan hosts.yaml", 2, /Cannot use the plan hosts.yaml/],
    ["web.st --host h --jobs 0", 2, /"0" as a limit/],
    ["web.st --host h --step-timeout soon", 2, /as a duration/],
    ["web.st --host h --on-failure never", 2, /Allowed choices/],
    ["web.st --inventory none.yaml", 3, /there is no such file/],
    ["web.st --inventory hosts.yaml --host db", 3, /Cannot find "db"/],
    ["web.st --inventory web.st", 2, /Cannot use the inventory web.st/],
  ] as const
) {
  Deno.test(`salar state apply ${line} is refused before anything is connected to`, async () => {
    const { exit: ended, stderr, stdout, options } = await apply(line);
    assert.deepEqual([ended, stdout, options], [exit, "", null], stderr);
    assert.match(stderr, why);
  });
}

Deno.test("--check --out stores a plan, which --plan carries out", async () => {
  const check = await apply("web.st --host h --check --out plan.json", { hosts: () => CHANGED });
  assert.match(check.stderr, /Stored the plan of 1 hosts in plan.json/);
  const files = { "/here/plan.json": check.files.get("/here/plan.json") ?? "" };
  const applied = await apply("web.st --host h --plan plan.json", { hosts: () => CHANGED, files });
  assert.equal(applied.exit, 0, applied.stdout);
  const moved = await apply("web.st --host h --plan plan.json", { files });
  assert.equal(moved.exit, 1);
  assert.match(moved.stdout, /files\/0 \(ansible\.builtin\.copy\) was changed and is ok/);
});

Deno.test("Ctrl-C exits 130 and says what was left on which host", async () => {
  const ending = new AbortController();
  const hosts = () => ({ answer: () => new Promise<never>(() => ending.abort()) });
  const { exit, stderr } = await apply("web.st --host h --param zone=berlin", {
    hosts,
    signal: ending.signal,
  });
  assert.equal(exit, 130);
  assert.match(stderr, / {2}h: files\/0 was cut off, its outcome is unknown; 1 steps did not run/);
});

Deno.test("on a terminal the hosts under way are written over; what they say cannot steer it", async () => {
  const hosts = () => ({ answer: () => ({ result: { failed: true, msg: "\x1b[2Jboo" } }) });
  const { stdout, stderr } = await apply("web.st --host a b", {
    hosts,
    terminal: true,
    env: { NO_COLOR: "1" },
  });
  // deno-lint-ignore no-control-regex -- what moves the cursor is what is looked for
  assert.match(stderr, /\x1b\[\d+A\x1b\[J/);
  assert.match(stderr, /a {2}failed 1/);
  assert.equal((stdout + stderr).includes("\x1b[2J"), false);
  assert.match(stdout, /\?\[2Jboo/);
});
