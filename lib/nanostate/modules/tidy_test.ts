import assert from "node:assert/strict";
import { tidied } from "./tidy.ts";

Deno.test("tidied() adds lines of output, changed and failed", () => {
  assert.deepEqual(tidied({ rc: 3, stdout: "a\r\nb\n\n", stderr: "" }), {
    rc: 3,
    stdout: "a\r\nb\n\n",
    stdout_lines: ["a", "b", ""],
    stderr: "",
    stderr_lines: [],
    failed: true,
    changed: false,
  });
});

Deno.test("tidied() believes what a module says of itself", () => {
  assert.deepEqual(tidied({ failed: false, rc: 1, changed: true }), { failed: false, rc: 1, changed: true });
});

Deno.test("tidied() takes away what is the engine's own, and lists with nothing in them", () => {
  const result = {
    _ansible_parsed: true,
    invocation: { module_args: { password: "x" } },
    warnings: [],
    deprecations: ["old"],
    results: "done",
    ansible_facts: { discovered_interpreter_python: "/usr/bin/python3", kernel: "6.1" },
  };
  assert.deepEqual(tidied(result), {
    deprecations: ["old"],
    ansible_module_results: "done",
    ansible_facts: { kernel: "6.1" },
    failed: false,
    changed: false,
  });
});
