import assert from "node:assert/strict";
import fc from "fast-check";
import type { RunEvent } from "./result.ts";
import { runHosts } from "./hosts.ts";
import { Mask, MASKED } from "./mask.ts";
import { farm, options } from "./testing.ts";

// Stars are what stands in its place; a secret of stars cannot be told from it.
const SECRET = fc.string({ unit: "grapheme", minLength: 4, maxLength: 40 })
  .filter((text) => text.trim().length >= 4 && !text.includes("*"));

function masked(secret: string, text: string): string {
  const mask = new Mask();
  mask.add("db", secret);
  return mask.text(text);
}

Deno.test("text() hides a value however JSON, a shell, Python, an address or base64 writes it", () => {
  const secret = `it's "a\\b" wörd`;
  const forms = [
    secret,
    JSON.stringify(secret).slice(1, -1),
    `it's \\"a\\\\b\\" w\\u00f6rd`,
    `it'\\''s "a\\b" wörd`,
    `it'"'"'s "a\\b" wörd`,
    `it\\'s "a\\\\b" wörd`,
    encodeURIComponent(secret),
    new TextEncoder().encode(secret).toBase64(),
  ];
  for (const form of forms) assert.equal(masked(secret, `<${form}>`), `<${MASKED}>`, form);
});

Deno.test("text() hides a long value also line by line, and the whole of two values that begin alike", () => {
  const key = "-----BEGIN KEY-----\nabcdefgh\nshort\n";
  assert.equal(masked(key, "line: abcdefgh, short"), `line: ${MASKED}, short`);
  const mask = new Mask();
  mask.add("a", "password");
  mask.add("b", "password-and-more");
  assert.equal(mask.text("password-and-more password"), `${MASKED} ${MASKED}`);
});

Deno.test("json() hides in texts, numbers and names of members, and keeps the rest", () => {
  const mask = new Mask();
  mask.add("pin", "123456");
  assert.deepEqual(mask.json({ a: [123456, 12, true, null], "k123456": "x" }), {
    a: [MASKED, 12, true, null],
    [`k${MASKED}`]: "x",
  });
});

Deno.test("add() refuses a value that is too short to be hidden, without telling it", () => {
  assert.throws(() => new Mask().add("pin", "xyz "), (error) => {
    assert.ok(error instanceof RangeError);
    assert.match(error.message, /"pin": it has fewer than 4 characters/);
    return !error.message.includes("xyz");
  });
});

Deno.test("runHosts() lets no value of a secret out, whatever hosts answer with it", async () => {
  const files = {
    "s.st": `id: s
import: []
state:
  a:
    - ansible.command: {argv: [login, "{key()}"]}
    - shell: [{x: "echo {key()}"}]
    - ansible.command: {free_form: "echo '{key()}"}
`,
    "s.fn": 'function key() return secret("key") end\n',
  };
  const one = fc.asyncProperty(SECRET, async (secret) => {
    const { start, runs } = farm(() => ({
      answer: (step) => {
        if (step.kind === "shell") {
          return { rc: 1, stdout: step.commands[0]?.run ?? "", stderr: `'${secret}'` };
        }
        const nested = { said: secret, [secret]: [JSON.stringify({ secret })] };
        return { result: { failed: true, msg: `no ${secret}`, diff: { before: secret, after: "" }, nested } };
      },
    }));
    const events: RunEvent[] = [];
    const result = await runHosts(
      start,
      options(files, {
        secrets: new Map([["key", () => Promise.resolve(secret)]]),
        onFailure: "go-on",
        onEvent: (event) => events.push(event),
      }),
    );
    assert.equal(JSON.stringify(runs).includes(JSON.stringify(secret).slice(1, -1)), true); // the host has it
    for (const text of textsIn([result, events])) assert.equal(text.includes(secret), false, text);
  });
  await fc.assert(one, { numRuns: 200 });
});

/** Every text, names of members too, but those that the program itself gives. */
function textsIn(value: unknown): string[] {
  if (typeof value === "string") return OWN.has(value) ? [] : [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, each]) => [...OWN.has(key) ? [] : [key], ...textsIn(each)]);
}

/** What is in results whatever hosts say; chance might find a secret in it. */
const OWN: ReadonlySet<string> = new Set(ownTexts());

function ownTexts(): string[] {
  const names =
    "type host step result hosts groups steps responses counts json diff before after nested said";
  const fields =
    "id description code message name module at ms outcome stdout stderr rc plan hash facts address";
  const more =
    "mode hosts unreachable ok changed failed skipped unknown notRun group msg stdout_lines stderr_lines";
  const values = "connecting connected begin step host apply ansible.builtin.command shell not-run s.st:5:7";
  return [names, fields, more, values].flatMap((text) => text.split(" "));
}
