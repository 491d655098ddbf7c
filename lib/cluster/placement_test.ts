import assert from "node:assert/strict";
import fc from "fast-check";
import { shareAt, WaterLevel } from "./fair_share.ts";
import {
  type MovePlan,
  type Placement,
  type PlacementNode,
  type PlacementSystem,
  placeOne,
  placer,
  planMoves,
} from "./placement.ts";

function node(fp: string, changes: Partial<PlacementNode> = {}): PlacementNode {
  return { fp, zone: "z", weight: 1, capacity: 10_000, load: 0, accepting: true, ...changes };
}

function system(id: number | string, changes: Partial<PlacementSystem> = {}): PlacementSystem {
  return { id, zone: "z", node: null, pin: null, ...changes };
}

function shuffled<T>(values: readonly T[]): T[] { // any fixed other order will do
  return [...values.slice(1).reverse(), ...values.slice(0, 1)];
}

/** A cluster that was filled by placement: nodes with their true loads, and the systems on them. */
interface World {
  nodes: PlacementNode[];
  systems: PlacementSystem[];
}

function fill(nodes: PlacementNode[], count: number, zones: readonly string[] = ["z"]): World {
  const empty = nodes.map((n) => ({ ...n, load: 0 }));
  const place = placer(empty);
  const systems: PlacementSystem[] = [];
  for (let id = 0; id < count; id++) {
    const wanted = system(1_000_000_000 + id, { zone: zones[id % zones.length] ?? "z" });
    const placed = place.place(wanted);
    if (placed.ok) systems.push({ ...wanted, node: placed.node });
  }
  const loads = place.loads();
  return { nodes: empty.map((n) => ({ ...n, load: loads.get(n.fp) ?? 0 })), systems };
}

/** As many systems as a node says it holds. */
function residents({ fp, load }: PlacementNode): PlacementSystem[] {
  return Array.from({ length: load }, (_, n) => system(`${fp}/${n}`, { node: fp }));
}

/** Carries a plan out, checking that each move starts where its system is. */
function apply({ nodes, systems }: World, plan: MovePlan): World {
  const byId = new Map(systems.map((s) => [s.id, { ...s }]));
  const loads = new Map(nodes.map(({ fp, load }) => [fp, load]));
  const moved = new Set<number | string>();
  for (const [at, id] of plan.ids.entries()) {
    const found = byId.get(id);
    const from = plan.nodes[plan.from[at] ?? -1];
    const to = plan.nodes[plan.to[at] ?? -1];
    assert.ok(found && from !== undefined && to !== undefined);
    assert.equal(found.node, from);
    assert.notEqual(from, to);
    assert.ok(!moved.has(id), "moved once");
    moved.add(id);
    found.node = to;
    loads.set(from, (loads.get(from) ?? 0) - 1);
    loads.set(to, (loads.get(to) ?? 0) + 1);
  }
  assert.deepEqual(plan.loads, plan.nodes.map((fp) => loads.get(fp)));
  return { nodes: nodes.map((n) => ({ ...n, load: loads.get(n.fp) ?? 0 })), systems: [...byId.values()] };
}

/** No accepting node above 1.1 × its fair share of the zone, one system of rounding allowed, nor above capacity. */
function assertBounded(nodes: PlacementNode[]): void {
  for (const zone of new Set(nodes.map((n) => n.zone))) {
    const open = nodes.filter((n) => n.zone === zone && n.accepting);
    const level = new WaterLevel(open).at(open.reduce((all, n) => all + n.load, 0));
    for (const n of open) {
      assert.ok(n.load <= n.capacity, `${n.fp} holds ${n.load}, at most ${n.capacity}`);
      assert.ok(
        n.load <= 1.1 * shareAt(level, n) + 1,
        `${n.fp} holds ${n.load}, fair is ${shareAt(level, n)}`,
      );
    }
  }
}

function refusal(placement: Placement): string {
  assert.ok(!placement.ok);
  assert.match(placement.message, /^Cannot place system .+: .+/);
  return placement.reason;
}

