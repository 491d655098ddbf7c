import assert from "node:assert/strict";
import { runHosts } from "./hosts.ts";
import { readStoredPlan, storedPlan } from "./stored_plan.ts";
import { farm, options, outcomes } from "./testing.ts";

const FILES = {
  "s.st": "id: s\nstate:\n  a ?debian: [ansible.copy: {dest: /x}]\n  b: [ansible.ping: ]\n",
  "s.fn": 'function debian() return fact("os_family") == "Debian" end\n',
};

/** A host of this family, whose file has this text. */
function host(family: string, before: string | null) {
  return farm(() => ({
    facts: { os_family: family },
    answer: (step, run) => {
      const isCopy = step.kind === "module" && step.module === "ansible.builtin.copy";
      if (!isCopy || before === null) return { result: { changed: false } };
      const diff = { before, after: "new", before_header: `/tmp/${Math.random()}` };
      return { result: { changed: true, ...run.diff ? { diff } : {} } };
    },
  }));
}

async function stored() {
  const check = await runHosts(host("Debian", "old").start, options(FILES, { mode: "check" }));
  return readStoredPlan(JSON.stringify(storedPlan("s", check)));
}

Deno.test("a stored plan is carried out where a check still says the same", async () => {
  const { start, runs } = host("Debian", "old");
  const result = await runHosts(start, options(FILES, { stored: await stored() }));
  assert.deepEqual(outcomes(result), ["h a/0 changed", "h b/0 ok"]);
  assert.deepEqual(runs.map(({ run }) => run.check), [true, true, false]); // facts, the check, the apply
});

for (
  const [what, family, before, why] of [
    ["has another content", "Debian", "other", /a\/0 \(ansible\.builtin\.copy\) would change something else/],
    ["has what was wanted", "Debian", null, /a\/0 \(ansible\.builtin\.copy\) was changed and is ok/],
    ["has another fact", "Suse", "old", /the fact os_family was "Debian" and is "Suse"/],
  ] as const
) {
  Deno.test(`a stored plan is not carried out on a host that ${what}`, async () => {
    const { start, runs } = host(family, before);
    const result = await runHosts(start, options(FILES, { stored: await stored() }));
    assert.equal(result.code, 1);
    assert.match(result.hosts[0]?.message ?? "", why);
    assert.equal(runs.some(({ run }) => !run.check), false);
    assert.equal(outcomes(result).every((line) => line.endsWith("not-run")), true);
  });
}

Deno.test("a stored plan is not carried out with another state, or on a host that was not checked", async () => {
  const plan = await stored();
  const { start } = host("Debian", "old");
  const files = { ...FILES, "s.st": FILES["s.st"].replace("/x", "/y") };
  const other = await runHosts(start, options(files, { stored: plan }));
  assert.match(other.hosts[0]?.message ?? "", /the state or its parameters are not those/);
  const strange = await runHosts(start, options(FILES, { stored: { ...plan, hosts: {} } }));
  assert.match(strange.hosts[0]?.message ?? "", /was not checked to its end/);
  await assert.rejects(runHosts(start, options(FILES, { stored: { ...plan, id: "t" } })), /of the state "t"/);
});

Deno.test("storedPlan() holds nothing of a host's files", async () => {
  assert.equal(JSON.stringify(await stored()).includes("old"), false);
});

Deno.test("readStoredPlan() refuses what is no stored plan", () => {
  for (const text of ["{}", "[]", '{"version":1,"id":"s","hosts":{"h":{"plan":"x"}}}', '{"version":2}']) {
    assert.throws(() => readStoredPlan(text), /no stored plan/);
  }
});
