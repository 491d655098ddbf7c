/** Faults that come by time: processes die, stop and are cut off, machines go down, clocks go wrong. */
import type { Random } from "../../lib/seams.ts";
import type { Faults, Kind } from "./faults.ts";
import type { Kernel } from "./kernel.ts";
import type { Far } from "./life.ts";
import type { Mesh } from "./mesh.ts";
import type { Process } from "./process.ts";
import { between, pick } from "./random.ts";
import type { World } from "./world.ts";

const FAR: readonly Far[] = ["store", "bus", "net"];
/** Longest time from one to the next, per kind. */
const EVERY_MS = { crash: 12_000, outage: 40_000, pause: 15_000, partition: 15_000, skew: 20_000 };
const SKEW_MS = 30_000;

export interface ChaosOptions {
  kernel: Kernel;
  random: Random;
  faults: Faults;
  mesh: Mesh;
  world: World;
  tell: (text: string) => void;
}

/** Goes on until `faults.end()`; whatever is wrong then is put right by `heal`. */
export function startChaos({ kernel, random, faults, mesh, world, tell }: ChaosOptions): { heal(): void } {
  const undo = new Set<() => void>();
  /** Puts it right after `ms`, or when everything heals. */
  const forMs = (ms: number, end: () => void) => {
    const once = () => {
      if (undo.delete(once)) end();
    };
    undo.add(once);
    kernel.after(ms, once);
  };

  const victim = (draws: Random): Process => {
    const agents = [...mesh.clientAgents.values()];
    const nodes = [...mesh.nodeAgents.values()];
    return pick(draws, pick(draws, [mesh.hosts, mesh.hosts, nodes, agents]));
  };
  const hit: Record<keyof typeof EVERY_MS, (draws: Random, n: number) => void> = {
    crash(draws, n) {
      const process = victim(draws);
      const downMs = between(draws, 500, 8_500);
      if (process.life === null || !faults.timed("crash", process.name, n)) return;
      tell(`${process.name} dies for ${downMs} ms`);
      process.stop();
      forMs(downMs, () => process.start());
    },
    outage(draws, n) {
      const node = pick(draws, world.nodes);
      const downMs = between(draws, 3_000, 45_000);
      const agent = mesh.nodeAgents.get(node);
      if (agent?.life === null || !node.isUp || !faults.timed("outage", node.name, n)) return;
      tell(`${node.name} is down for ${downMs} ms`);
      node.isUp = false;
      agent?.stop();
      forMs(downMs, () => {
        node.isUp = true;
        for (const system of world.systems) if (system.running.master === node.master) world.start(system);
        agent?.start();
      });
    },
    pause(draws, n) {
      const { life, name } = victim(draws);
      const ms = between(draws, 1_000, 21_000);
      if (life === null || !faults.timed("pause", name, n)) return;
      tell(`${name} stands still for ${ms} ms`);
      life.pause();
      forMs(ms, () => life.resume());
    },
    partition(draws, n) {
      const process = victim(draws);
      const far = pick(draws, FAR);
      const ms = between(draws, 500, 15_000);
      if (process.cut.has(far) || !faults.timed("partition", `${process.name}.${far}`, n)) return;
      tell(`${process.name} is cut off from ${far} for ${ms} ms`);
      process.cut.add(far);
      forMs(ms, () => process.cut.delete(far));
    },
    skew(draws, n) {
      const process = victim(draws);
      const skewMs = between(draws, -SKEW_MS, SKEW_MS);
      if (!faults.timed("skew", process.name, n)) return;
      tell(`clock of ${process.name} is ${skewMs} ms wrong`);
      process.skewMs = skewMs;
      undo.add(() => process.skewMs = 0);
    },
  };

  for (const kind of Object.keys(EVERY_MS) as (keyof typeof EVERY_MS & Kind)[]) {
    if (!faults.isOn(kind)) continue;
    const draws = random.fork(kind);
    let n = 0;
    const next = () => {
      kernel.after(between(draws, 500, EVERY_MS[kind]), () => {
        if (faults.isOver()) return;
        hit[kind](draws, ++n);
        next();
      });
    };
    next();
  }
  return {
    heal() {
      for (const end of [...undo]) end();
    },
  };
}
