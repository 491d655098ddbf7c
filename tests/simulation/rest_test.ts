import assert from "node:assert/strict";
import { keys } from "../../lib/cluster/keys.ts";
import { unrest } from "./rest.ts";
import { Seen } from "./seen.ts";
import { Ledger } from "./testing_ledger.ts";

function atRest(): { ledger: Ledger; look: () => string | null } {
  const seen = new Seen();
  const ledger = new Ledger(() => (written) => void seen.take(written));
  return { ledger, look: () => unrest(ledger.world, seen) };
}

Deno.test("unrest() finds nothing in a cluster at rest", () => {
  assert.equal(atRest().look(), null);
});

const RESTLESS: [RegExp, (l: Ledger) => void][] = [
  [/^work\/unplaced\/1 is left$/, (l) => l.commit({ "work/unplaced/1": true })],
  [/^plan p is paused$/, (l) => l.commit({ [keys.plan("p")]: { id: "p", state: "paused" } })],
  [/^system 7 is switching to there$/, (l) => l.commit(l.move("p", "switching"))],
  [/^client is not enrolled$/, (l) => l.commit(l.system({ minionId: "another" }))],
  [/^client has no agent$/, (l) => l.commit(l.system({ fp: null }))],
  [/^client is orphan$/, (l) => l.commit(l.system({ state: "orphan" }))],
  [/^client is bound to there and runs with here/, (l) => l.commit(l.system({ node: l.there.fp }))],
  [/^client is bound to here and runs with/, (l) => void (l.machine.isConnected = false)],
  [/^client has no profile on here$/, (l) => void l.here.profiles.clear()],
  [/^there is lost$/, (l) => l.commit(l.node(l.there, { state: "lost" }))],
];

for (const [said, disturb] of RESTLESS) {
  Deno.test(`unrest() says: ${said.source.replace(/[$^\\]/g, "")}`, () => {
    const { ledger, look } = atRest();
    disturb(ledger);
    assert.match(look() ?? "", said);
  });
}
