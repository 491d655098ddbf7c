import assert from "node:assert/strict";
import { explained, judge, readSummary } from "./summary.ts";

Deno.test("readSummary() reads the closing line through colours and steps", () => {
  const line =
    "\x1b[0m\x1b[31mFAILED\x1b[0m | 12 passed (3 steps) | 2 failed (1 step) \x1b[38;5;245m(9ms)\x1b[0m\n";
  assert.deepEqual(readSummary(`running 14 tests from ./a_test.ts\n\n${line}\n`), { passed: 12, failed: 2 });
});

Deno.test("readSummary() counts ignored tests as failed", () => {
  assert.deepEqual(readSummary("ok | 3 passed | 0 failed | 2 ignored (1s)\n"), { passed: 3, failed: 2 });
});

Deno.test("readSummary() takes the last line, since a test may print another", () => {
  const output = "ok | 100 passed | 0 failed (1s)\nFAILED | 1 passed | 1 failed (1s)\n";
  assert.deepEqual(readSummary(output), { passed: 1, failed: 1 });
});

Deno.test("readSummary() gives null where there is none", () => {
  assert.equal(readSummary("error: Type checking failed.\n"), null);
});

Deno.test("judge() makes a crash, an empty group and a bad exit code one failure each", () => {
  assert.equal(judge(null, 137).failed, 1);
  assert.match(judge({ passed: 0, failed: 0 }, 0).reason ?? "", /no test found/);
  assert.deepEqual(judge({ passed: 5, failed: 0 }, 1).failed, 1);
  assert.deepEqual(judge({ passed: 5, failed: 2 }, 1), { passed: 5, failed: 2 });
  assert.deepEqual(judge({ passed: 5, failed: 0 }, 0), { passed: 5, failed: 0 });
});

Deno.test("explained() quotes what deno test says of failures, without its own frames", () => {
  const output = `a ... ok\nb ... FAILED\n
\x1b[0m\x1b[1m\x1b[37m\x1b[41m ERRORS \x1b[0m

b => ./a_test.ts:1:6
error: Error: broken
    at file:///a_test.ts:1:69
    at exitSanitizer (ext:cli/40_test.js:201:33)

 FAILURES${" "}

b => ./a_test.ts:1:6
`;
  assert.deepEqual(explained(output), [
    "b => ./a_test.ts:1:6",
    "error: Error: broken",
    "    at file:///a_test.ts:1:69",
  ]);
});

Deno.test("explained() gives the last lines of a run that crashed, and says how many it left", () => {
  const lines = explained(Array.from({ length: 500 }, (_, index) => `line ${index}`).join("\n"));
  assert.equal(lines[0], "... 420 more lines above ...");
  assert.equal(lines.at(-1), "line 499");
});
