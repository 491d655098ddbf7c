import assert from "node:assert/strict";
import { readArgs } from "./free_form.ts";

const read = (free_form: string) => readArgs("ansible.builtin.command", { free_form });

Deno.test("readArgs() takes a free-form line apart", () => {
  // Each as ansible-core 2.14 and 2.19 read it.
  const cases: [line: string, command: string | undefined, args: Record<string, string>][] = [
    ["echo hi", "echo hi", {}],
    ["touch /x creates=/x", "touch /x", { creates: "/x" }],
    ["creates=/x touch /x", "touch /x", { creates: "/x" }],
    ["env A=b run", "env A=b run", {}],
    ["echo  two   blanks", "echo  two   blanks", {}],
    [`echo "a  b" 'c creates=d'`, `echo "a  b" 'c creates=d'`, {}],
    [`cat chdir="/a b" x`, "cat x", { chdir: "/a b" }],
    [`cat stdin='it''s' x`, "cat x", { stdin: "it''s" }],
    ["one\ntwo creates=/x", "one\ntwo", { creates: "/x" }],
    ["one \\\ntwo", "one two", {}],
    [`printf "a\\tb" stdin=a\\tb`, `printf "a\\tb"`, { stdin: "a\tb" }],
    [`echo \\"open`, `echo \\"open`, {}],
    ["removes=/x", undefined, { removes: "/x" }],
  ];
  for (const [line, command, args] of cases) {
    const wanted = command === undefined ? args : { ...args, _raw_params: command };
    assert.deepEqual(read(line), wanted, line);
  }
});

Deno.test("readArgs() leaves cmd and the arguments beside it as they are", () => {
  assert.deepEqual(readArgs("ansible.builtin.shell", { cmd: "a creates=b", chdir: "/" }), {
    _raw_params: "a creates=b",
    chdir: "/",
  });
  assert.deepEqual(readArgs("ansible.builtin.command", { argv: ["a"] }), { argv: ["a"] });
  assert.deepEqual(readArgs("ansible.builtin.file", { cmd: "x" }), { cmd: "x" });
});

Deno.test("readArgs() refuses two commands and an open quote", () => {
  assert.throws(() => readArgs("ansible.builtin.command", { cmd: "a", free_form: "b" }), /two commands/);
  assert.throws(() => read(`echo "open`), /not closed/);
});
