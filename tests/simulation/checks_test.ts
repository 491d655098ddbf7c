import assert from "node:assert/strict";
import { GENESIS } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { Checks } from "./checks.ts";
import { Broken } from "./rules/rule.ts";
import { Ledger, silentProbe, SYSTEM } from "./testing_ledger.ts";

function ledger(): Ledger {
  return new Ledger(({ world }) => {
    const checks = new Checks(world, silentProbe);
    return (written) => checks.onCommit(written);
  });
}

/** The system is on its way to `there`, which has its key; its directive is number 1 at epoch 2. */
function underWay(l: Ledger): void {
  l.commit({ ...l.move("p", "queued"), [keys.load(l.there.fp)]: { placed: 1 } });
  l.commit(l.move("p", "preparing"));
  l.accept(l.there);
  l.commit({
    ...l.system({ epoch: 2, revision: 2 }),
    ...l.move("p", "switching"),
    ...l.directive(1, { node: l.there, epoch: 2 }),
  });
}

Deno.test("Checks let a move pass from its plan to its end", () => {
  const l = ledger();
  underWay(l);
  l.commit(l.head(1, 1));
  l.follow(l.there);
  l.commit({ ...l.move("p", "settling"), [keys.outbox("f", 1)]: null, ...l.audit(1, GENESIS, "system:f") });
  l.commit({
    ...l.system({ node: l.there.fp, epoch: 2, generation: 2, revision: 3 }),
    ...l.move("p", "there"),
    [keys.onNode(l.here.fp, SYSTEM)]: null,
    [keys.onNode(l.there.fp, SYSTEM)]: true,
    [keys.load(l.here.fp)]: { placed: 0 },
    ...l.audit(2, "hash 1"),
  });
});

/** Rule → what breaks it, and nothing before. */
const BREAKS: [string, string, (l: Ledger) => void][] = [
  ["I1 it only rises", "a revision stays", (l) => l.commit(l.system({ reason: "new" }))],
  ["I1 it only rises", "an epoch falls", (l) => l.commit(l.system({ epoch: 0, revision: 2 }))],
  ["I1 it only rises", "a generation falls", (l) => l.commit(l.system({ generation: 0, revision: 2 }))],
  ["I1 it only rises", "a node's revision stays", (l) => l.commit(l.node(l.here, { state: "lost" }))],
  ["I2 one owner", "the index loses it", (l) => l.commit({ [keys.onNode(l.here.fp, SYSTEM)]: null })],
  ["I2 one owner", "the index has another", (l) => l.commit({ [keys.onNode(l.there.fp, SYSTEM)]: true })],
  [
    "I2 one owner",
    "the record has another",
    (l) => {
      l.follow(l.there);
      l.commit(l.system({ node: l.there.fp, revision: 2 }));
    },
  ],
  ["I2 its zone is there", "its zone goes", (l) => l.commit({ "zone/berlin": null })],
  ["I2 its zone is there", "it comes to none", (l) => l.commit(l.system({ zone: "prague", revision: 2 }))],
  ["I3 load", "a load is not what it has", (l) => l.commit({ [keys.load(l.here.fp)]: { placed: 2 } })],
  ["I3 load", "a move is not counted", (l) => l.commit(l.move("p", "queued"))],
  [
    "I3 capacity",
    "a move to a full node",
    (l) => {
      l.commit(l.node(l.there, { capacity: 0, revision: 2 }));
      l.commit({ ...l.move("p", "queued"), [keys.load(l.there.fp)]: { placed: 1 } });
    },
  ],
  [
    "I4 a move's states",
    "a step is left out",
    (l) => {
      l.commit({ ...l.move("p", "queued"), [keys.load(l.there.fp)]: { placed: 1 } });
      l.commit(l.move("p", "switching"));
    },
  ],
  [
    "I4 one open move",
    "two plans move it",
    (l) => {
      l.commit({ ...l.move("p", "queued"), [keys.load(l.there.fp)]: { placed: 1 } });
      l.commit({ ...l.move("q", "queued"), [keys.load(l.there.fp)]: { placed: 2 } });
    },
  ],
  [
    "I5 one target per epoch",
    "two targets",
    (l) => {
      underWay(l);
      l.commit({ ...l.directive(2, { node: l.here, epoch: 2 }), ...l.head(2, 0) });
    },
  ],
  [
    "I5 sent only where its key is accepted",
    "an unknown key",
    (l) => l.commit(l.directive(1, { node: l.there, epoch: 2 })),
  ],
  ["I6 outbox numbers rise", "more sent than given", (l) => l.commit(l.head(0, 1))],
  [
    "I6 outbox numbers rise",
    "a number falls",
    (l) => {
      underWay(l);
      l.commit(l.head(0, 0));
    },
  ],
  ["I6 a number has its entry", "an entry is missing", (l) => l.commit(l.head(1, 0))],
  [
    "I6 what was handed out is not withdrawn",
    "withdrawn too late",
    (l) => {
      underWay(l);
      l.commit(l.head(1, 1));
      l.commit({ [keys.outbox("f", 1)]: null, ...l.audit(1, GENESIS) });
    },
  ],
  [
    "I6 what was withdrawn is not handed out",
    "handed out too late",
    (l) => {
      underWay(l);
      l.commit({ [keys.outbox("f", 1)]: null, ...l.audit(1, GENESIS) });
      l.commit(l.head(1, 1));
    },
  ],
  ["I7 the audit is a chain", "a number is left out", (l) => l.commit(l.audit(2, GENESIS))],
  [
    "I7 the audit is a chain",
    "a hash does not fit",
    (l) => {
      l.commit(l.audit(1, GENESIS));
      l.commit(l.audit(2, GENESIS));
    },
  ],
  [
    "I8 it follows its owner",
    "it follows another",
    (l) => {
      l.accept(l.there);
      settleThere(l);
    },
  ],
  [
    "I8 its owner has accepted its key",
    "its owner does not know it",
    (l) => {
      l.follow(l.there);
      settleThere(l);
    },
  ],
];

function settleThere(l: Ledger): void {
  l.commit({
    ...l.system({ node: l.there.fp, revision: 2 }),
    [keys.onNode(l.here.fp, SYSTEM)]: null,
    [keys.onNode(l.there.fp, SYSTEM)]: true,
    [keys.load(l.here.fp)]: { placed: 0 },
    [keys.load(l.there.fp)]: { placed: 1 },
  });
}

for (const [rule, what, breakIt] of BREAKS) {
  Deno.test(`Checks see "${rule}" broken: ${what}`, () => {
    const l = ledger();
    assert.throws(() => breakIt(l), (error) => error instanceof Broken && error.invariant === rule);
  });
}
