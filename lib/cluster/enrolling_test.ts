import assert from "node:assert/strict";
import { realScope } from "../mesh/real_scope.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import { putSystem } from "./enrolling.ts";
import { addLoad } from "./moving.ts";
import { loads } from "./records.ts";
import type { System } from "./types.ts";

const [HERE, THERE] = ["a".repeat(64), "b".repeat(64)];

function system(node: string | null, minionId = "m"): System {
  return {
    v: 1,
    id: 1,
    fp: null,
    identityKey: null,
    minionId,
    machineId: "c".repeat(32),
    minionKey: null,
    name: minionId,
    zone: "z",
    state: node === null ? "new" : "bound",
    node,
    pin: null,
    epoch: 0,
    generation: 1,
    registeredAtMs: 0,
    reason: "",
    revision: 1,
  };
}

Deno.test("putSystem() counts who comes and who goes, and lets who stays meet nobody at the node's load", async () => {
  const scope = realScope({ name: "test" });
  const store = openSqliteStore({ path: ":memory:" });
  const placed = () =>
    store.read(
      scope,
      async (tx) => (await loads.getMany(tx, [[HERE], [THERE]])).map((load) => load?.placed ?? 0),
    );
  const steps: { from: System | null; to: System; placed: [number, number]; meets: boolean }[] = [
    { from: null, to: system(null), placed: [0, 0], meets: false },
    { from: system(null), to: system(HERE), placed: [1, 0], meets: true },
    { from: system(HERE), to: system(HERE, "renamed"), placed: [1, 0], meets: false },
    { from: system(HERE, "renamed"), to: system(THERE), placed: [0, 1], meets: true },
  ];
  try {
    for (const step of steps) {
      let runs = 0;
      await store.write(scope, async (tx) => {
        await putSystem({ tx }, step.to, step.from);
        if (++runs > 1) return;
        for (const by of [1, -1]) await store.write(scope, (other) => addLoad(other, HERE, by)); // meanwhile
      });
      assert.deepEqual([await placed(), runs > 1], [step.placed, step.meets]);
    }
  } finally {
    await store.close();
  }
});