const nodeSets = (zones: string[] = ["z"], max = 8) =>
  fc.array(
    fc.record({
      zone: fc.constantFrom(...zones),
      weight: fc.oneof(fc.constant(1), fc.double({ min: 0.1, max: 10, noNaN: true })),
      capacity: fc.integer({ min: 0, max: 200 }),
    }),
    { minLength: 1, maxLength: max },
  ).map((drawn) => drawn.map((changes, at) => node(`n${at}`, changes)));
const roomySets = fc.array(fc.double({ min: 0.2, max: 5, noNaN: true }), { minLength: 2, maxLength: 8 }).map(
  (weights) => weights.map((weight, at) => node(`n${at}`, { weight })),
);
const counts = fc.nat({ max: 400 });

// --- One system ----------------------------------------------------------------------------------------------

Deno.test("placeOne() leaves a system where it is, on a full or cordoned node too", () => {
  const nodes = [node("a", { load: 10, capacity: 10, accepting: false }), node("b")];
  assert.deepEqual(placeOne(system(1, { node: "a" }), nodes), { ok: true, node: "a", why: "stays" });
});

Deno.test("placeOne() takes a system off a node that is leaving, or gone from the list", () => {
  const nodes = [node("a"), node("b")];
  assert.deepEqual(placeOne(system(1, { node: "a" }), nodes, { leaving: ["a"] }), {
    ok: true,
    node: "b",
    why: "zone",
  });
  assert.deepEqual(placeOne(system(1, { node: "c" }), nodes.slice(1)), { ok: true, node: "b", why: "zone" });
});

Deno.test("placeOne() prefers the own zone and falls back when it is full or takes nobody", () => {
  const away = node("away", { zone: "y" });
  for (const home of [node("home", { capacity: 3, load: 3 }), node("home", { accepting: false })]) {
    assert.deepEqual(placeOne(system(1), [home, away]), { ok: true, node: "away", why: "fallback" });
  }
  assert.deepEqual(placeOne(system(1), [node("home"), away]), { ok: true, node: "home", why: "zone" });
  assert.deepEqual(placeOne(system(1), [away], { zones: ["z"] }), {
    ok: true,
    node: "away",
    why: "fallback",
  });
});

Deno.test("placeOne() keeps the systems of a confined zone in it, and lets other zones fall back", () => {
  const nodes = [
    node("full", { capacity: 0 }),
    node("shut", { zone: "y", capacity: 0 }),
    node("away", { zone: "x" }),
  ];
  const confined = { confined: ["z"] };
  assert.equal(refusal(placeOne(system(1), nodes, confined)), "zone-full");
  assert.deepEqual(placeOne(system(1, { zone: "y" }), nodes, confined), {
    ok: true,
    node: "away",
    why: "fallback",
  });
});

Deno.test("placeOne() refuses clearly: unknown, closed and full zones, full cluster", () => {
  const full = node("a", { capacity: 2, load: 2 });
  const closed = node("b", { accepting: false });
  const elsewhere = node("c", { zone: "y" });
  const own = { fallback: false };
  assert.equal(refusal(placeOne(system(1, { zone: "slip" }), [node("a")])), "unknown-zone");
  assert.equal(refusal(placeOne(system(1, { zone: "__proto__" }), [node("a")])), "unknown-zone");
  assert.equal(refusal(placeOne(system(1), [])), "unknown-zone");
  assert.equal(refusal(placeOne(system(1), [closed, elsewhere], own)), "zone-closed");
  assert.equal(refusal(placeOne(system(1), [elsewhere], { ...own, zones: ["z"] })), "zone-closed");
  assert.equal(refusal(placeOne(system(1), [full, elsewhere], own)), "zone-full");
  assert.equal(refusal(placeOne(system(1), [full, closed])), "cluster-full");
  assert.match(
    JSON.stringify(placeOne(system(7), [full], own)),
    /Cannot place system 7: zone \\"z\\" is full/,
  );
});

