import assert from "node:assert/strict";
import { isSalarError } from "../errors.ts";
import { moveMachine, next, nodeMachine, planMachine, runMachine, systemMachine } from "./machines.ts";
import { MOVE_STATES, NODE_STATES, PLAN_STATES, RUN_STATES, SYSTEM_STATES } from "./types.ts";

type Table = Record<string, Record<string, string>>;

const MACHINES: Record<string, { table: Table; states: readonly string[]; start: string }> = {
  node: { table: nodeMachine as Table, states: NODE_STATES, start: "pooled" },
  system: { table: systemMachine as Table, states: SYSTEM_STATES, start: "new" },
  move: { table: moveMachine as Table, states: MOVE_STATES, start: "queued" },
  plan: { table: planMachine as Table, states: PLAN_STATES, start: "planning" },
  run: { table: runMachine as Table, states: RUN_STATES, start: "waiting" },
};

const eventsOf = (table: Table) => [...new Set(Object.values(table).flatMap((row) => Object.keys(row)))];

/** State × event as people read it: what is refused stands there, too. */
function transcript(): string {
  const lines: string[] = [];
  for (const [name, { table, states }] of Object.entries(MACHINES)) {
    lines.push(`# ${name}`);
    for (const state of states) {
      const ends = eventsOf(table).map((event) => {
        try {
          return `${event} → ${next(table, state, event, "it")}`;
        } catch (error) {
          assert.ok(isSalarError(error, "conflict"), "what is not in the table is refused as a conflict");
          return null;
        }
      });
      lines.push(`${state}: ${ends.filter((end) => end !== null).join(", ") || "the end"}`);
    }
    lines.push("");
  }
  return lines.join("\n");
}

Deno.test("machines do what their transcript says (testdata/machines.txt)", async () => {
  const told = await Deno.readTextFile(new URL("testdata/machines.txt", import.meta.url));
  assert.equal(transcript(), told);
});

Deno.test("every state can be reached, and every end from everywhere", () => {
  for (const [name, { table, states, start }] of Object.entries(MACHINES)) {
    const reached = reach(table, start);
    // A lost node that is heard of returns to the state that it had: no table tells that.
    assert.deepEqual([...reached].sort(), [...states].sort(), name);
    const ends = states.filter((state) => Object.keys(table[state] ?? {}).length === 0);
    for (const state of states) {
      const later = reach(table, state);
      assert.ok(ends.length === 0 || ends.some((end) => later.has(end)), `${name} ${state} can end`);
    }
  }
});

Deno.test("next() names what is possible instead", () => {
  assert.throws(
    () => next(nodeMachine, "drained", "cordon", 'node "a"'),
    /Cannot cordon node "a": it is drained, which allows uncordon, remove, lose/,
  );
  assert.throws(() => next(planMachine, "done", "pause", "plan"), /it is done, which allows nothing/);
});

function reach(table: Table, start: string): Set<string> {
  const reached = new Set([start]);
  for (const state of reached) for (const to of Object.values(table[state] ?? {})) reached.add(to);
  return reached;
}
