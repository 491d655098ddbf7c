/**
 * Which node takes a system, and which systems move when nodes come, go or are filled. Pure: a decision depends on
 * its arguments only, so it can be shown, stored and replayed.
 *
 * A system's own zone is tried first: weighted rendezvous hashing among its nodes that have room. A node has room
 * below its bound, its fair share of the zone and a slack (`PLACEMENT_SLACK_PERCENT`), and never above its capacity.
 * L1. Nobody moves without need: a system stays until its node is gone from the list or named as `leaving`, its pin
 *     points elsewhere, or a rebalance finds a node above its bound or is told to fill one.
 * L2. No placement takes a node above ceil(1.1 × fair share) or above its capacity. Only a pin may pass the first.
 * L3. Same nodes in any order, same systems: same answer.
 * L4. While any accepting node of a zone has capacity left, one of them is below its bound.
 * Source: rendezvous hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016); fair_share.ts.
 */
import { assert } from "../errors.ts";
import { PLACEMENT_SLACK_PERCENT } from "../limits.ts";
import { apportion, shareAt, WaterLevel } from "./fair_share.ts";
import { type Hash, hashOf, winner } from "./rendezvous.ts";

export interface PlacementNode {
  fp: string;
  zone: string;
  /** Share relative to the other nodes of its zone; above 0. */
  weight: number;
  /** Most systems that it may hold; a whole number. */
  capacity: number;
  /** Systems placed on it now, those on their way to it included. */
  load: number;
  /** Takes new systems. One that does not keeps what it has, unless it is leaving. */
  accepting: boolean;
}

export interface PlacementSystem {
  id: number | string;
  /** Where it wants to be. */
  zone: string;
  /** Where it is. */
  node: string | null;
  /** The only node that it may be on. */
  pin: string | null;
}

export interface PlacementPolicy {
  /** Whether other zones may help out when the own one is full or takes nobody. Default: true. */
  fallback?: boolean;
  /** Zones whose systems use no other zone, whatever `fallback` says. Default: none. */
  confined?: readonly string[];
  /** Zones that exist besides those of the nodes: one without a node is empty, not unknown. Default: none. */
  zones?: readonly string[];
  /** Nodes whose systems must go, whatever their state. Default: none. */
  leaving?: readonly string[];
  /** Another seed, another order of preference. One per cluster, for ever. Default: 0. */
  seed?: number;
}

export type RefusalReason =
  /** No node has the system's zone and `zones` does not list it. Other zones are not tried: it may be a slip. */
  | "unknown-zone"
  /** The zone has no accepting node, and there is no fallback. */
  | "zone-closed"
  /** The zone's accepting nodes are at capacity, and there is no fallback. */
  | "zone-full"
  /** Nor does any other zone have room. */
  | "cluster-full"
  /** The pinned node is unknown, leaving, not accepting or full. */
  | "pin-unavailable";

export interface Placed {
  ok: true;
  node: string;
  why: "pinned" | "stays" | "zone" | "fallback";
}

export interface Refused {
  ok: false;
  reason: RefusalReason;
  message: string;
}

export type Placement = Placed | Refused;

/** Places systems one after another; each sees the loads that the ones before it left. */
export interface Placer {
  place(system: PlacementSystem): Placement;
  /** Load by fingerprint, as of now. */
  loads(): Map<string, number>;
}

export type MoveGoal =
  /** Everybody leaves these nodes: a drain of one, a shrink of several at once. */
  | { kind: "drain"; nodes: readonly string[] }
  /** These nodes of the zone, new ones mostly, get their fair share; nodes above their bound come down to it. */
  | { kind: "rebalance"; zone: string; fill: readonly string[] };

/** Moves in columns, for there may be a million: move i takes system `ids[i]` from `nodes[from[i]]` to `nodes[to[i]]`. */
export interface MovePlan {
  /** All fingerprints, sorted. */
  nodes: string[];
  ids: (number | string)[];
  from: number[];
  to: number[];
  /** Systems that should move and cannot, with the reason. */
  stuck: { ids: (number | string)[]; reasons: RefusalReason[] };
  /** Load of each of `nodes` when all moves are done. */
  loads: number[];
}

/** 2²¹: with a 32-bit turn above it, a number that a double holds exactly. */
const TURN_INDEX_MAX = 2 ** 21;

/** A node at work: what the rest of this file counts on. */
interface Slot {
  readonly fp: string;
  /** Place in the sorted list of all nodes. */
  readonly at: number;
  readonly zone: ZoneState;
  readonly weight: number;
  readonly capacity: number;
  readonly hash: Hash;
  readonly leaving: boolean;
  readonly open: boolean;
  load: number;
}

