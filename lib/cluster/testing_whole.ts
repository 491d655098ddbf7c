/**
 * Is the cluster whole? The invariants that hold after every transaction, whatever happened before.
 *
 * Looks at the records as they lie in the store: indexes, counters and states must all tell the same.
 */
import assert from "node:assert/strict";
import { realCrypt } from "../mesh/real_crypt.ts";
import { entries, toText } from "../store/record.ts";
import type { Read } from "../store/store.ts";
import { findBroken } from "./audit.ts";
import { keys } from "./keys.ts";
import { joinTokens, loads, moves, nodes, plans, runs, systems } from "./records.ts";
import { RUNS_OVER } from "./running.ts";
import { withEnd } from "./moving.ts";
import type { Counts, Move } from "./types.ts";

/** @throws {AssertionError} naming the invariant and the record. */
export async function assertWhole(tx: Read): Promise<void> {
  const keysOf = async (prefix: string) =>
    new Set((await Array.fromAsync(entries(tx, prefix))).map(({ key }) => key));
  const allSystems = await Array.fromAsync(systems.all(tx, keys.systems));
  const allMoves = await Array.fromAsync(moves.all(tx, "move/"));
  const living = allSystems.filter(({ state }) => state !== "deleted");
  const open = allMoves.filter(({ state }) => state !== "there" && state !== "back");
  const openOf = new Map<number, Move>();
  for (const move of open) {
    assert.ok(!openOf.has(move.system), `system ${move.system} has one open move`);
    openOf.set(move.system, move);
  }

  for (const { id, node, state } of living) {
    const move = openOf.get(id);
    assert.equal(node === null, state === "new", `system ${id} is new exactly while nobody owns it`);
    if (state === "moving") assert.ok(move && move.state !== "queued", `system ${id} is moving by a move`);
    const waits = await tx.get(keys.unplaced(id)) !== null;
    assert.equal(waits, state === "new" && move === undefined, `system ${id} waits for a place, or does not`);
  }
  const expected = (prefix: string, all: string[]) => ({ prefix, all: new Set(all) });
  for (
    const { prefix, all } of [
      expected("on-node/", living.flatMap(({ id, node }) => node === null ? [] : [keys.onNode(node, id)])),
      expected("in-zone/", living.map(({ id, zone }) => keys.inZone(zone, id))),
      expected("move-of/", open.map(({ system }) => keys.moveOf(system))),
      expected(
        "work/queued/",
        open.filter(({ state }) => state === "queued").map((move) => keys.moveQueued(move.plan, move.system)),
      ),
      expected(
        "work/moving/",
        open.filter(({ state }) => state !== "queued").map((move) => keys.moveActive(move.plan, move.system)),
      ),
    ]
  ) assert.deepEqual(await keysOf(prefix), all, `index ${prefix} holds what the records say`);
  for (const { plan, system } of open) {
    assert.equal(toText(await tx.get(keys.moveOf(system)) ?? new Uint8Array()), plan);
  }

  for await (const { fp, name, state } of nodes.all(tx, keys.nodes)) {
    const placed = (await loads.get(tx, fp))?.placed ?? 0;
    const owned = living.filter(({ node }) => node === fp).length;
    const coming = open.filter(({ to }) => to === fp).length;
    assert.equal(placed, owned + coming, `load of ${name} is what it has and what comes`);
    const isSwept = await tx.get(keys.sweep(fp)) !== null;
    if (state === "removed" && !isSwept) assert.equal(placed, 0, `removed node ${name} has nothing`);
  }
  for await (const { id, state, counts } of plans.all(tx, keys.plans)) {
    const over = state === "done" || state === "cancelled";
    assert.deepEqual(
      await endsCounted(tx, id, counts),
      countsOf(allMoves.filter(({ plan }) => plan === id)),
      `plan ${id} counts its moves by how they ended`,
    );
    assert.equal(
      await tx.get(keys.planOpen(id)) === null,
      over,
      `plan ${id} is in the work index while open`,
    );
    if (!over) continue;
    const { total, queued, active, there, back, stuck } = counts;
    assert.deepEqual([queued, active], [0, 0], `plan ${id} is over`);
    assert.equal(there + back + stuck, total, `plan ${id} counts every system once`);
  }
  const allRuns = await Array.fromAsync(runs.all(tx, keys.runs));
  const openRuns = allRuns.filter(({ state }) => !RUNS_OVER.includes(state));
  assert.deepEqual(
    await keysOf(keys.runsOpen),
    new Set(openRuns.map(({ id }) => keys.runOpen(id))),
    "the index of open runs holds what the records say",
  );
  const machines = openRuns.map(({ by, host }) => host ?? by);
  assert.equal(new Set(machines).size, machines.length, "on one machine one run is open");
  for (const { id, state, staging } of allRuns) {
    const token = staging?.token ?? null;
    if (token === null || !RUNS_OVER.includes(state)) continue;
    assert.equal(await joinTokens.get(tx, token), null, `run ${id} is over, and so is its join token`);
  }
  assert.equal(await findBroken(tx, (bytes) => realCrypt().sha256(bytes)), null, "the audit is whole");
}

type Ends = Pick<Counts, "there" | "back">;

function countsOf(all: readonly Move[]): Ends {
  const ended = (state: Move["state"]) => all.filter((move) => move.state === state).length;
  return { there: ended("there"), back: ended("back") };
}

/** What a plan has counted, and what it is still to count. */
async function endsCounted(tx: Read, plan: string, { there, back }: Ends): Promise<Ends> {
  let ends: Ends = { there, back };
  for await (const { value } of entries(tx, keys.movesEnded(plan))) ends = withEnd(ends, toText(value));
  return ends;
}
