/**
 * I2. The index `on-node` says of every system what its record says: one owner, or none; and its zone is there.
 * I3. A node's load is what it owns and what is on its way to it; a new move never takes it above its capacity.
 * I4. At most one open move per system; a move's states follow their machine.
 */
import { moveMachine } from "../../../lib/cluster/machines.ts";
import type { Move, System } from "../../../lib/cluster/types.ts";
import type { Probe } from "../../../lib/seams.ts";
import { isOpen, type Seen } from "../seen.ts";
import { demand, type Rule } from "./rule.ts";

/** I2. */
export function oneOwner(seen: Seen): Rule {
  const indexed = new Map<number, string>();
  return {
    look(changes) {
      const touched = new Set<number>();
      for (const { room, parts, after } of changes) {
        if (room === "system" && after !== null) touched.add(after.id);
        if (room !== "on-node") continue;
        const [fp, id] = [parts[0] ?? "", Number(parts[1])];
        touched.add(id);
        if (after !== null) indexed.set(id, fp);
        else if (indexed.get(id) === fp) indexed.delete(id);
      }
      for (const id of touched) {
        const [owner, index] = [ownerOf(seen.systems.get(id) ?? null), indexed.get(id) ?? null];
        const detail = `system ${id} is on ${seen.nameOf(owner)}, the index says ${seen.nameOf(index)}`;
        demand(owner === index, "I2 one owner", detail);
      }
    },
  };
}

/** I2. */
export function zoned(seen: Seen): Rule {
  const holds = ({ id, zone, state }: System) =>
    demand(
      state === "deleted" || seen.zones.has(zone),
      "I2 its zone is there",
      `system ${id}: zone ${zone} is gone`,
    );
  return {
    look(changes) {
      for (const { room, after } of changes) {
        if (room === "system" && after !== null) holds(after);
        if (room === "zone" && after === null) { for (const system of seen.systems.values()) holds(system); }
      }
    },
  };
}

/** I3. */
export function loaded(seen: Seen, probe: Probe): Rule {
  const [loads, owned, coming] = [new Counter(), new Counter(), new Counter()];
  return {
    look(changes) {
      const touched = new Set<string>();
      const filling = new Set<string>();
      const count = (counter: Counter, fp: string | null, by: number) => {
        if (fp === null) return;
        counter.add(fp, by);
        touched.add(fp);
      };
      for (const { room, parts, before, after } of changes) {
        if (room === "load") {
          const fp = parts[0] ?? "";
          count(loads, fp, (after?.placed ?? 0) - (before?.placed ?? 0));
        } else if (room === "system") {
          count(owned, ownerOf(before), -1);
          count(owned, ownerOf(after), 1);
        } else if (room === "move" && isOpen(before) !== isOpen(after)) {
          const to = (after ?? before)?.to ?? null;
          count(coming, to, isOpen(after) ? 1 : -1);
          if (isOpen(after) && to !== null) filling.add(to);
        }
      }
      for (const fp of touched) {
        const [load, has, awaits] = [loads.of(fp), owned.of(fp), coming.of(fp)];
        demand(
          load === has + awaits,
          "I3 load",
          `${seen.nameOf(fp)} counts ${load}, owns ${has}, awaits ${awaits}`,
        );
      }
      for (const fp of filling) {
        const [load, capacity] = [loads.of(fp), seen.nodes.get(fp)?.capacity ?? 0];
        probe.sometimes("a node is exactly full", load === capacity);
        demand(load <= capacity, "I3 capacity", `${seen.nameOf(fp)} has ${load} of ${capacity}`);
      }
    },
  };
}

/** I4. */
export function oneMove(): Rule {
  const open = new Map<number, string>();
  return {
    look(changes) {
      for (const { room, before, after } of changes) {
        if (room !== "move" || after === null) continue;
        const { system, plan } = after;
        demand(
          isStep(before, after),
          "I4 a move's states",
          `system ${system}: ${before?.state} → ${after.state}`,
        );
        const other = open.get(system) ?? plan;
        if (isOpen(after)) {
          demand(other === plan, "I4 one open move", `system ${system} is moved by ${other} and ${plan}`);
          open.set(system, plan);
        } else if (other === plan) open.delete(system);
      }
    },
  };
}

function isStep(before: Move | null, after: Move): boolean {
  if (before === null || before.state === after.state) return true;
  // `arrived` and `settled` may be one transaction.
  return Object.values(moveMachine[before.state]).includes(after.state) ||
    (before.state === "switching" && after.state === "there");
}

function ownerOf(system: System | null): string | null {
  return system === null || system.state === "deleted" ? null : system.node;
}

class Counter {
  readonly #counts = new Map<string, number>();

  add(name: string, by: number): void {
    this.#counts.set(name, this.of(name) + by);
  }

  of(name: string): number {
    return this.#counts.get(name) ?? 0;
  }
}
