import assert from "node:assert/strict";
import { deprecation, failureText, summaryText, traceback } from "./summaries.ts";

const event = (msg: string, more = {}) => ({ __ansible_type: "Event", msg, ...more });

Deno.test("summaryText() is the message with its causes, none of them twice", () => {
  const cause = {
    follow: true,
    event: event("no space.", { chain: { follow: true, event: event("no space.") } }),
  };
  const summary = { __ansible_type: "WarningSummary", event: event("Cannot write.", { chain: cause }) };
  assert.equal(summaryText(summary), "Cannot write: no space.");
});

Deno.test("summaryText() and deprecation() leave what older modules give", () => {
  for (const each of ["a text", { msg: "old", version: "2.9" }, null]) {
    assert.deepEqual([summaryText(each), deprecation(each)], [each, each]);
  }
});

Deno.test("deprecation() names the collection, and the version or the date", () => {
  const deprecator = {
    __ansible_type: "PluginInfo",
    resolved_name: "ansible.builtin.apt",
    type: { value: "module" },
  };
  const summary = { __ansible_type: "DeprecationSummary", event: event("old"), deprecator };
  const known = {
    msg: "old",
    collection_name: "ansible.builtin",
    deprecator: { resolved_name: "ansible.builtin.apt", type: "module" },
  };
  assert.deepEqual(deprecation({ ...summary, version: "2.22" }), { ...known, version: "2.22" });
  assert.deepEqual(deprecation({ ...summary, date: "2030-01-01" }), { ...known, date: "2030-01-01" });
});

Deno.test("failureText() speaks for a module that only gives its exception", () => {
  const exception = (msg: string) => ({ __ansible_type: "ErrorSummary", event: event(msg) });
  assert.equal(failureText({ exception: exception("boom") }), "Task failed: Module failed: boom");
  assert.equal(failureText({ exception: exception("") }), "Task failed: Module failed.");
  assert.equal(failureText({ exception: exception("boom"), msg: "own" }), null);
  assert.equal(failureText({ exception: "Traceback" }), null);
});

Deno.test("traceback() is a text, or nothing", () => {
  const formatted_traceback = "Traceback …";
  assert.equal(
    traceback({ __ansible_type: "ErrorSummary", event: event("x", { formatted_traceback }) }),
    formatted_traceback,
  );
  assert.equal(traceback({ __ansible_type: "ErrorSummary", event: event("x") }), null);
  assert.equal(traceback("Traceback"), "Traceback");
});
