import assert from "node:assert/strict";
import { FAULTS, UyuniFault } from "./faults.ts";
import type { FaultKind } from "./faults.ts";

Deno.test("UyuniFault.parse() tells apart the many faults of code -1", () => {
  const said: [string, FaultKind][] = [
    [
      "com.redhat.rhn.common.hibernate.LookupException: Could not find session with id: 12",
      "session-expired",
    ],
    [
      "redstone.xmlrpc.XmlRpcFault: unhandled internal exception: Could not find session with id: 12",
      "session-expired",
    ],
    [
      "com.redhat.rhn.domain.session.InvalidSessionIdException: Session id: 1xab is not valid.",
      "session-invalid",
    ],
    ["The specified handler cannot be found", "no-such-handler"],
    ["redstone.xmlrpc.XmlRpcFault: Could not find method: x in class: Y with params: []", "no-such-method"],
    ["com.redhat.rhn.common.translation.TranslationException: Could not find translator", "bad-parameter"],
    [
      "java.lang.SecurityException: The setDetails API is not available to read-only API users",
      "read-only-user",
    ],
    ["java.lang.SecurityException: The x API is not available to user bob", "no-role"],
    ["java.lang.SecurityException: The x API is not available for unauthenticated users.", "no-role"],
    ["redstone.xmlrpc.XmlRpcFault: unhandled internal exception: null", "internal"],
    ["java.lang.IllegalStateException: something new", "other"],
  ];
  for (const [text, kind] of said) assert.equal(UyuniFault.parse(-1, text).kind, kind, text);
});

Deno.test("UyuniFault.parse() keeps code and text as they came", () => {
  const fault = UyuniFault.parse(424242, "of another release");
  assert.deepEqual([fault.kind, fault.code, fault.text], ["other", 424242, "of another release"]);
  assert.equal(UyuniFault.parse(2950, "whatever").kind, "bad-credentials");
});

Deno.test("UyuniFault.of() makes the server's form, and parse() finds the same kind again", () => {
  const fault = UyuniFault.of("no-such-system", "No such system");
  assert.deepEqual([fault.code, fault.text], [-208, "redstone.xmlrpc.XmlRpcFault: No such system"]);
  assert.equal(UyuniFault.of("no-such-handler", "The specified handler cannot be found").text[0], "T");

  const coded = Object.entries(FAULTS).filter(([, { code }]) => code !== -1);
  assert.equal(new Set(coded.map(([, { code }]) => code)).size, coded.length, "a code that two kinds share");
  for (const [kind, { code }] of coded) assert.equal(UyuniFault.parse(code, "x").kind, kind);
});
