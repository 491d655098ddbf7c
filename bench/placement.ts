/**
 * Planning among 1,000 nodes and 1,000,000 systems: placing them all, draining one node, filling a new one.
 *
 * Ten zones are the usual cluster, one zone is the worst: each placement looks at all nodes of a zone. Systems are
 * streamed as a scan of the store would bring them; the store itself is not part of it, and for scale there is the
 * time of reading that stream alone. Each plan is made at least once and again while time is left; the median counts.
 * Memory is the most that the process ever had, the million records that it reads from included.
 */
import { type PlacementNode, type PlacementSystem, placer, planMoves } from "../lib/cluster/placement.ts";
import { type BenchOptions, type Figure, judged, median, type Report } from "./figure.ts";
import { peakMemoryMb } from "./memory.ts";

const NODES = 1_000;
const SYSTEMS = 1_000_000;
const ZONE_COUNTS = [10, 1];
const PLAN_MS_GOAL = 3_000;
const MEMORY_MB_GOAL = 1_500;

export async function run(report: Report, { seconds }: BenchOptions): Promise<void> {
  for (const zones of ZONE_COUNTS) measure(report, zones, seconds * 1_000);
  report(figure("peak memory", await peakMemoryMb(), "MB", MEMORY_MB_GOAL));
}

function measure(report: Report, zones: number, caseMs: number): void {
  const newNode = (at: number): PlacementNode => ({
    fp: fpOf(at),
    zone: zoneOf(at, zones),
    weight: 1,
    capacity: 10_000,
    load: 0,
    accepting: true,
  });
  const scale = zones === 1 ? "1 zone" : `${zones} zones`;
  const startMs = performance.now();
  const { nodes, homes } = placeAll(Array.from({ length: NODES }, (_, at) => newNode(at)), zones);
  const perSecond = SYSTEMS / (performance.now() - startMs) * 1_000;
  report(figure(`place all systems, ${scale}`, perSecond, "systems/s"));

  const read = () => systemsOf(homes, zones).reduce((count) => count + 1, 0);
  report(figure(`read all systems, ${scale}`, medianMs(caseMs, read), "ms"));

  const grown = [...nodes, newNode(NODES)];
  const fill = { kind: "rebalance", zone: zoneOf(NODES, zones), fill: [fpOf(NODES)] } as const;
  const plans = {
    drain: () => planMoves(systemsOf(homes, zones), nodes, { kind: "drain", nodes: [fpOf(0)] }),
    fill: () => planMoves(systemsOf(homes, zones), grown, fill),
  };
  for (const [name, plan] of Object.entries(plans)) {
    report(figure(`plan a ${name}, ${scale}`, medianMs(caseMs, plan), "ms", PLAN_MS_GOAL));
    report(figure(`moves of that ${name}, ${scale}`, plan().ids.length, "moves"));
  }
}

function figure(name: string, value: number, unit: string, goal?: number): Figure {
  const base = { bench: "placement", case: name, value, unit };
  return judged(goal === undefined ? base : { ...base, goal: { value: goal } });
}

function fpOf(at: number): string {
  return at.toString(16).padStart(64, "0");
}

function zoneOf(at: number, zones: number): string {
  return `zone-${at % zones}`;
}

/** The nodes with the loads that placement gave them, and the node of each system. */
function placeAll(empty: PlacementNode[], zones: number): { nodes: PlacementNode[]; homes: string[] } {
  const { place, loads } = placer(empty);
  const homes: string[] = [];
  for (let id = 0; id < SYSTEMS; id++) {
    const placed = place({ id, zone: zoneOf(id, zones), node: null, pin: null });
    if (!placed.ok) throw new Error(placed.message);
    homes.push(placed.node);
  }
  const loadOf = loads();
  return { nodes: empty.map((node) => ({ ...node, load: loadOf.get(node.fp) ?? 0 })), homes };
}

function* systemsOf(homes: readonly string[], zones: number): Generator<PlacementSystem> {
  for (const [id, node] of homes.entries()) yield { id, zone: zoneOf(id, zones), node, pin: null };
}

function medianMs(forMs: number, work: () => unknown): number {
  const times: number[] = [];
  const endMs = performance.now() + forMs;
  do {
    const startMs = performance.now();
    work();
    times.push(performance.now() - startMs);
  } while (performance.now() < endMs);
  return median(times);
}
