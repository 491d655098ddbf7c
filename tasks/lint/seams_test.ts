import assert from "node:assert/strict";
import plugin from "./seams.ts";

function found(source: string, file = "functions/director/zones.ts"): string[] {
  return Deno.lint.runPlugin(plugin, file, source).map(({ id, message }) => `${id}: ${message}`);
}

const PLANTED = [
  "const now = Date.now();",
  "const now = new Date();",
  "const now = Date();",
  "const clock = Date;",
  'const now = Date["now"]();',
  "const { now } = Date;",
  "const chance = Math.random();",
  "const chance = Math;",
  "const { random } = Math;",
  'const chance = Math["random"]();',
  "setTimeout(() => {}, 1);",
  "setInterval(() => {}, 1);",
  "setImmediate(() => {});",
  "const later = setTimeout;",
  "const at = performance.now();",
  "const id = crypto.randomUUID();",
  "const bytes = crypto.getRandomValues(new Uint8Array(1));",
  'const hash = await crypto.subtle.digest("SHA-256", data);',
  'const answer = await fetch("http://a");',
  "const ask = { fetch };",
  'const text = await Deno.readTextFile("a");',
  'const socket = new WebSocket("ws://a");',
  "const home = process.env.HOME;",
  "const today = Temporal.Now.instant();",
  "const gone = new FinalizationRegistry(() => {});",
  "const weak = new WeakRef({});",
  "const now = globalThis.Date.now();",
  "const end = AbortSignal.timeout(5);",
  "function f(now = Date.now()) { return now; }",
  "const { at = Date.now() } = options;",
  "let kept = 0;",
  "export let kept = 0;",
  "var kept = 0;",
  'import { readFile } from "node:fs/promises";',
  'import { setTimeout } from "node:timers";',
  'import { randomBytes } from "node:crypto";',
  'import { realScope } from "../../lib/mesh/real_scope.ts";',
  'const real = await import("../../lib/mesh/real_net.ts");',
];

for (const source of PLANTED) {
  Deno.test(`seams finds: ${source}`, () => assert.equal(found(source).length, 1, found(source).join("\n")));
}

Deno.test("seams leaves pure code and own names alone", () => {
  const sources = [
    "const at = new Date(ms).toISOString();",
    "const at = Date.parse(text);",
    "const isDate = value instanceof Date;",
    "const size = Math.max(1, 2);",
    "function ask(fetch: Fetch) { return fetch(1); }",
    "const answer = await net.fetch(request);",
    "const options = { performance: 1, crypto: true };",
    "interface Options { crypto: Crypt; process(): void }",
    "type When = Date;",
    "const ends = AbortSignal.any([a, b]);",
    "function count() { let n = 0; n++; return n; }",
    "const table = new Map([[1, 2]]);",
    'import { join } from "node:path";',
    'import type { Stats } from "node:fs";',
    'import type { RealNet } from "../../lib/mesh/real_net.ts";',
  ];
  for (const source of sources) assert.deepEqual(found(source), [], source);
});

Deno.test("seams looks at functions, cluster and agents, but not at mains, real ones, tests and other rooms", () => {
  const planted = "const now = Date.now();";
  for (
    const file of [
      "functions/gateway/a.ts",
      "lib/cluster/ids.ts",
      "agents/client/logic.ts",
      "/x/agents/node/a.ts",
    ]
  ) {
    assert.equal(found(planted, file).length, 1, file);
  }
  const free = [
    "agents/node/main.ts",
    "agents/client/real_disk.ts",
    "lib/cluster/ids_test.ts",
    "lib/mesh/a.ts",
  ];
  for (const file of free) assert.deepEqual(found(planted, file), [], file);
});
