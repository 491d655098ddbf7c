/** The checker finds each anomaly that is planted, names it, and lets pass what snapshot isolation allows. */
import assert from "node:assert/strict";
import { check } from "./check.ts";
import { ANOMALIES, type Model, type Recorded, type Step } from "./history.ts";

const r = (key: string, ...seen: string[]): Step => ({ kind: "read", key, seen });
const w = (key: string, value: string): Step => ({ kind: "write", key, value });

/** Transactions T1, T2, ... that ran one after the other, unless `spans` gives them other times. */
function history(
  transactions: Step[][],
  { outcomes = {}, spans = {} }: {
    outcomes?: Record<string, Recorded["outcome"]>;
    spans?: Record<string, [invoked: number, returned: number]>;
  } = {},
): Recorded[] {
  return transactions.map((steps, at) => {
    const id = `T${at + 1}`;
    const [invokedAtMs, returnedAtMs] = spans[id] ?? [at * 10, at * 10 + 5];
    return { id, steps, invokedAtMs, returnedAtMs, outcome: outcomes[id] ?? "committed" };
  });
}

const kinds = (recorded: Recorded[], model: Model) =>
  [...new Set(check(recorded, model).map(({ kind }) => kind))].sort();
/** All at the same time. */
const together = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`T${at + 1}`, [0, 100] as [number, number]]));

const CLEAN: [name: string, model: Model, recorded: Recorded[]][] = [
  ["nothing", "register", []],
  [
    "one after the other",
    "register",
    history([[r("x"), w("x", "1")], [r("x", "1"), r("y"), w("x", "2"), w("y", "3")], [
      r("x", "2"),
      r("y", "3"),
    ]]),
  ],
  [
    "its own changes are seen",
    "list",
    history([[r("x"), w("x", "1"), r("x", "1"), w("x", "2"), r("x", "1", "2")]]),
  ],
  [
    "write skew",
    "register",
    history([[r("x"), r("y"), w("x", "1")], [r("x"), r("y"), w("y", "2")], [r("x", "1"), r("y", "2")]], {
      spans: { T1: [0, 9], T2: [0, 9] },
    }),
  ],
  [
    "a snapshot that is older than its end",
    "list",
    history([[r("x"), w("x", "1")], [r("x")], [r("x", "1")]], { spans: { T1: [5, 9], T2: [0, 20] } }),
  ],
  [
    "a commit of unknown end, seen by one and replaced by another",
    "list",
    history([[r("x"), w("x", "1")], [r("x", "1"), w("x", "2")], [r("x", "1", "2")]], {
      outcomes: { T1: "unknown" },
    }),
  ],
  [
    "a commit of unknown end, seen by nobody",
    "register",
    history([[r("x"), w("x", "1")], [r("x")]], { outcomes: { T1: "unknown" } }),
  ],
  [
    "a failed one leaves nothing",
    "register",
    history([[r("x"), w("x", "1")], [r("x"), w("x", "2")], [r("x", "2")]], { outcomes: { T1: "failed" } }),
  ],
];

for (const [name, model, recorded] of CLEAN) {
  Deno.test(`check() lets pass: ${name}`, () => assert.deepEqual(check(recorded, model), []));
}

/** Each with what has to be found at least. */
const PLANTED: [kind: typeof ANOMALIES[number], model: Model, recorded: Recorded[]][] = [
  ["dirty read", "register", history([[r("x"), w("x", "1")], [r("x", "1")]], { outcomes: { T1: "failed" } })],
  ["dirty read", "list", history([[r("x"), w("x", "1")], [r("x", "1")]], { outcomes: { T1: "failed" } })],
  [
    "dirty read",
    "register",
    history([[r("x"), w("x", "1"), w("x", "2")], [r("x", "1")]], { spans: together(2) }),
  ],
  [
    "dirty read",
    "list",
    history([[r("x"), w("x", "1"), w("x", "2")], [r("x", "1")]], { spans: together(2) }),
  ],
  ["dirty read", "register", history([[r("x", "nobody's")]])],
  [
    "non-repeatable read",
    "register",
    history([[r("x"), w("x", "1")], [r("x"), r("x", "1")]], { spans: together(2) }),
  ],
  ["non-repeatable read", "list", history([[r("x"), w("x", "1"), r("x")]])],
  [
    "lost update",
    "register",
    history([[r("x"), w("x", "1")], [r("x"), w("x", "2")]], { spans: together(2) }),
  ],
  [
    "lost update",
    "list",
    history([[r("x"), w("x", "1")], [r("x"), w("x", "2")], [r("x", "2")]], {
      spans: { T1: [0, 9], T2: [0, 9] },
    }),
  ],
  [
    "lost append",
    "list",
    history([[r("x"), w("x", "1")], [r("x", "1")], [r("x"), w("x", "2")], [r("x", "2"), w("x", "3")], [
      r("x", "2", "3"),
    ]]),
  ],
  ["acknowledged but missing", "register", history([[r("x"), w("x", "1")], [r("x")]])],
  [
    "acknowledged but missing",
    "list",
    history([[r("x"), w("x", "1")], [r("x", "1"), w("x", "2")], [r("x", "1")]]),
  ],
  [
    "read skew",
    "register",
    history([[r("x"), r("y"), w("x", "1"), w("y", "2")], [r("x", "1"), r("y")]], { spans: together(2) }),
  ],
  [
    "long fork",
    "register",
    history([[r("x"), w("x", "1")], [r("y"), w("y", "2")], [r("x", "1"), r("y")], [r("x"), r("y", "2")]], {
      spans: together(4),
    }),
  ],
  [
    "long fork",
    "list",
    history([[r("x"), w("x", "1")], [r("y"), w("y", "2")], [r("x", "1"), r("y")], [r("x"), r("y", "2")]], {
      spans: together(4),
    }),
  ],
  [
    "circular flow",
    "register",
    history([[r("y", "2"), r("x"), w("x", "1")], [r("x", "1"), r("y"), w("y", "2")]], { spans: together(2) }),
  ],
  [
    "stale read",
    "list",
    history([[r("x"), w("x", "1")], [r("x")], [r("x", "1")]]),
  ],
];

PLANTED.forEach(([kind, model, recorded], at) => {
  Deno.test(`check() finds in a ${model}: ${kind} (${at + 1})`, () => {
    assert.ok(kinds(recorded, model).includes(kind), JSON.stringify(check(recorded, model)));
  });
});

Deno.test("every kind of anomaly is planted", () => {
  assert.deepEqual(new Set(PLANTED.map(([kind]) => kind)), new Set(ANOMALIES));
});

Deno.test("check() finds one stale read among thousands of transactions", () => {
  const many: Step[][] = Array.from({ length: 5_000 }, (_, at) => [
    r(`k${at % 50}`, ...at < 50 ? [] : [`v${at - 50}`]),
    w(`k${at % 50}`, `v${at}`),
  ]);
  assert.deepEqual(check(history(many), "register"), []);
  many.splice(4_000, 0, [r("k7", "v2957")]);
  assert.deepEqual(kinds(history(many), "register"), ["stale read"]);
});

Deno.test("a history whose transactions write what they did not read, or a value twice, is refused", () => {
  assert.throws(() => check(history([[w("x", "1")]]), "register"), /without reading/);
  assert.throws(
    () => check(history([[r("x"), w("x", "1")], [r("x", "1"), w("x", "1")]]), "register"),
    /twice/,
  );
});
