import assert from "node:assert/strict";
import { inspect } from "node:util";
import { Secret } from "./secret.ts";

const secret = new Secret("hunter2");

Deno.test("Secret reveals its value only on demand", () => {
  assert.equal(secret.reveal(), "hunter2");
});

Deno.test("Secret prints [secret] wherever a log could print it", () => {
  const shown = {
    template: `${secret}`,
    string: String(secret),
    concat: "" + secret,
    json: JSON.stringify({ secret }),
    deno: Deno.inspect({ deep: [secret] }),
    node: inspect({ deep: [secret] }, { showHidden: true }),
    error: new Error(`no ${secret}`).message,
  };
  for (const [where, text] of Object.entries(shown)) {
    assert.ok(text.includes("[secret]"), `${where}: ${text}`);
    assert.ok(!text.includes("hunter2"), `${where}: ${text}`);
  }
});

Deno.test("Secret has no property that holds its value", () => {
  assert.deepEqual(Reflect.ownKeys(secret), []);
});