/** The accepting nodes of one zone, sorted, and their load together. */
interface ZoneState {
  readonly open: Slot[];
  water: WaterLevel;
  total: number;
}

interface Cluster {
  /** Sorted by fingerprint. */
  slots: Slot[];
  byFp: Map<string, Slot>;
  zones: Map<string, ZoneState>;
}

/** Decides for one system. To place many, take a `placer`. */
export function placeOne(
  system: PlacementSystem,
  nodes: Iterable<PlacementNode>,
  policy: PlacementPolicy = {},
): Placement {
  return placer(nodes, policy).place(system);
}

/** Reads the nodes once; then each placement costs one pass over the zone's nodes. */
export function placer(nodes: Iterable<PlacementNode>, policy: PlacementPolicy = {}): Placer {
  const cluster = clusterOf(nodes, policy);
  return {
    place: (system) => place(cluster, system, policy),
    loads: () => new Map(cluster.slots.map(({ fp, load }) => [fp, load])),
  };
}

/**
 * The moves that reach a goal. `systems` may be all of the cluster, and is read once, as it comes.
 *
 * Drain: exactly the systems of the leaving nodes move, each once. That is the minimum.
 *
 * Rebalance: the minimum is the least number of moves after which each node to be filled has its whole share and no
 * node of the zone is above its bound, shares being of what the zone's accepting nodes hold now: the larger of what
 * must come and what must go. Exactly that many move, each once; fewer only where pins or capacity are in the way.
 * Filling one new node of a zone that placement filled moves the node's fair share and nobody else; only where shares
 * are a few systems can the rounding of bounds add one. Nodes that have less than their share and are not to be
 * filled ask for nobody (L1): the next registrations find them. Cordoned nodes are left alone.
 */
export function planMoves(
  systems: Iterable<PlacementSystem>,
  nodes: Iterable<PlacementNode>,
  goal: MoveGoal,
  policy: PlacementPolicy = {},
): MovePlan {
  const leaving = goal.kind === "drain" ? [...(policy.leaving ?? []), ...goal.nodes] : policy.leaving ?? [];
  const full = { ...policy, leaving };
  const cluster = clusterOf(nodes, full);
  const plan: MovePlan = {
    nodes: cluster.slots.map(({ fp }) => fp),
    ids: [],
    from: [],
    to: [],
    stuck: { ids: [], reasons: [] },
    loads: [],
  };
  if (goal.kind === "drain") planDrain(plan, systems, cluster, goal.nodes, full);
  else planRebalance(plan, systems, cluster, goal, policy.seed);
  plan.loads = cluster.slots.map(({ load }) => load);
  return plan;
}

function clusterOf(
  nodes: Iterable<PlacementNode>,
  { leaving = [], zones: named = [], seed }: PlacementPolicy,
): Cluster {
  const gone = new Set(leaving);
  const zones = new Map<string, ZoneState>();
  const zoneOf = (name: string): ZoneState => {
    const zone = zones.get(name) ?? { open: [], water: new WaterLevel([]), total: 0 };
    zones.set(name, zone);
    return zone;
  };
  named.forEach(zoneOf);

  const sorted = [...nodes].sort((x, y) => x.fp < y.fp ? -1 : 1); // by code units: the same in every locale
  const slots = sorted.map((node, at): Slot => {
    const { fp, weight, capacity, load } = node;
    assert(fp !== sorted[at - 1]?.fp, `node ${fp} is listed once`);
    assert(weight > 0 && weight < Infinity, `node ${fp} has a weight above 0`);
    assert(isCount(capacity) && isCount(load), `node ${fp} has a whole capacity and load`);
    const isLeaving = gone.has(fp);
    const open = node.accepting && !isLeaving;
    const zone = zoneOf(node.zone);
    return { fp, at, zone, weight, capacity, load, hash: hashOf(fp, seed), leaving: isLeaving, open };
  });
  for (const slot of slots) {
    if (!slot.open) continue;
    slot.zone.open.push(slot);
    slot.zone.total += slot.load;
  }
  for (const zone of zones.values()) zone.water = new WaterLevel(zone.open);
  return { slots, byFp: new Map(slots.map((slot) => [slot.fp, slot])), zones };
}

// --- One system ----------------------------------------------------------------------------------------------

function place(cluster: Cluster, system: PlacementSystem, policy: PlacementPolicy): Placement {
  const current = system.node === null ? undefined : cluster.byFp.get(system.node);
  const chosen = choose(cluster, system, current, policy);
  if (!("slot" in chosen)) return refused(system, chosen.reason, chosen.state);
  if (chosen.slot !== current) {
    if (current) addLoad(current, -1);
    addLoad(chosen.slot, 1);
  }
  return { ok: true, node: chosen.slot.fp, why: chosen.why };
}

