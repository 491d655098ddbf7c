/** E1. At rest every system is bound; store, database and minion say the same; no work and no plan is left. */
import type { System } from "../../lib/cluster/types.ts";
import type { Seen } from "./seen.ts";
import type { SystemMachine, World } from "./world.ts";

/** The first thing that is not at rest, in words; null when all is. */
export function unrest(world: World, seen: Seen): string | null {
  const [work] = seen.work;
  if (work !== undefined) return `${work} is left`;
  const [plan] = seen.openPlans;
  if (plan !== undefined) return `plan ${plan} is ${seen.plans.get(plan)?.state}`;
  const [move] = seen.openMoves.values();
  if (move !== undefined) return `system ${move.system} is ${move.state} to ${seen.nameOf(move.to)}`;

  const byMinion = new Map([...seen.systems.values()].map((system) => [system.minionId, system]));
  for (const machine of world.systems) {
    const problem = unbound(world, machine, byMinion.get(machine.minionId));
    if (problem !== null) return `${machine.name} ${problem}`;
  }
  for (const { fp, name } of world.nodes) {
    const state = seen.nodes.get(fp)?.state;
    if (state !== "accepted") return `${name} is ${state}`;
  }
  return null;
}

function unbound(world: World, machine: SystemMachine, system: System | undefined): string | null {
  if (system === undefined) return "is not enrolled";
  if (system.fp === null && machine.hasAgent) return "has no agent";
  const node = system.node === null ? null : world.nodeOf(system.node);
  if (system.state !== "bound" || node === null) return `is ${system.state}`;
  if (machine.running.master !== node.master || !machine.isConnected) {
    return `is bound to ${node.name} and runs with ${machine.running.master}`;
  }
  return node.profiles.has(machine.minionId) ? null : `has no profile on ${node.name}`;
}