Deno.test("placeOne() keeps to a pin, across zones and past the fair share, but not past capacity", () => {
  const nodes = [node("a"), node("b", { zone: "y", load: 500 }), node("full", { capacity: 1, load: 1 })];
  const to = (pin: string, at: string | null = null) => placeOne(system(1, { pin, node: at }), nodes);
  assert.deepEqual(to("b"), { ok: true, node: "b", why: "pinned" });
  assert.deepEqual(to("b", "a"), { ok: true, node: "b", why: "pinned" });
  assert.deepEqual(to("full", "full"), { ok: true, node: "full", why: "pinned" });
  assert.equal(refusal(to("full")), "pin-unavailable");
  assert.equal(refusal(to("unknown")), "pin-unavailable");
  const cordoned = [node("a", { accepting: false })];
  assert.deepEqual(placeOne(system(1, { pin: "a", node: "a" }), cordoned), {
    ok: true,
    node: "a",
    why: "pinned",
  });
  assert.equal(refusal(placeOne(system(1, { pin: "a" }), cordoned)), "pin-unavailable");
  assert.equal(
    refusal(placeOne(system(1, { pin: "a", node: "a" }), nodes, { leaving: ["a"] })),
    "pin-unavailable",
  );
});

Deno.test("placeOne() asserts what its callers must have checked", () => {
  for (const bad of [{ weight: 0 }, { weight: NaN }, { capacity: -1 }, { capacity: 1.5 }, { load: NaN }]) {
    assert.throws(() => placeOne(system(1), [node("a", bad)]), /Assertion failed/);
  }
  assert.throws(() => placeOne(system(1), [node("a"), node("a")]), /listed once/);
});

Deno.test("placer: no node above its bound or capacity, whatever the nodes, after each placement", () => {
  fc.assert(
    fc.property(nodeSets(["z", "y"]), counts, (nodes, count) => {
      const place = placer(nodes);
      for (let id = 0; id < count; id++) {
        place.place(system(id));
        if (id % 37 === 0 || id === count - 1) {
          const loads = place.loads();
          assertBounded(nodes.map((n) => ({ ...n, load: loads.get(n.fp) ?? 0 })));
        }
      }
    }),
    { numRuns: 60 },
  );
});

Deno.test("placer: uses all the room there is before it refuses", () => {
  fc.assert(
    fc.property(nodeSets(["z", "y"], 5), (nodes) => {
      const all = nodes.reduce((sum, n) => sum + n.capacity, 0);
      const { systems } = fill(nodes, all + 5, [nodes[0]?.zone ?? "z"]);
      assert.equal(systems.length, all);
    }),
    { numRuns: 30 },
  );
});

Deno.test("placer: same answers for any order of nodes, and for loads found instead of counted", () => {
  fc.assert(
    fc.property(nodeSets(["z", "y"]), counts, fc.integer(), (nodes, count, seed) => {
      const one = placer(nodes, { seed });
      const two = placer(shuffled(nodes), { seed });
      for (let id = 0; id < count; id++) {
        const loads = one.loads();
        const answer = one.place(system(id));
        assert.deepEqual(two.place(system(id)), answer);
        if (id % 50 !== 0) continue;
        const found = nodes.map((n) => ({ ...n, load: loads.get(n.fp) ?? 0 }));
        assert.deepEqual(placeOne(system(id), found, { seed }), answer);
      }
    }),
    { numRuns: 40 },
  );
});

Deno.test("placer: respects weights", () => {
  const weights = [1, 2, 4, 0.5];
  const { nodes } = fill(weights.map((weight, at) => node(`n${at}`, { weight })), 7_500);
  for (const { fp, weight, load } of nodes) {
    assert.ok(load > 850 * weight && load <= 1_101 * weight, `${fp} of weight ${weight} holds ${load}`);
  }
});

// --- Many systems --------------------------------------------------------------------------------------------

Deno.test("planMoves() drains a node: exactly its systems move, each once, within bounds", () => {
  fc.assert(
    fc.property(nodeSets(["z", "y"]), counts, fc.nat(), (drawn, count, pick) => {
      const world = fill(drawn, count, ["z", "y"].filter((zone) => drawn.some((n) => n.zone === zone)));
      const gone = world.nodes[pick % world.nodes.length];
      assert.ok(gone);
      const plan = planMoves(world.systems, world.nodes, { kind: "drain", nodes: [gone.fp] });
      const on = world.systems.filter((s) => s.node === gone.fp);
      assert.deepEqual([...plan.ids, ...plan.stuck.ids].sort(), on.map((s) => s.id).sort());

      const after = apply(world, plan);
      assertBounded(after.nodes.filter((n) => n.fp !== gone.fp));
      const room = after.nodes.some((n) => n.fp !== gone.fp && n.load < n.capacity);
      if (room) assert.deepEqual(plan.stuck.ids.length, 0);
      for (const reason of plan.stuck.reasons) assert.equal(reason, "cluster-full");
    }),
    { numRuns: 60 },
  );
});

