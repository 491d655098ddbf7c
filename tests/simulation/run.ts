/**
 * One seed: a cluster comes up, is used and meddled with under faults, and must come to rest when they end.
 *
 * In: a seed. Out: a `Result`; same seed and options, same hash.
 * E1. At the end every system is bound; store, database and minion say the same; no work and no plan is left.
 * E2. It must get there without standing still for QUIET_MS_MAX.
 */
import { createLog, type Log } from "../../lib/log.ts";
import { assertWhole } from "../../lib/cluster/testing_whole.ts";
import type { AuditEntry } from "../../lib/cluster/types.ts";
import { apiTokens } from "../../lib/cluster/records.ts";
import type { Probe } from "../../lib/seams.ts";
import { mintToken, TOKEN_RANDOM_BYTES } from "../../lib/secure/token.ts";
import { startChaos } from "./chaos.ts";
import { Broken, Checks } from "./checks.ts";
import { Faults } from "./faults.ts";
import { type Drain, Kernel } from "./kernel.ts";
import { EPOCH_MS, Life } from "./life.ts";
import { Mesh } from "./mesh.ts";
import { openOrderedStore, OrderedData } from "./ordered_store.ts";
import { People } from "./people.ts";
import { Process } from "./process.ts";
import { between, hashText, seededRandom } from "./random.ts";
import type { Sabotage } from "./sabotage.ts";
import { NODES, scaleOf } from "./scale.ts";
import { NodeMachine, SystemMachine, textOf, World } from "./world.ts";

export interface RunOptions {
  seed: number;
  drain: Drain;
  /** Only these faults may fire. @default whatever the seed draws */
  only?: ReadonlySet<string> | null;
  sabotage?: Sabotage | null;
  /** Gets every line of the story. */
  trace?: ((line: string) => void) | null;
}

export interface Result {
  seed: number;
  /** What was broken; null when all held. */
  failure: { invariant: string; detail: string; atMs: number } | null;
  hash: number;
  events: number;
  virtualMs: number;
  faults: readonly string[];
  /** How often each mark was reached. */
  reached: Record<string, number>;
}

const ZONES = ["berlin", "nuremberg", "prague"];
/** How long people meddle and things fail. */
const CHAOS_MS = 45_000;
const MEDDLE_MS_MAX = 5_000;
const QUIET_MS_MAX = 900_000;
/** From one look whether all is at rest to the next. */
const LOOK_MS = 500;
/** Getting on for ever is no end either. */
const RUN_MS_MAX = 2 * 3_600_000;

export function runSeed({ seed, drain, only = null, sabotage = null, trace = null }: RunOptions): Result {
  const kernel = new Kernel(drain);
  const random = seededRandom(seed, "run");
  const faults = new Faults({ seed, only });
  const reached: Record<string, number> = {};
  const tell = (text: string) => trace?.(`${(kernel.nowMs / 1000).toFixed(3)} ${text}`);
  const stopped: { failure: Result["failure"] } = { failure: null };
  const fail = (error: unknown) => {
    const broken = error instanceof Broken
      ? error
      : new Broken("crash", error instanceof Error ? String(error.stack) : String(error));
    stopped.failure ??= {
      invariant: broken.invariant,
      detail: broken.message,
      atMs: Math.round(kernel.nowMs),
    };
  };

  const probe: Probe = {
    always: (holds, id) => {
      if (!holds) fail(new Broken(`always: ${id}`, "does not hold"));
    },
    sometimes: (id, holds = true) => {
      if (holds) reached[id] = (reached[id] ?? 0) + 1;
    },
    buggify: () => false,
  };
  const world = new World({
    kernel,
    random: random.fork("world"),
    faults,
    sabotage,
  });
  fill(world, seed);
  const data = new OrderedData(sabotage);
  const checks = new Checks(world, probe);
  data.onCommit = (written) => {
    for (const { key, after } of written) {
      kernel.note(hashText(key) ^ (after?.length ?? -1));
      if (trace && key.startsWith("audit/") && after !== null) tell(auditLine(after));
    }
    try {
      checks.onCommit(written);
    } catch (error) {
      fail(error);
    }
  };
  data.onRefused = (outcome) =>
    probe.sometimes(outcome === "conflict" ? "conflict" : "a token settles a commit");
  const mesh = new Mesh({ kernel, random, faults, data, world, probe, log: traceLog(kernel, trace), tell });

  let adminToken = "";
  const life = new Process({
    kernel,
    random,
    name: "people",
    tell,
    boot: async (life) => {
      const people = new People({
        scope: life.scope,
        net: mesh.net(life),
        random: random.fork("meddling"),
        world,
        mesh,
        checks,
        adminToken,
        tell,
      });
      await people.setUp();
      const draws = random.fork("when people meddle");
      while (kernel.nowMs < CHAOS_MS) {
        await people.meddle();
        await life.scope.sleep(between(draws, 100, MEDDLE_MS_MAX));
      }
      await people.tidyUp();
    },
  });
  const chaos = startChaos({ kernel, random: random.fork("chaos"), faults, mesh, world, tell });

  // The first token is in the store before anybody comes.
  const direct = openOrderedStore(data, {
    reach: () => Promise.resolve(),
    commit: (_s, apply) => Promise.resolve(apply()),
  });
  const founder = new Life({
    kernel,
    random: random.fork("founder"),
    name: "founder",
    skewMs: () => 0,
    isCut: () => false,
    onError: (_work, error) => fail(error),
  });
  const { id, secretHash, token } = mintToken(random.fork("token").bytes(TOKEN_RANDOM_BYTES));
  adminToken = token.reveal();
  void direct.write(founder.scope, (tx) => {
    const times = { createdAtMs: EPOCH_MS, expiresAtMs: EPOCH_MS * 2 };
    apiTokens.put(tx, { v: 1, id, secretHash, role: "admin", name: "people", ...times }, id);
    return Promise.resolve();
  });
  drain();
  for (const host of mesh.hosts) host.start();
  kernel.after(1_000, () => life.start());
  kernel.after(CHAOS_MS, () => {
    tell("all faults end");
    faults.end();
    chaos.heal();
  });

  let [seenProgress, quietSinceMs] = [0, 0];
  let lookAtMs = 0;
  let isDone = false;
  while (!isDone && stopped.failure === null && kernel.step()) {
    if (checks.progress !== seenProgress) [seenProgress, quietSinceMs] = [checks.progress, kernel.nowMs];
    if (kernel.nowMs - quietSinceMs > QUIET_MS_MAX || kernel.nowMs > RUN_MS_MAX) {
      fail(new Broken("E2 it gets there", unrest(world, checks) ?? "people are not done"));
    }
    if (faults.isOver() && kernel.nowMs - quietSinceMs > 3_000 && kernel.nowMs >= lookAtMs) {
      isDone = unrest(world, checks) === null;
      lookAtMs = kernel.nowMs + LOOK_MS;
    }
  }
  if (!isDone) {
    stopped.failure ??= { invariant: "E2", detail: "nothing is left to happen", atMs: kernel.nowMs };
  }
  if (isDone) {
    for (const process of mesh.processes()) process.stop();
    life.stop();
    direct.read(founder.scope, (tx) => assertWhole(tx)).catch(fail);
    drain();
  }
  return {
    seed,
    failure: stopped.failure,
    hash: kernel.hash >>> 0,
    events: kernel.events,
    virtualMs: Math.round(kernel.nowMs),
    faults: faults.fired,
    reached,
  };
}

