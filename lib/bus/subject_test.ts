import assert from "node:assert/strict";
import { isSalarError } from "../errors.ts";
import { BUS_SUBJECT_CHARS_MAX } from "../limits.ts";
import { checkPattern, checkSubject, matcher, overlap } from "./subject.ts";

const accepts = (check: (action: string, value: string) => void, value: string): boolean => {
  try {
    check("Cannot test", value);
    return true;
  } catch (error) {
    assert.ok(isSalarError(error, "bad-input"));
    return false;
  }
};

Deno.test("checkSubject() and checkPattern() take what the table says", () => {
  const longest = "a".repeat(BUS_SUBJECT_CHARS_MAX);
  // value, is a subject, is a pattern
  const table: [string, boolean, boolean][] = [
    ["a", true, true],
    ["salar.node.ab-C_9.beat", true, true],
    [longest, true, true],
    [longest + "a", false, false],
    ["", false, false],
    [".a", false, false],
    ["a.", false, false],
    ["a..b", false, false],
    ["a b", false, false],
    ["a\r\nPUB x 0", false, false],
    ["a.b\n", false, false],
    ["$JS.API.INFO", false, false],
    ["grün", false, false],
    ["*", false, true],
    [">", false, true],
    ["a.*.b", false, true],
    ["*.*.>", false, true],
    ["a.>", false, true],
    [">.a", false, false],
    ["a.>.b", false, false],
    ["a*", false, false],
    ["a.b>", false, false],
  ];
  for (const [value, subject, pattern] of table) {
    assert.equal(accepts(checkSubject, value), subject, `subject ${JSON.stringify(value)}`);
    assert.equal(accepts(checkPattern, value), pattern, `pattern ${JSON.stringify(value)}`);
  }
});

Deno.test("matcher() and overlap() follow the table", () => {
  const table: [string, string, boolean][] = [
    ["a.b", "a.b", true],
    ["a.b", "a.c", false],
    ["a.b", "a.b.c", false],
    ["a.b.c", "a.b", false],
    ["*", "a", true],
    ["*", "a.b", false],
    ["a.*.c", "a.b.c", true],
    ["a.*.c", "a.b.d", false],
    ["a.*", "a", false],
    [">", "a.b.c", true],
    ["a.>", "a.b", true],
    ["a.>", "a.b.c.d", true],
    ["a.>", "a", false],
    ["*.b.>", "a.b.c", true],
    ["*.b.>", "a.c.c", false],
  ];
  for (const [pattern, subject, taken] of table) {
    assert.equal(matcher(pattern)(subject), taken, `${pattern} takes ${subject}`);
    assert.equal(overlap(pattern, subject), taken, `${pattern} overlaps ${subject}`);
  }
  const patterns: [string, string, boolean][] = [
    ["a.*", "*.b", true],
    ["a.>", "a.*.c", true],
    ["a.*", "b.*", false],
    ["a.*", "a.*.*", false],
    ["a.>", "a", false],
    [">", "*", true],
  ];
  for (const [left, right, both] of patterns) {
    assert.equal(overlap(left, right), both, `${left} and ${right}`);
    assert.equal(overlap(right, left), both, `${right} and ${left}`);
  }
});
