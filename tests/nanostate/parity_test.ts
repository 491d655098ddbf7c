/** Every builtin module that can run on such a host gives what `ansible -m` gives, with both versions; the table says so. */
import assert from "node:assert/strict";
import { ANSIBLE_VERSIONS, type AnsibleVersion } from "../parts/ansible.ts";
import { type Answers, answersOf, casesOf, differencesOf } from "./parity.ts";
import { type Differing, MODES, type ParityCase } from "./parity_cases.ts";
import { builtinModules, parityTable, REWRITE, TABLE, withoutCase } from "./parity_table.ts";

const SHOWN_CHARS_MAX = 400;

/** What is wrong with one case; nothing when all is as it is declared. */
function problemsOf(n: number, test: ParityCase, version: AnsibleVersion, [ansible, salar]: Both): string[] {
  const name = `${test.module} ${JSON.stringify(test.args)}`;
  const differs = (test.differs ?? []).filter(({ versions }) => versions?.includes(version) ?? true);
  const gone = ({ key }: Differing) => {
    const others = differs.filter((each) => each.key !== key);
    return differencesOf(n, ansible, salar, others).length === 0;
  };
  return [
    ...differencesOf(n, ansible, salar, differs).map(({ mode, key, ...sides }) =>
      `${name}, ${mode}: ${key} is ${shown(sides.ansible)} by Ansible, ${shown(sides.salar)} by Salar`
    ),
    ...differs.filter(gone).map(({ key }) => `${name}: ${key} is equal by now, and declared to differ`),
    ...MODES.filter((mode) => test.refusal !== undefined && salar[mode][n]?.["failed"] !== true)
      .map((mode) => `${name}, ${mode}: is declared as a refusal, and did not fail`),
  ];
}

/** A module that fails whatever it is given shows nothing, unless that is said. */
function onlyFailing(cases: readonly ParityCase[], { check, fresh }: Answers): string[] {
  const isGood = (n: number) => (fresh[n] ?? check[n])?.["failed"] !== true;
  const shows = new Set(cases.flatMap(({ module, refusal }, n) => isGood(n) || refusal ? [module] : []));
  return cases.filter(({ module }) => !shows.has(module)).map(({ module }) =>
    `${module} has no case that goes well`
  );
}

type Both = [ansible: Answers, salar: Answers];

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "nothing").slice(0, SHOWN_CHARS_MAX);
}

Deno.test("modules give what `ansible -m` gives: in check mode, fresh, and again", async (t) => {
  const answers = await Promise.all(
    ANSIBLE_VERSIONS.map(async (version) =>
      [version, await Promise.all([answersOf("ansible", version), answersOf("salar", version)])] as const
    ),
  );
  for (const [version, both] of answers) {
    await t.step(`ansible-core ${version}`, () => {
      const cases = casesOf(version);
      const problems = cases.flatMap((test, n) => problemsOf(n, test, version, both));
      assert.equal([...problems, ...onlyFailing(cases, both[0])].join("\n"), "");
    });
  }
});

Deno.test("the table of parity has every builtin module, and is not stale", async () => {
  const modules = await builtinModules();
  for (const [version, names] of modules) assert.deepEqual(withoutCase(version, names), []);
  assert.equal(await Deno.readTextFile(TABLE), parityTable(modules), `stale: ${REWRITE}`);
});