Deno.test("planMoves() shrinks by several nodes at once without moving anybody twice", () => {
  fc.assert(
    fc.property(roomySets, counts, (drawn, count) => {
      const world = fill(drawn, count);
      const gone = world.nodes.slice(0, -1).map((n) => n.fp);
      const plan = planMoves(world.systems, world.nodes, { kind: "drain", nodes: gone });
      const after = apply(world, plan);
      assert.equal(plan.ids.length, world.systems.filter((s) => gone.includes(s.node ?? "")).length);
      assert.equal(after.nodes.at(-1)?.load, world.systems.length);
    }),
    { numRuns: 40 },
  );
});

Deno.test("planMoves() moves exactly the minimum when a node is added: its whole fair share", () => {
  fc.assert(
    fc.property(roomySets, counts, fc.double({ min: 0.2, max: 5, noNaN: true }), (drawn, count, weight) => {
      const world = fill(drawn, count);
      const nodes = [...world.nodes, node("new", { weight })];
      const fair = count * weight / nodes.reduce((all, n) => all + n.weight, 0);
      const plan = planMoves(world.systems, nodes, { kind: "rebalance", zone: "z", fill: ["new"] });
      const after = apply({ ...world, nodes }, plan);
      const filled = after.nodes.at(-1)?.load ?? NaN;
      assert.ok(Math.abs(filled - fair) < 1, `holds ${filled} of ${fair}`);
      assertBounded(after.nodes);
      // The minimum: the new node's share must come, and what old nodes have above their bound must go.
      const over = nodes.slice(0, -1).reduce(
        (all, n, at) => all + Math.max(0, n.load - boundOf(nodes, at)),
        0,
      );
      assert.equal(plan.ids.length, Math.max(filled, over));
      // Whole systems: at most one a node on top.
      assert.ok(plan.ids.length <= 1.1 * fair + nodes.length, `${plan.ids.length} moves, ${fair} is fair`);
    }),
    { numRuns: 100 },
  );
});

function boundOf(nodes: PlacementNode[], at: number): number {
  const level = new WaterLevel(nodes).at(nodes.reduce((all, n) => all + n.load, 0));
  const found = nodes[at];
  assert.ok(found);
  const fair = shareAt(level, found);
  return Math.min(found.capacity, Math.ceil(fair + fair / 10));
}

Deno.test("planMoves() leaves a zone alone that placement filled, and one that was just rebalanced", () => {
  fc.assert(
    fc.property(nodeSets(["z"]), counts, (drawn, count) => {
      const world = fill(drawn, count);
      assert.deepEqual(
        planMoves(world.systems, world.nodes, { kind: "rebalance", zone: "z", fill: [] }).ids,
        [],
      );
      const goal = { kind: "rebalance", zone: "z", fill: ["n0"] } as const;
      const once = apply(world, planMoves(world.systems, world.nodes, goal));
      assert.deepEqual(planMoves(once.systems, once.nodes, goal).ids, []);
    }),
    { numRuns: 100 },
  );
});

Deno.test("planMoves() brings any skew under the bounds, moving nobody past the fair share, either way", () => {
  const loads = fc.array(fc.nat({ max: 60 }), { minLength: 2, maxLength: 8 });
  fc.assert(fc.property(loads, fc.boolean(), (loads, fillAll) => {
    const nodes = loads.map((load, at) => node(`n${at}`, { load }));
    const systems = nodes.flatMap(residents);
    const toFill = fillAll ? nodes.map((n) => n.fp) : [];
    const after = apply(
      { nodes, systems },
      planMoves(systems, nodes, { kind: "rebalance", zone: "z", fill: toFill }),
    );
    assertBounded(after.nodes);
    const fair = systems.length / nodes.length;
    for (const [at, { load }] of after.nodes.entries()) {
      const before = loads[at] ?? 0;
      if (fillAll && before < fair) assert.ok(load >= Math.floor(fair));
      if (load > before) assert.ok(load <= Math.ceil(fair));
      if (load < before) assert.ok(load >= Math.floor(fair));
    }
  }));
});