/** Nodes with room for all, but not much more; some systems live on a node already, of those with an agent most are new. */
function fill(world: World, seed: number): void {
  const random = seededRandom(seed, "world");
  const { systems, agents } = scaleOf(seed, random);
  const capacity = Math.ceil(systems / NODES * (1.2 + random.below(10) / 10));
  for (let n = 1; n <= NODES; n++) {
    world.nodes.push(new NodeMachine(`node-${n}`, ZONES[n % ZONES.length] ?? "", capacity));
  }
  for (let n = 1; n <= systems; n++) {
    const hasAgent = n <= agents;
    const system = new SystemMachine(`client-${n}`, ZONES[random.below(ZONES.length)] ?? "", hasAgent);
    world.systems.push(system);
    const node = world.nodes[hasAgent ? random.below(NODES) : n % NODES];
    if ((!hasAgent || random.below(10) === 0) && node !== undefined) world.onboard(system, node);
  }
}

/** E1. The first thing that is not at rest; null when all is. */
function unrest(world: World, checks: Checks): string | null {
  const [work] = checks.work;
  if (work !== undefined) {
    const plan = work.split("/")[2] ?? "";
    return `${work} is left (${checks.planStates.get(plan)}; ${checks.describeMoves()})`;
  }
  if (checks.openPlans.size > 0) return `plan ${[...checks.openPlans][0]} is open`;
  if (checks.openMoves() > 0) return "a move is open";
  const byMinion = new Map([...checks.systems.values()].map((system) => [system.minionId, system]));
  for (const machine of world.systems) {
    const system = byMinion.get(machine.minionId);
    if (system === undefined) return `${machine.name} is not enrolled`;
    if (system.fp === null && machine.hasAgent) return `${machine.name} has no agent`;
    const node = world.nodes.find(({ fp }) => fp === system.node);
    if (system.state !== "bound" || node === undefined) return `${machine.name} is ${system.state}`;
    if (machine.running.master !== node.master || !machine.isConnected) {
      return `${machine.name} is bound to ${node.name} and runs with ${machine.running.master}`;
    }
    if (!node.profiles.has(machine.minionId)) return `${machine.name} has no profile on ${node.name}`;
  }
  for (const { fp, name } of world.nodes) {
    if (checks.nodeStates.get(fp) !== "accepted") return `${name} is ${checks.nodeStates.get(fp)}`;
  }
  return null;
}

/** One transition, as the audit has it. */
function auditLine(bytes: Uint8Array): string {
  const { what, target, who, why, detail } = JSON.parse(textOf(bytes)) as AuditEntry;
  return `${what} ${target.slice(0, 28)} by ${who.slice(0, 20)}: ${why} ${JSON.stringify(detail)}`;
}

function traceLog(kernel: Kernel, trace: RunOptions["trace"]): Log {
  if (!trace) return SILENT;
  return createLog({
    level: "debug",
    nowMs: () => EPOCH_MS + kernel.nowMs,
    write: (line) => trace(`${(kernel.nowMs / 1000).toFixed(3)} ${line}`),
  });
}

const nothing = () => {};
const SILENT: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing, with: () => SILENT };

/** What came of a seed, in one line. */
export function failureLine({ failure, seed }: Result): string {
  return failure === null
    ? `seed ${seed} holds`
    : `seed ${seed} breaks ${failure.detail}, after ${failure.atMs} ms`;
}
