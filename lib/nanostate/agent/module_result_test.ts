import assert from "node:assert/strict";
import { moduleResult } from "./module_result.ts";

Deno.test("moduleResult() reads from the first line that opens to the last that closes", () => {
  assert.deepEqual(moduleResult('junk\n  {"changed": true,\n "n": 1}  \njunk\n', "", 0), {
    changed: true,
    n: 1,
  });
  assert.deepEqual(moduleResult('{"failed": false}', "", 3), { failed: false });
});

Deno.test("moduleResult() is a failure with all that was said when there is no object", () => {
  for (const stdout of ["", "nothing", '{"cut": ', "}\n{", "[1]", "{1}"]) {
    assert.deepEqual(moduleResult(stdout, "why", 4), {
      failed: true,
      msg: "MODULE FAILURE\nSee stdout/stderr for the exact error",
      module_stdout: stdout,
      module_stderr: "why",
      rc: 4,
    });
  }
});
