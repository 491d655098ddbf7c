/** `salar state`: which files it reads, what it prints and refuses. The language itself is `lib/nanostate/testdata`. */
import assert from "node:assert/strict";
import { run } from "./testing.ts";

const FILES = {
  "/here/states/base.st": "id: base\nstate:\n  packages ?debian: [ansible.apt: {name: nginx}]\n",
  "/here/states/base.fn": 'function debian() return fact("os_family") == param("family", "Debian") end\n',
  "/here/web.st":
    "id: web\ndescription: A server\nstate:\n  serve &base/packages:\n    - shell:\n        - now: date\n",
  "/here/bad.st": "id: bad\nstate:\n  a b: [ansible.ping: ]\n  ~nowhere:\n",
  "/here/debian.json": '{"ansible_facts": {"ansible_os_family": "Debian"}}',
  "/here/suse.json": '{"os_family": "Suse"}',
  "/here/notes.txt": "x",
};
const salar = (line: string) => run(["state", ...line.split(" ")], { files: FILES });

Deno.test("salar state lint prints every problem with its place, and exits 1", async () => {
  const { exit, stdout, stderr } = await salar("lint bad.st ./web.st --root states");
  assert.deepEqual([exit, stderr], [1, ""]);
  assert.equal(
    stdout,
    'bad.st:3:5: error bad-line: "b" cannot stand here; after a group\'s name come &state/group and ?function\n' +
      'bad.st:4:3: error unknown-state: there is no state "nowhere" in the folders given\n',
  );
  const json = await salar("lint bad.st --json");
  assert.deepEqual(JSON.parse(json.stdout).findings[1], {
    severity: "error",
    code: "unknown-state",
    place: { file: "bad.st", line: 4, column: 3 },
    reason: 'there is no state "nowhere" in the folders given',
  });
  assert.deepEqual(
    await salar("lint web.st states/base.fn --root states").then(({ exit, stdout }) => [exit, stdout]),
    [0, ""],
  );
});

Deno.test("salar state graph shows the links, as text, JSON and for Graphviz", async () => {
  const text = await salar("graph web.st --root states");
  assert.equal(
    text.stdout,
    "web (web.st): serve\n  serve depends on base/packages (web.st:4:9)\n" +
      "base (states/base.st, states/base.fn): packages\n",
  );
  const { links } = JSON.parse((await salar("graph web.st --root states --json")).stdout);
  assert.deepEqual(links, [{
    kind: "depends-on",
    from: "web/serve",
    to: "base/packages",
    conditions: [],
    at: "web.st:4:9",
    found: true,
  }]);
  const dot = await salar("graph web.st --root states --dot");
  assert.match(
    dot.stdout,
    /^digraph states \{\n {2}"web" \[shape=box\];\n[^]*"web" -> "base" \[[^\]]*"serve & packages"\];\n\}\n$/,
  );
});

Deno.test("salar state explain compiles for a host's facts and parameters", async () => {
  const debian = await salar("explain web.st --root states --facts debian.json");
  assert.equal(
    debian.stdout,
    "web: A server\nserve\n  ansible.builtin.apt name=nginx (states/base.st:3:22, by base/packages)\n" +
      "  shell (web.st:5:7)\n    now: date\nasks for facts: os_family\nasks for params: family\n",
  );
  const steps = async (line: string) => {
    const { stdout } = await salar(`explain web.st --json --root states ${line}`);
    return JSON.parse(stdout).groups[0].steps.length;
  };
  assert.equal(await steps("--facts debian.json"), 2);
  assert.equal(await steps("--facts suse.json"), 1);
  assert.equal(await steps("--facts suse.json --param other=x family=Suse"), 2);
});

Deno.test("salar state explain says what is missing", async () => {
  const cases: [string, number, RegExp][] = [
    [
      "explain web.st --root states",
      2,
      /base\.st:3:12: \?debian was stopped: fact\("os_family"\) needs the facts[^]*by &base\/packages at web\.st:4:9\nGive them: --facts FILE/,
    ],
    ["explain web.st", 2, /^salar: Cannot compile: web\.st:4:9: there is no state "base"/],
    [
      "explain bad.st",
      2,
      /^salar: Cannot use this state: bad\.st:3:5: error bad-line: [^]*salar state lint bad\.st\n$/,
    ],
    ["explain none.st", 3, /^salar: Cannot read none\.st: there is no such file/],
    ["explain notes.txt", 2, /^salar: Cannot read notes\.txt: names of states end in \.st, \.nst, \.fn\n$/],
    ["explain states/base.fn", 2, /a state is a \.st file/],
    [
      "explain web.st --root states --facts notes.txt",
      2,
      /^salar: Cannot use notes\.txt as facts: it is no JSON/,
    ],
    ["explain web.st --root states --facts none.json", 3, /there is no such file/],
    ["explain web.st --root states --param x", 2, /^salar: Cannot use --param x: write name=value\n$/],
  ];
  for (const [line, code, words] of cases) {
    const { exit, stdout, stderr } = await salar(line);
    assert.deepEqual([exit, stdout], [code, ""], line);
    assert.match(stderr, words);
  }
});
