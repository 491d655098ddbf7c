/**
 * The tick that watches nodes: no heartbeat for NODE_GRACE_MS makes a node `lost` and its systems `orphan`; pooled nodes
 * that nobody accepts expire; old profiles are retired after their grace time.
 *
 * W1. Nothing moves by this: recovering the systems of a lost node is an administrator's drain of it.
 * W2. A node that was never heard of is not lost: accepting one by hand before its agent runs is no outage.
 * W3. What cannot be done now (a profile on a lost node) holds up nothing else: indexes are walked to their end.
 */
import { MOVES_BATCH_MAX, NODE_GRACE_MS, POOLED_EXPIRE_MS } from "../../lib/limits.ts";
import { prefixRange } from "../../lib/store/store.ts";
import { EMPTY } from "../../lib/store/record.ts";
import { type Change, change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { next, SERVING, systemMachine } from "../../lib/cluster/machines.ts";
import { isAway } from "../../lib/cluster/moving.ts";
import { enterNodeState } from "../../lib/cluster/node_states.ts";
import { post } from "../../lib/cluster/outbox.ts";
import { beats, getText, loads, nodes, putText, retires, systems } from "../../lib/cluster/records.ts";
import type { Beat, Node, Retire } from "../../lib/cluster/types.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { done, type Tick } from "../../lib/mesh/handler.ts";
import { leave } from "./force_remove.ts";

const SELF = { who: "function:director" };

export const watchTick: Tick = {
  name: "watch",
  everyMs: 2_000,
  async run(context) {
    const { silent, expired } = await findSilent(context);
    for (const fp of silent) await loseNode(context, fp);
    for (const fp of expired) await expireNode(context, fp);
    await sweepSystems(context);
    return done();
  },
};

async function findSilent({ store, scope }: Context): Promise<{ silent: string[]; expired: string[] }> {
  return await store.read(scope, async (tx) => {
    const all: Node[] = [];
    for await (const node of nodes.all(tx, keys.nodes)) all.push(node);
    const seen = await beats.getMany(tx, all.map(({ fp }) => [fp] as [string]));
    const nowMs = scope.nowMs();
    const chosen = (test: (node: Node, beat: Beat | null) => boolean) =>
      all.filter((node, index) => test(node, seen[index] ?? null)).map(({ fp }) => fp);
    return {
      silent: chosen((node, beat) => isLost(node, beat, nowMs)),
      expired: chosen((node, beat) => isExpired(node, beat, nowMs)),
    };
  });
}

/** W2. A draining node that is silent stays draining, whose plan recovers its systems. */
function isLost({ state }: Node, beat: Beat | null, nowMs: number): boolean {
  return SERVING.includes(state) && state !== "draining" && beat !== null &&
    beat.atMs + NODE_GRACE_MS <= nowMs;
}

function isExpired({ state, pooledAtMs }: Node, beat: Beat | null, nowMs: number): boolean {
  return state === "pooled" && Math.max(pooledAtMs, beat?.atMs ?? 0) + POOLED_EXPIRE_MS <= nowMs;
}

async function loseNode(context: Context, fp: string): Promise<void> {
  await change(context, SELF, async (c) => {
    const [node, beat] = [await nodes.get(c.tx, fp), await beats.get(c.tx, fp)];
    if (node === null || beat === null || !isLost(node, beat, c.nowMs)) return;
    c.tx.lock(keys.beat(fp)); // a heartbeat that comes in meanwhile must win
    enterNodeState(c, node, "lose", `no heartbeat for ${Math.round((c.nowMs - beat.atMs) / 1000)} s`);
    c.tx.put(keys.away(fp), EMPTY);
    c.tx.put(keys.sweep(fp), EMPTY);
  });
}

async function expireNode(context: Context, fp: string): Promise<void> {
  await change(context, SELF, async (c) => {
    const [node, beat] = [await nodes.get(c.tx, fp), await beats.get(c.tx, fp)];
    if (node === null || !isExpired(node, beat, c.nowMs)) return;
    if (((await loads.get(c.tx, fp))?.placed ?? 0) > 0) return; // its database showed systems: a person decides
    c.tx.lock(keys.load(fp));
    c.tx.delete(keys.nodeByMachine(node.machineId));
    enterNodeState(c, node, "remove", "pooled and never accepted");
  });
}

/** Lets the systems of nodes that were lost, came back or were removed by force follow their node, batch by batch. */
async function sweepSystems(context: Context): Promise<void> {
  const waiting = await context.store.read(
    context.scope,
    (tx) => tx.scan(prefixRange(keys.sweeps), { limit: 1_000 }),
  );
  for (const { key } of waiting) {
    const fp = key.slice(keys.sweeps.length);
    while (await sweepBatch(context, fp)); // bounded by the node's systems
  }
}

/** True when there is more to do for this node. */
async function sweepBatch(context: Context, fp: string): Promise<boolean> {
  return await change(context, SELF, async (c) => {
    const node = await nodes.get(c.tx, fp);
    const cursor = await getText(c.tx, keys.sweep(fp));
    if (node === null || cursor === null) return false;
    const isGone = node.state === "removed";
    const follow = isGone ? leave : await followerOf(c, node);
    const prefix = keys.onNodePrefix(fp);
    const page = await c.tx.scan(prefixRange(prefix), {
      limit: MOVES_BATCH_MAX,
      ...(cursor === "" ? {} : { after: cursor }),
    });
    const found = await systems.getMany(
      c.tx,
      page.map(({ key }) => [Number(key.slice(prefix.length))] as [number]),
    );
    for (const system of found) if (system !== null) await follow(c, node, system);
    const last = page.at(-1);
    if (last !== undefined && page.length === MOVES_BATCH_MAX) {
      putText(c.tx, keys.sweep(fp), last.key);
      return true;
    }
    // Whoever is on the way from or to a node that is gone may still end there: it is looked at until nobody is left.
    const isEmpty = !isGone || ((await loads.get(c.tx, fp))?.placed ?? 0) === 0;
    if (isEmpty) {
      c.tx.delete(keys.sweep(fp));
      if (isGone) c.tx.delete(keys.away(fp)); // nobody will hear of it again
    } else if (cursor !== "") c.tx.put(keys.sweep(fp), EMPTY);
    return false;
  });
}

/** What becomes of a system whose node was lost, or is back. */
async function followerOf(c: Change, { fp }: Node): Promise<typeof leave> {
  const away = await isAway(c, fp);
  if (!away) c.tx.delete(keys.away(fp));
  const [from, event] = away ? ["bound", "orphan"] as const : ["orphan", "bind"] as const;
  return ({ tx, record }, node, system) => {
    if (system.state === from) {
      const state = next(systemMachine, from, event, `system ${system.id}`);
      systems.put(tx, { ...system, state, revision: system.revision + 1 }, system.id);
      record({
        what: `system.${event}`,
        target: `system:${system.id}`,
        why: node.reason,
        detail: { node: fp },
      });
    }
    return Promise.resolve();
  };
}

/** Tells nodes to forget profiles and keys of systems that moved away: one directive for many, see the salt brief. */
export const retireTick: Tick = {
  name: "retire",
  everyMs: 60_000,
  async run(context) {
    let after: string | null = null;
    do after = await retireBatch(context, after); while (after !== null); // bounded by the index
    return done();
  },
};

/** The key to go on after; null at the end. */
async function retireBatch(context: Context, after: string | null): Promise<string | null> {
  return await change(context, SELF, async (c) => {
    const page = await retires.scan(c.tx, keys.retires, {
      limit: MOVES_BATCH_MAX,
      after: after ?? undefined,
    });
    const due = page.map(({ value }) => value).filter(({ afterMs }) => afterMs <= c.nowMs);
    // A system that is on its way back to the node needs its key there; settling forgets the retirement.
    const moving = await c.tx.getMany(due.map(({ system }) => keys.moveOf(system)));
    const ready = due.filter((_, index) => moving[index] === null);
    for (const [fp, group] of Map.groupBy(ready, ({ node }) => node)) await retire(c, fp, group);
    return page.length < MOVES_BATCH_MAX ? null : page.at(-1)?.key ?? null;
  });
}

async function retire(c: Change, fp: string, group: readonly Retire[]): Promise<void> {
  const node = await nodes.get(c.tx, fp);
  if (node?.state === "lost") return; // it cannot hear; again when it is back
  for (const { system } of group) retires.delete(c.tx, fp, system);
  if (node === null || node.state === "removed") return;
  const minionIds = group.map(({ minionId }) => minionId);
  await post(c, fp, { kind: "directive.retire", body: { minionIds } });
  const detail = { systems: minionIds.length };
  c.record({ what: "node.retire", target: `node:${fp}`, why: "moved away", detail });
}
