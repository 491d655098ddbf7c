/** Free-form lines are taken apart as each ansible-core takes them apart. */
import fc from "fast-check";
import assert from "node:assert/strict";
import { readArgs } from "../../lib/nanostate/modules/free_form.ts";
import { ANSIBLE_VERSIONS, ensureAnsible } from "../parts/ansible.ts";
import { run } from "../parts/command.ts";

const ORACLE = `
import json, sys
from ansible.parsing.splitter import parse_kv
for line in json.load(open(sys.argv[1])):
    try:
        answer = parse_kv(line, check_raw=True)
    except Exception:
        answer = None
    print(json.dumps(answer))
`;
const LINES = 2_000;

const words = [
  "echo",
  "creates=/x",
  "chdir='/a b'",
  'stdin="x',
  'y"',
  "A=b",
  "it\\'s",
  "\\",
  "\\n",
  "'",
  '"',
  "=",
  "a\\=b",
];
const line = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...words) },
    fc.constantFrom(" ", "  ", "\n", "\t"),
  ),
  { minLength: 1, maxLength: 8 },
).map((parts) => parts.join(" "));

for (const version of ANSIBLE_VERSIONS) {
  Deno.test(`readArgs() reads a free-form line as ansible-core ${version} does`, async () => {
    const { python } = await ensureAnsible(version);
    const lines = fc.sample(line, { numRuns: LINES, seed: 5 });
    const file = await Deno.makeTempFile({ suffix: ".json" });
    try {
      await Deno.writeTextFile(file, JSON.stringify(lines));
      const { stdout } = await run(python, ["-c", ORACLE, file], { limitMs: 60_000 });
      const answers = stdout.trimEnd().split("\n").map((each) => JSON.parse(each));
      assert.equal(answers.length, LINES);
      for (const [n, each] of lines.entries()) {
        // 2.14 breaks on a line that begins with a blank, which 2.19 reads.
        const isBroken = version === "2.14.18" && answers[n] === null;
        if (!isBroken) assert.deepEqual(read(each), answers[n], JSON.stringify(each));
      }
      assert.ok(answers.filter((answer) => answer !== null).length > LINES / 4, "most lines can be read");
    } finally {
      await Deno.remove(file);
    }
  });
}

/** Null for a line that is refused. */
function read(free_form: string) {
  try {
    return readArgs("ansible.builtin.command", { free_form });
  } catch {
    return null;
  }
}