Deno.test("planMoves() empties what is above capacity as far as there is room", () => {
  const nodes = [node("a", { load: 30, capacity: 10 }), node("b", { load: 5, capacity: 10 })];
  const plan = planMoves(nodes.flatMap(residents), nodes, { kind: "rebalance", zone: "z", fill: [] });
  assert.deepEqual(plan.loads, [25, 10]);
});

Deno.test("planMoves() never moves a pinned system in a rebalance, and takes others in its place", () => {
  const nodes = [node("a", { load: 100 }), node("b")];
  const systems = Array.from(
    { length: 100 },
    (_, id) => system(id, { node: "a", pin: id < 50 ? "a" : null }),
  );
  const plan = planMoves(systems, nodes, { kind: "rebalance", zone: "z", fill: ["b"] });
  assert.deepEqual([...plan.ids].sort(), systems.slice(50).map((s) => s.id).sort());
});

Deno.test("planMoves() fills a node from others where the systems above a bound are pinned", () => {
  const nodes = [
    node("a", { load: 70 }),
    node("b", { load: 60 }),
    node("low", { load: 20 }),
    node("new", { load: 30 }),
  ];
  const systems = nodes.flatMap(residents).map((s) => ({ ...s, pin: s.node === "a" ? "a" : null }));
  const plan = planMoves(systems, nodes, { kind: "rebalance", zone: "z", fill: ["new"] });
  assert.deepEqual(plan.loads, [70, 45, 20, 45]);
});

Deno.test("planMoves() moves pinned systems of a drained node to their pin, or says that they are stuck", () => {
  const nodes = [node("a", { load: 3 }), node("b"), node("c")];
  const systems = [1, 2, 3].map((id) =>
    system(id, { node: "a", pin: id === 1 ? "a" : id === 2 ? "c" : null })
  );
  const plan = planMoves(systems, nodes, { kind: "drain", nodes: ["a"] });
  assert.deepEqual(plan.stuck, { ids: [1], reasons: ["pin-unavailable"] });
  assert.equal(plan.nodes[plan.to[plan.ids.indexOf(2)] ?? -1], "c");
  assert.equal(plan.loads[0], 1);
});

Deno.test("planMoves() in a rebalance leaves cordoned nodes and other zones alone", () => {
  const nodes = [
    node("a", { load: 40 }),
    node("b"),
    node("cordoned", { load: 500, accepting: false }),
    node("other", { zone: "y", load: 900 }),
  ];
  const systems = nodes.flatMap(residents);
  const plan = planMoves(systems, nodes, { kind: "rebalance", zone: "z", fill: ["b"] });
  assert.equal(plan.ids.length, 20);
  assert.deepEqual(plan.loads, [20, 20, 500, 900]);
  assert.ok(plan.ids.every((id) => String(id).startsWith("a/")));
});

Deno.test("planMoves() gives the same plan for any order of nodes", () => {
  fc.assert(
    fc.property(nodeSets(["z", "y"]), counts, (drawn, count) => {
      const { nodes, systems } = fill(drawn, count);
      const grown = [...nodes, node("new")];
      for (
        const goal of [{ kind: "rebalance", zone: "z", fill: ["new"] }, {
          kind: "drain",
          nodes: ["n0"],
        }] as const
      ) {
        assert.deepEqual(planMoves(systems, shuffled(grown), goal), planMoves(systems, grown, goal));
      }
    }),
    { numRuns: 50 },
  );
});

Deno.test("planMoves() asserts that what it is asked about is listed", () => {
  assert.throws(() => planMoves([], [node("a")], { kind: "drain", nodes: ["b"] }), /listed/);
  assert.throws(() => planMoves([], [node("a")], { kind: "rebalance", zone: "y", fill: [] }), /known/);
  const closed = [node("a", { accepting: false }), node("b", { zone: "y" })];
  for (const fp of ["a", "b"]) {
    assert.throws(
      () => planMoves([], closed, { kind: "rebalance", zone: "z", fill: [fp] }),
      /accepts in zone z/,
    );
  }
});
