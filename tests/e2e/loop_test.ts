/**
 * The loop, on real parts and for each Salt line: a minion that is registered to one real Salt master moves to another
 * because the director said so, with every message over real NATS and every database change read from real PostgreSQL.
 */
import assert from "node:assert/strict";
import type { AuditEntry, Node, Plan, System } from "../../lib/cluster/types.ts";
import { SALT_LINES, type SaltLine } from "../parts/salt.ts";
import { waitFor } from "../parts/wait.ts";
import { seededRandom } from "../simulation/random.ts";
import { type Loop, startLoop } from "./cluster.ts";

const STEP_MS = 60_000;

type Page<T> = { items: T[] };

for (const line of SALT_LINES) {
  Deno.test(`loop on Salt ${line}: register, reflect, drain to another master, and back from one that is down`, async () => {
    await withLoop(line, async (loop) => {
      await registered(loop);
      await drained(loop);
      await returnedFromDeadTarget(loop);
    });
  });
}

for (const [line, seed] of [["3006", 1], ["3008", 2]] as const) {
  Deno.test(`loop on Salt ${line} with every process killed once (seed ${seed}): same end`, async () => {
    await withLoop(line, async (loop) => {
      const killing = killEachOnce(loop, seed);
      await registered(loop);
      await drained(loop);
      const killed = await killing;
      for (const program of loop.programs.values()) {
        assert.ok(killed.includes(program.name), `${program.name} was killed`);
        assert.ok(program.starts >= 2, `${program.name} came back`);
      }
    });
  });
}

/** Runs the scenario; a failure shows the ends of all logs. */
async function withLoop(line: SaltLine, scenario: (loop: Loop) => Promise<void>): Promise<void> {
  const loop = await startLoop(line);
  try {
    await scenario(loop);
  } catch (error) {
    throw new Error(`${error instanceof Error ? error.message : error}\n${await loop.logs()}`, {
      cause: error,
    });
  } finally {
    await loop.stop();
  }
}

/** The minion's registration at its master arrives as row changes; then its agent enrols and attaches to it. */
async function registered(loop: Loop): Promise<void> {
  const [a] = loop.nodes;
  await eventSeen(loop, "system.adopt");
  await loop.startClientAgent();
  await eventSeen(loop, "system.register");
  const system = await theSystem(loop);
  assert.deepEqual([system.minionId, system.state, system.node], ["minion-1", "bound", a?.fp]);
  await waitFor("heartbeats of both nodes", STEP_MS, async () => {
    const { items } = await loop.call<Page<Node & { beat: unknown }>>("GET", "/v1/nodes");
    return items.every(({ beat }) => beat !== null);
  });
  assert.equal(await a?.master.ping("minion-1"), true);
}

/** The drain's own command, as an administrator gives it; it ends when the plan has ended. */
async function drained(loop: Loop): Promise<void> {
  const [a, b] = loop.nodes;
  const { code, stderr } = await drain(loop, "node-a");
  assert.equal(code, 0, stderr);
  const system = await theSystem(loop);
  assert.deepEqual([system.state, system.node, system.epoch], ["bound", b?.fp, 1]);
  await waitFor("an answer from the new master", STEP_MS, () => b?.master.ping("minion-1"));
  assert.equal(await a?.master.ping("minion-1"), false);
  const node = await loop.call<Node>("GET", `/v1/nodes/${a?.fp}`);
  assert.equal(node.state, "drained");
}

/** The target's master is dead: the minion must be with its old one again, and the plan says why. */
async function returnedFromDeadTarget(loop: Loop): Promise<void> {
  const [a, b] = loop.nodes;
  await loop.call("POST", `/v1/nodes/${a?.fp}/uncordon`, { why: "as a target" });
  await a?.master.kill();
  const { code } = await drain(loop, "node-b");
  assert.equal(code, 6, "a plan that ended with a system back has an exit code of its own");
  const { items: [plan] } = await loop.call<Page<Plan>>("GET", "/v1/plans");
  assert.deepEqual([plan?.state, plan?.counts.there, plan?.counts.back], ["done", 0, 1]);
  const system = await theSystem(loop);
  assert.deepEqual([system.state, system.node], ["bound", b?.fp]);
  await waitFor("an answer from the old master", STEP_MS, () => b?.master.ping("minion-1"));
}

async function drain(loop: Loop, node: string): Promise<{ code: number; stderr: string }> {
  return await loop.salar("node", "drain", node, "--yes");
}

async function theSystem(loop: Loop): Promise<System> {
  const { items: [system, ...others] } = await loop.call<Page<System>>("GET", "/v1/systems");
  assert.ok(system !== undefined && others.length === 0, "there is one system");
  return system;
}

async function eventSeen(loop: Loop, what: string): Promise<void> {
  await waitFor(`event ${what}`, STEP_MS, async () => {
    const { items } = await loop.call<Page<AuditEntry>>("GET", "/v1/events?limit=1000");
    return items.some((entry) => entry.what === what);
  });
}

/** Kills every process of Salar's own, the bus and the database once each, at moments drawn from the seed. */
async function killEachOnce(loop: Loop, seed: number): Promise<string[]> {
  const victims = () => [
    ...[...loop.programs.values()].map((program) => ({
      name: program.name,
      kill: () => Promise.resolve(program.kill()),
    })),
    { name: "nats", kill: () => loop.nats.kill().then(() => loop.nats.restart()) },
    { name: "postgres", kill: () => loop.postgres.kill().then(() => loop.postgres.restart()) },
  ];
  const random = seededRandom(seed, "kills");
  const killed: string[] = [];
  // The client agent comes later; it is waited for.
  await waitFor("the client agent", 2 * STEP_MS, () => loop.programs.has("client"));
  for (let left = victims(); left.length > 0; left = left.filter(({ name }) => !killed.includes(name))) {
    const victim = left[random.below(left.length)];
    if (victim === undefined) break;
    await new Promise((resolve) => setTimeout(resolve, 200 + random.below(1_500)));
    await victim.kill();
    killed.push(victim.name);
  }
  return killed;
}
