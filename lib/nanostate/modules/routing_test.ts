import assert from "node:assert/strict";
import { builtinRouting, routingOf } from "./routing.ts";

const RUNTIME = `plugin_routing:
  modules:
    # a comment
    old_name:
      redirect: ns.coll.new_name
    gone:
      tombstone: {removal_version: 1.0.0, warning_text: Use other instead.}
    going:
      deprecation: {removal_version: 9.0.0}
  module_utils:
    a.b:
      redirect: ns.coll.c
action_groups: {}
`;

for (const [name, read] of Object.entries({ routingOf, builtinRouting })) {
  Deno.test(`${name}() tells where a plugin is now, and what was removed`, () => {
    const routing = read(RUNTIME);
    assert.deepEqual(routing("modules", "old_name"), { redirect: "ns.coll.new_name", removed: null });
    assert.deepEqual(routing("modules", "gone"), { redirect: null, removed: "Use other instead." });
    assert.deepEqual(routing("modules", "going"), { redirect: null, removed: null });
    assert.deepEqual(routing("module_utils", "a.b"), { redirect: "ns.coll.c", removed: null });
    assert.equal(routing("modules", "a.b"), null);
    assert.equal(routing("action", "old_name"), null);
    assert.equal(routing("modules", "constructor"), null);
  });
}

Deno.test("routingOf() takes files of any content", () => {
  for (const text of ["", "plugin_routing:", "- a", "plugin_routing: {modules: [a]}"]) {
    assert.equal(routingOf(text)("modules", "a"), null, text);
  }
});
