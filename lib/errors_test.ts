import assert from "node:assert/strict";
import { assert as belief, ERROR_CODES, isSalarError, messageOf, SalarError } from "./errors.ts";

Deno.test("docs/errors.md lists exactly the codes of ERROR_CODES, with status and retry", async () => {
  const page = await Deno.readTextFile(new URL("../docs/errors.md", import.meta.url));
  const rows = [...page.matchAll(/^\| `([a-z-]+)` \| (\d{3}) \| (yes|no) \|/gm)];
  const listed = rows.map((
    [, code, status, retry],
  ) => [code, { status: Number(status), retry: retry === "yes" }]);
  assert.equal(new Set(listed.map(([code]) => code)).size, listed.length, "no code twice");
  assert.deepEqual(Object.fromEntries(listed), ERROR_CODES);
});

Deno.test("SalarError tells code, status, retry, detail and cause", () => {
  const cause = new Error("inner");
  const error = new SalarError("unavailable", "Cannot reach store: gone", { cause, detail: { host: "a" } });
  assert.deepEqual([error.name, error.code, error.status, error.retry], [
    "SalarError",
    "unavailable",
    503,
    true,
  ]);
  assert.deepEqual([error.cause, error.detail], [cause, { host: "a" }]);
  assert.deepEqual(new SalarError("conflict", "Cannot").detail, {});
});

Deno.test("isSalarError() asks for the class, and for the code where one is named", () => {
  const error = new SalarError("stale", "Cannot");
  assert.ok(isSalarError(error) && isSalarError(error, "stale"));
  assert.ok(!isSalarError(error, "conflict") && !isSalarError(new Error("stale")) && !isSalarError(null));
});

Deno.test("messageOf() gives the text of anything thrown", () => {
  assert.deepEqual([new Error("a"), "b", 3, null].map(messageOf), ["a", "b", "3", "null"]);
});

Deno.test("assert() throws only when the belief is false", () => {
  belief(true, "it holds");
  assert.throws(() => belief(0, "one is one"), /Assertion failed: one is one/);
});
