/**
 * Which nodes to ask, and which would only be waited for in vain.
 *
 * R1. A node that let a call wait for GATEWAY_NODE_MS is left out for GATEWAY_SILENT_MS by all replicas; then the one
 *     call that gets to it first tries it again, while the others go on without it.
 * R2. A lost node is not asked: what it owns is missing, and the answer says so.
 */
import { z } from "zod";
import { GATEWAY_SILENT_MS } from "../../lib/limits.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { nodes } from "../../lib/cluster/records.ts";
import { type Node, type NodeState, TimeMs } from "../../lib/cluster/types.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { records } from "../../lib/store/record.ts";
import type { Read } from "../../lib/store/store.ts";
import type { Session } from "./sessions.ts";

export interface Peer {
  node: Node;
  /** It was silent, and this call is the one that tries it again. */
  onTrial: boolean;
}

export interface Roster {
  /** By name. */
  peers: Peer[];
  silent: Node[];
}

const Silence = z.object({ v: z.literal(1), untilMs: TimeMs });
const silences = records(Silence, keys.silent);
const ASKED: readonly NodeState[] = ["accepted", "cordoned", "draining"];

/** All nodes that hold systems. A trial is left to a call whose session (null: it needs none) the node knows. */
export function readRoster(context: Context, session: Session | null): Promise<Roster> {
  return rosterOf(context, session, (tx) => Array.fromAsync(nodes.all(tx, keys.nodes)));
}

/** A roster of this node alone; of nobody when it holds no systems. */
export function readPeer(context: Context, fp: string, session: Session): Promise<Roster> {
  return rosterOf(context, session, async (tx) => {
    const node = await nodes.get(tx, fp);
    return node === null ? [] : [node];
  });
}

async function rosterOf(
  context: Context,
  session: Session | null,
  read: (tx: Read) => Promise<Node[]>,
): Promise<Roster> {
  const { store, scope } = context;
  const { known, kept } = await store.read(scope, async (tx) => {
    const known = (await read(tx)).filter(({ state }) => ASKED.includes(state) || state === "lost");
    return { known, kept: await silences.getMany(tx, known.map(({ fp }) => [fp] as [string])) };
  });
  const nowMs = scope.nowMs();
  const untilMs = new Map(known.map(({ fp }, index) => [fp, kept[index]?.untilMs ?? null]));
  const due = known.filter(({ fp, state }) =>
    state !== "lost" && isDue(untilMs.get(fp), nowMs) && (session === null || session.nodeKeys.has(fp))
  );
  const tried = due.length === 0 ? [] : await claimTrials(context, due);

  const roster: Roster = { peers: [], silent: [] };
  for (const node of known.sort(byName)) {
    const onTrial = tried.includes(node.fp);
    const asked = node.state !== "lost" && (onTrial || untilMs.get(node.fp) === null);
    if (asked) roster.peers.push({ node, onTrial });
    else roster.silent.push(node);
  }
  return roster;
}

/** R1. The fingerprints of those that nobody else tries now. */
async function claimTrials({ store, scope }: Context, due: readonly Node[]): Promise<string[]> {
  return await store.write(scope, async (tx) => {
    const claimed: string[] = [];
    for (const { fp } of due) {
      if (!isDue((await silences.get(tx, fp))?.untilMs, scope.nowMs())) continue;
      silences.put(tx, { v: 1, untilMs: scope.nowMs() + GATEWAY_SILENT_MS }, fp);
      claimed.push(fp);
    }
    return claimed;
  });
}

function isDue(untilMs: number | null | undefined, nowMs: number): boolean {
  return typeof untilMs === "number" && untilMs <= nowMs;
}

function byName(a: Node, b: Node): number {
  return a.name < b.name || (a.name === b.name && a.fp < b.fp) ? -1 : 1;
}

/** Nobody waits for this node for a while. Of many calls that waited for it one writes that down. */
export async function noteSilence({ store, scope }: Context, { fp }: Node): Promise<void> {
  await store.write(scope, async (tx) => {
    const nowMs = scope.nowMs();
    const known = await silences.get(tx, fp);
    if (known !== null && known.untilMs > nowMs) return;
    silences.put(tx, { v: 1, untilMs: nowMs + GATEWAY_SILENT_MS }, fp);
  });
}

/** It answers again. */
export async function forgetSilence({ store, scope }: Context, { fp }: Node): Promise<void> {
  await store.write(scope, (tx) => Promise.resolve(silences.delete(tx, fp)));
}