type Choice = { slot: Slot; why: Placed["why"] } | { reason: RefusalReason; state: string };

function choose(
  cluster: Cluster,
  system: PlacementSystem,
  current: Slot | undefined,
  { fallback = true, confined = [], seed }: PlacementPolicy,
): Choice {
  if (system.pin !== null) return choosePinned(cluster, system.pin, current);
  if (current && !current.leaving) return { slot: current, why: "stays" };

  const zone = cluster.zones.get(system.zone);
  if (zone === undefined) {
    return { reason: "unknown-zone", state: `zone "${system.zone}" is unknown, correct it or add it` };
  }
  const hash = hashOf(system.id, seed);
  const home = winner(hash, zone.open, hasRoom(zone));
  if (home) return { slot: home, why: "zone" };

  const state = `zone "${system.zone}" ${zone.open.length === 0 ? "has no accepting node" : "is full"}`;
  if (!fallback || confined.includes(system.zone)) {
    const reason = zone.open.length === 0 ? "zone-closed" : "zone-full";
    return { reason, state: `${state} and may not use others, accept a node there or allow fallback` };
  }
  const away = chooseAnywhere(cluster, hash);
  if (away) return { slot: away, why: "fallback" };
  return { reason: "cluster-full", state: `${state} and no other zone has room, accept another node` };
}

function choosePinned({ byFp }: Cluster, pin: string, current: Slot | undefined): Choice {
  const slot = byFp.get(pin);
  const unfit = slot === undefined ? "is unknown" : unfitForPin(slot, current);
  if (slot && unfit === null) return { slot, why: "pinned" };
  const state = `the node it is pinned to, ${pin}, ${unfit}; change the pin or the node`;
  return { reason: "pin-unavailable", state };
}

/** Whoever is there already stays until the node is emptied; others need a node that takes them. */
function unfitForPin(slot: Slot, current: Slot | undefined): string | null {
  if (slot.leaving) return "is being emptied";
  if (slot === current) return null;
  if (!slot.open) return "is not accepting";
  return slot.load >= slot.capacity ? "is full" : null;
}

/** The best node of all zones, each of which keeps its own bound. */
function chooseAnywhere({ zones }: Cluster, hash: Hash): Slot | null {
  const best: Slot[] = [];
  for (const zone of zones.values()) {
    const slot = winner(hash, zone.open, hasRoom(zone));
    if (slot) best.push(slot);
  }
  return winner(hash, best.sort((x, y) => x.at - y.at), () => true); // the winner of winners is the winner of all
}

/** Below the bound that holds once the zone has one system more. */
function hasRoom(zone: ZoneState): (slot: Slot) => boolean {
  const level = zone.water.at(zone.total + 1);
  return (slot) => slot.load < boundAt(level, slot);
}

/** Most that a node may hold: its share and the slack, rounded up, within its capacity. */
function boundAt(level: number, slot: Slot): number {
  const fair = shareAt(level, slot);
  // fair + a part of it, not 1.1 × fair: 1.1 × 10 is above 11 in doubles and would round up to 12.
  return Math.min(slot.capacity, Math.ceil(fair + fair * PLACEMENT_SLACK_PERCENT / 100));
}

function addLoad(slot: Slot, change: 1 | -1): void {
  if (slot.load + change < 0) return; // a count that lags behind what is listed
  slot.load += change;
  if (slot.open) slot.zone.total += change;
}

function refused(system: PlacementSystem, reason: RefusalReason, state: string): Refused {
  return { ok: false, reason, message: `Cannot place system ${system.id}: ${state}` };
}

// --- Many systems --------------------------------------------------------------------------------------------

function planDrain(
  plan: MovePlan,
  systems: Iterable<PlacementSystem>,
  cluster: Cluster,
  fps: readonly string[],
  policy: PlacementPolicy,
): void {
  const drained = new Set(fps);
  for (const fp of drained) assert(cluster.byFp.has(fp), `node ${fp}, to be drained, is listed`);
  for (const system of systems) {
    if (system.node === null || !drained.has(system.node)) continue;
    const placement = place(cluster, system, policy);
    if (placement.ok) addMove(plan, system.id, slotOf(cluster, system.node), slotOf(cluster, placement.node));
    else {
      plan.stuck.ids.push(system.id);
      plan.stuck.reasons.push(placement.reason);
    }
  }
}

