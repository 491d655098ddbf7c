/** What transcripts do not show: the prototype's defects by name, hostile files, and that the same gives the same. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { RESULT_CODES, worstCode } from "./codes.ts";
import { compileState } from "./compile.ts";
import { NANOSTATE_CODES, NanostateError } from "./errors.ts";
import type { Inputs } from "./functions.ts";
import { lintStates } from "./lint.ts";
import { DEPTH_MAX, FILE_BYTES_MAX, NODES_MAX, STEPS_MAX } from "./limits.ts";
import { type Plan, planJson, type PlanStep } from "./plan.ts";
import { withSecrets } from "./secrets.ts";
import { readState } from "./state.ts";
import { indexStates } from "./state_index.ts";

type Files = Readonly<Record<string, string>>;

const bytes = (text: string) => new TextEncoder().encode(text);
const indexOf = (files: Files) =>
  indexStates(Object.entries(files).map(([path, text]) => ({ path, bytes: bytes(text) })));
const compile = (files: Files, id: string, inputs: Inputs = {}): Plan =>
  compileState(indexOf(files), id, inputs);
const stepsOf = (plan: Plan, group: string): PlanStep[] =>
  plan.groups.find(({ name }) => name === group)?.steps ?? [];
const shortOf = (step: PlanStep) =>
  step.kind === "module" ? `${step.module.split(".").at(-1)} ${Object.values(step.args)}` : "shell";

function failure(work: () => unknown): NanostateError {
  try {
    work();
  } catch (error) {
    if (error instanceof NanostateError) return error;
    throw error;
  }
  throw new assert.AssertionError({ message: "nothing was refused" });
}

// --- Defects of the prototype

Deno.test("defect: a dependency on three jobs does not repeat the own steps three times", () => {
  const base =
    "id: base\nstate:\n  a: [ansible.apt: {name: a}]\n  b: [ansible.apt: {name: b}]\n  c: [ansible.apt: {name: c}]\n";
  const web = "id: web\nstate:\n  g &base/a:b:c: [ansible.apt: {name: own}]\n";
  const steps = stepsOf(compile({ "base.st": base, "web.st": web }, "web"), "g");
  assert.deepEqual(steps.map(shortOf), ["apt a", "apt b", "apt c", "apt own"]);
});

Deno.test("defect: the loop of a group with a dependency is expanded", () => {
  const files = {
    "base.st": "id: base\nstate:\n  a: [ansible.ping: ]\n",
    "web.st": "id: web\nstate:\n  g &base/a:\n    - ansible.user []f:\n",
    "web.fn": 'function f() return {{name = "x"}, {name = "y"}} end\n',
  };
  assert.deepEqual(stepsOf(compile(files, "web"), "g").map(shortOf), ["ping ", "user x", "user y"]);
});

Deno.test("defect: a dependency and a condition stand on one line, in any order", () => {
  const base = "id: base\nstate:\n  a: [ansible.ping: ]\n";
  for (const marks of ["&base/a ?yes", "?yes &base/a", "?no &base/a ?yes"]) {
    const web = `id: web\nstate:\n  g ${marks}: [ansible.setup: ]\n`;
    const fn = "function yes() return true end function no() return false end\n";
    assert.equal(
      stepsOf(compile({ "base.st": base, "web.st": web, "web.fn": fn }, "web"), "g").length,
      2,
      marks,
    );
  }
});

Deno.test("defect: a loop does not discard the other steps of its group", () => {
  const files = {
    "a.st": "id: a\nstate:\n  g:\n    - ansible.ping:\n    - ansible.user []f:\n    - ansible.setup:\n",
    "a.fn": 'function f() return {{name = "x"}} end\n',
  };
  assert.deepEqual(stepsOf(compile(files, "a"), "g").map(shortOf), ["ping ", "user x", "setup "]);
});

Deno.test("defect: numbers pass through with their type, from YAML and from functions", () => {
  const files = {
    "a.st":
      'id: a\nimport: []\nstate:\n  g:\n    - ansible.x: {n: 1, f: 1.5, e: "{n()}"}\n    - ansible.x []l:\n',
    "a.fn": "function n() return 2 end function l() return {{n = 3, f = 2.5}} end\n",
  };
  const args = stepsOf(compile(files, "a"), "g").map((step) => step.kind === "module" ? step.args : {});
  assert.deepEqual(args, [{ n: 1, f: 1.5, e: 2 }, { n: 3, f: 2.5 }]);
});

Deno.test("defect: two modules in one list item are an error that names the line", () => {
  const error = failure(() =>
    compile({ "a.st": "id: a\nstate:\n  g:\n    - ansible.ping:\n      ansible.setup:\n" }, "a")
  );
  assert.deepEqual([error.code, error.place], ["bad-state", { file: "a.st", line: 5, column: 7 }]);
});

Deno.test("defect: groups called c++ and a&b are groups", () => {
  const plan = compile({ "a.st": "id: a\nstate:\n  c++: [ansible.ping: ]\n  a&b: [ansible.ping: ]\n" }, "a");
  assert.deepEqual(plan.groups.map(({ name }) => name), ["c++", "a&b"]);
});

Deno.test("defect: mutual includes and a self-include end, with the chain", () => {
  const files = {
    "a.st": "id: a\nstate:\n  ~b:\n",
    "b.st": "id: b\nstate:\n  ~a:\n",
    "c.st": "id: c\nstate:\n  ~c:\n",
  };
  const mutual = failure(() => compile(files, "a"));
  assert.deepEqual([mutual.code, mutual.chain.map(({ text }) => text)], ["cycle", ["~b"]]);
  assert.match(mutual.reason, /a ~ b ~ a$/);
  assert.match(failure(() => compile(files, "c")).reason, /c ~ c$/);
});

Deno.test("defect: codes roll up, the worst of the children", () => {
  const { ok, failed, notRun, unreachable } = RESULT_CODES;
  assert.equal(worstCode([]), ok);
  assert.equal(worstCode([ok, ok]), ok);
  assert.equal(worstCode([ok, notRun, ok]), notRun);
  assert.equal(worstCode([notRun, failed, ok]), failed);
  assert.equal(worstCode([failed, unreachable]), unreachable);
});

Deno.test("defect: a command is one line, unsplit, and a module has one key wherever it runs", () => {
  const state =
    "id: a\nstate:\n  g:\n    - shell: [{x: \"echo 'a  b' | wc -c\"}]\n    - ansible.system.user: {name: x}\n    - ansible.user: {name: x}\n";
  const [shell, old, short] = stepsOf(compile({ "a.st": state }, "a"), "g");
  assert.deepEqual(shell?.kind === "shell" ? shell.commands : [], [{
    name: "x",
    run: "echo 'a  b' | wc -c",
  }]);
  assert.equal(old?.kind === "module" ? old.module : "", "ansible.builtin.user");
  assert.equal(short?.kind === "module" ? short.module : "", "ansible.builtin.user");
});

// --- Bounds

Deno.test("a file too large, not UTF-8, too deep or repeating itself by aliases is refused", () => {
  const reasons = (content: Uint8Array) =>
    readState("a.st", content).findings.map(({ reason }) => reason).join("\n");
  assert.match(reasons(new Uint8Array(FILE_BYTES_MAX + 1)), /more than \d+ bytes/);
  assert.match(reasons(Uint8Array.of(0x69, 0xff)), /not UTF-8/);
  assert.match(
    reasons(bytes(`id: a\nx: ${"[".repeat(DEPTH_MAX)}${"]".repeat(DEPTH_MAX)}`)),
    /deep in each other/,
  );
  assert.match(reasons(bytes(`id: a\nx: ${"[".repeat(100_000)}`)), /./);
  assert.match(reasons(bytes("id: a\nx: &a [*a]\n")), /deep in each other/);
  const bomb = [
    "&a0 [1]",
    ...Array.from({ length: 20 }, (_none, n) => `&a${n + 1} [${`*a${n},`.repeat(10)}]`),
  ];
  assert.match(
    reasons(bytes(`id: a\nx:\n${bomb.map((line) => `  - ${line}\n`).join("")}`)),
    new RegExp(`more than ${NODES_MAX} values`),
  );
});

Deno.test("states that double each other meet the bound of steps", () => {
  const layer = (n: number) =>
    `id: s${n}\nstate:\n  g &s${n - 1}/g &s${n - 1}/h: [ansible.ping: ]\n  h &s${n - 1}/h &s${
      n - 1
    }/g: [ansible.ping: ]\n`;
  const files: Record<string, string> = {
    "s0.st": "id: s0\nstate: {g: [ansible.ping: ], h: [ansible.ping: ]}\n",
  };
  for (let n = 1; n <= 60; n++) files[`s${n}.st`] = layer(n);
  assert.equal(stepsOf(compile(files, "s60"), "g").length, 121); // each step once, however many ways lead to it
  const many = `function f() local l = {} for n = 1, ${
    STEPS_MAX + 1
  } do l[n] = {name = "x"} end return l end\n`;
  const error = failure(() =>
    compile({ "a.st": "id: a\nstate:\n  g:\n    - ansible.user []f:\n", "a.fn": many }, "a")
  );
  assert.equal(error.code, "limit");
});

Deno.test("what a function returns cannot grow on the way to JSON", () => {
  const result = (code: string) =>
    failure(() => compile({ "a.st": "id: a\nstate:\n  g:\n    - ansible.user []f:\n", "a.fn": code }, "a"));
  assert.equal(result("function f() local t = {} t[1] = t return t end").code, "bad-result");
  assert.equal(
    result("function f() local t = {1} for i = 1, 25 do t = {t, t} end return {{x = t}} end").code,
    "limit",
  );
  assert.equal(result("function f() return {{x = 0/0}} end").code, "bad-result");
  assert.equal(result("function f() return {{x = 2^60}} end").code, "bad-result");
  assert.equal(result("function f() return {{x = '\\255'}} end").code, "bad-result");
  assert.equal(result("function f() return {{x = f}} end").code, "bad-result");
  assert.equal(result("function f() return {{x = {1, y = 2}}} end").code, "bad-result");
  assert.equal(result("function f() return {{['$text'] = {'x'}}} end").code, "bad-result");
});

Deno.test("a name such as __proto__ is a name", () => {
  const files = {
    "a.st": "id: a\nstate:\n  g:\n    - ansible.x: {__proto__: {y: 1}}\n    - ansible.x []f:\n",
    "a.fn": "function f() return {{__proto__ = {y = 1}}} end\n",
  };
  for (const step of stepsOf(compile(files, "a"), "g")) {
    assert.deepEqual(step.kind === "module" ? Object.entries(step.args) : [], [["__proto__", { y: 1 }]]);
  }
});

// --- Secrets

Deno.test("secrets are put in by name; neither a host's facts nor a state can forge one", () => {
  const files = {
    "a.st":
      "id: a\nimport: []\nstate:\n  g: \n    - ansible.x: {p: \"a{secret('k')}b\", q: \"{fact('f')}\"}\n",
  };
  const plan = compile(files, "a", { facts: { f: "plain" } });
  const filled = withSecrets(planJson(plan), (name) => `<${name}>`);
  assert.deepEqual(JSON.parse(JSON.stringify(filled)).groups[0].steps[0].args, { p: "a<k>b", q: "plain" });
  const forged = failure(() => compile(files, "a", { facts: { f: "\uFDD0k\uFDD1" } }));
  assert.deepEqual([forged.code, forged.reason.includes("reserved")], ["bad-value", true]);
  const inState = { "a.st": 'id: a\nstate:\n  g: [ansible.x: {p: "\\uFDD0k\\uFDD1"}]\n' };
  assert.equal(failure(() => compile(inState, "a")).code, "bad-value");
});

Deno.test("a failing function does not show a secret, nor the marker of one", () => {
  const files = {
    "a.st": "id: a\nstate:\n  g ?f: [ansible.ping: ]\n",
    "a.fn": 'function f() error("no " .. secret("k"), 0) end\n',
  };
  assert.equal(failure(() => compile(files, "a")).reason, "?f failed: no ‹secret k›");
});

// --- The same gives the same

const SAMPLE: Files = {
  "web.st":
    "id: web\nimport: [lib]\nstate:\n  ~base:\n  g &base/a ?yes:\n    - ansible.user []people:\n    - shell: [{x: \"echo {lib.name('n')}\"}]\n",
  "web.fn": 'function yes() return fact("os") ~= nil end\nfunction people() return lib.all() end\n',
  "lib.fn":
    'function name(x) return x .. "!" end\nfunction all() local r = {} for i = 1, 3 do r[i] = {name = name("u" .. i)} end return r end\n',
  "base.st": "id: base\nstate:\n  a: [ansible.ping: ]\n  b: [ansible.apt: {name: [x, y], n: 1.5}]\n",
};

Deno.test("the same state and inputs give the same bytes, from a fresh index and from a used one", () => {
  const inputs = { facts: { os: "x" }, params: {} };
  const index = indexOf(SAMPLE);
  const texts = [
    compile(SAMPLE, "web", inputs),
    compileState(index, "web", inputs),
    compileState(index, "web", inputs),
  ]
    .map((plan) => JSON.stringify(plan));
  assert.equal(new Set(texts).size, 1);
  assert.deepEqual(JSON.parse(texts[0] ?? ""), compile(SAMPLE, "web", inputs));
});

Deno.test("one index serves 10,000 compilations, whatever functions did in those before", () => {
  const index = indexOf({
    "a.st": "id: a\nstate:\n  g:\n    - ansible.x []f:\n",
    "a.fn": "count = 0\nfunction f() count = count + 1 string.upper = nil return {{n = count}} end\n",
  });
  for (let n = 0; n < 10_000; n++) {
    const [step] = stepsOf(compileState(index, "a"), "g");
    assert.deepEqual(step?.kind === "module" ? step.args : null, { n: 1 });
  }
});

Deno.test("damaged files are refused with a place, and never break the compiler or lint", () => {
  const damage = fc.record({
    file: fc.nat(),
    at: fc.nat(),
    length: fc.nat(4),
    text: fc.string({ maxLength: 4, unit: fc.constantFrom(..."~+&?[]{}():-\n\t \"'aé/|>*#%\\") }),
  });
  const names = Object.keys(SAMPLE);
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 3 }), (damages) => {
      const files: Record<string, string> = { ...SAMPLE };
      for (const { file, at, length, text } of damages) {
        const name = names[file % names.length] ?? "web.st";
        const whole = files[name] ?? "";
        const from = at % (whole.length + 1);
        files[name] = whole.slice(0, from) + text + whole.slice(from + length);
      }
      const index = indexOf(files);
      const findings = lintStates(index, names);
      assert.ok(findings.every(({ place }) => place.line >= 1 && place.column >= 1));
      try {
        compileState(index, "web", { facts: { os: "x" }, params: {} });
      } catch (error) {
        assert.ok(error instanceof NanostateError, String(error));
      }
    }),
    { numRuns: 500, seed: 5 },
  );
});

Deno.test("docs/nanostate.md lists exactly the codes of NANOSTATE_CODES", async () => {
  const page = await Deno.readTextFile(new URL("../../docs/nanostate.md", import.meta.url));
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (.+) \|$/gm)].map((
    [, code, meaning],
  ) => [code, meaning]);
  assert.deepEqual(rows, Object.entries(NANOSTATE_CODES));
});