/** A node of the zone under rebalance, and what is to change. */
interface Part {
  slot: Slot;
  /** Its whole fair share. */
  target: number;
  /** How many it holds above its bound. */
  over: number;
  /** Systems that may go, and the turn of each; filled only where the node is above its target. */
  ids: (number | string)[];
  turns: number[];
  /** How many go and how many come. */
  out: number;
  in: number;
}

function planRebalance(
  plan: MovePlan,
  systems: Iterable<PlacementSystem>,
  cluster: Cluster,
  { zone: name, fill }: { zone: string; fill: readonly string[] },
  seed: number | undefined,
): void {
  const zone = cluster.zones.get(name);
  assert(zone, `zone ${name}, to be rebalanced, is known`);
  const toFill = new Set(fill.map((fp) => slotOf(cluster, fp)));
  for (const slot of toFill) {
    assert(zone.open.includes(slot), `node ${slot.fp}, to be filled, accepts in zone ${name}`);
  }
  const parts = partsOf(zone, toFill);
  collectMovable(parts, systems, seed);
  setQuotas(parts);

  const takers = new Map(parts.filter((part) => part.in > 0).map((part) => [part.slot, part]));
  const slots = [...takers.keys()]; // sorted, as the zone's are
  for (const giver of parts) {
    for (const id of firstByTurn(giver, giver.out)) {
      const slot = winner(hashOf(id, seed), slots, (slot) => (takers.get(slot)?.in ?? 0) > 0);
      const taker = slot && takers.get(slot);
      if (!taker) return; // whoever could come has come: nobody else needs to go
      taker.in--;
      addLoad(giver.slot, -1);
      addLoad(taker.slot, 1);
      addMove(plan, id, giver.slot, taker.slot);
    }
  }
}

function partsOf(zone: ZoneState, toFill: ReadonlySet<Slot>): Part[] {
  const level = zone.water.at(zone.total);
  const targets = apportion(zone.total, zone.open);
  return zone.open.map((slot, at) => {
    const target = targets[at] ?? 0;
    const lacks = toFill.has(slot) ? Math.max(0, target - slot.load) : 0;
    const over = Math.max(0, slot.load - boundAt(level, slot));
    return { slot, target, over, ids: [], turns: [], out: 0, in: lacks };
  });
}

function collectMovable(
  parts: readonly Part[],
  systems: Iterable<PlacementSystem>,
  seed: number | undefined,
): void {
  const givers = new Map<string, Part>();
  for (const part of parts) if (part.slot.load > part.target) givers.set(part.slot.fp, part);
  if (parts.every((part) => part.over === 0 && part.in === 0)) return; // nothing will move: spare the reading
  for (const { id, node, pin } of systems) {
    if (node === null || pin !== null) continue;
    const giver = givers.get(node);
    if (!giver) continue;
    giver.ids.push(id);
    giver.turns.push(hashOf(id, seed).a >>> 0); // by hash: neither the oldest nor one owner's go first
  }
}

/** Whoever must come or go decides how many move; the others give or take the difference, by what they can spare. */
function setQuotas(parts: readonly Part[]): void {
  for (const part of parts) part.out = Math.min(part.over, part.ids.length);
  const lacking = parts.reduce((all, part) => all + part.in - part.out, 0);
  const spare = (part: Part) => Math.min(part.slot.load - part.target, part.ids.length) - part.out;
  const room = (part: Part) => part.target - part.slot.load - part.in;
  const shares = apportion(
    Math.abs(lacking),
    parts.map(lacking > 0 ? spare : room).map((most) => ({
      weight: Math.max(0, most),
      capacity: Math.max(0, most),
    })),
  );
  for (const [at, part] of parts.entries()) part[lacking > 0 ? "out" : "in"] += shares[at] ?? 0;
}

/** The `count` systems of lowest turn, in that order; of equal turns the one that was read first. */
function firstByTurn({ ids, turns }: Part, count: number): (number | string)[] {
  if (count <= 0) return [];
  assert(ids.length <= TURN_INDEX_MAX, `a node has at most ${TURN_INDEX_MAX} systems`);
  const keys = Float64Array.from(turns, (turn, at) => turn * TURN_INDEX_MAX + at).sort(); // 53 bits: no objects to sort
  return Array.from(keys.subarray(0, count), (key) => ids[key % TURN_INDEX_MAX] ?? "");
}

function slotOf({ byFp }: Cluster, fp: string): Slot {
  const slot = byFp.get(fp);
  assert(slot, `node ${fp} is listed`);
  return slot;
}

function addMove(plan: MovePlan, id: number | string, from: Slot, to: Slot): void {
  plan.ids.push(id);
  plan.from.push(from.at);
  plan.to.push(to.at);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
