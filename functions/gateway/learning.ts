/**
 * Entities that a node shows and the cluster has no id for yet: they get one, as node-events would give it.
 *
 * Rarely needed: change capture tells of them within milliseconds, and this covers the time until it does.
 * L1. What change capture has told of already, a deletion included, is node-events' alone: nothing is learned about it.
 * L2. At most GATEWAY_LEARN_MAX systems per node and call; the next call learns more.
 */
import {
  CHANGES_SLICE_MAX,
  GATEWAY_LEARN_AT_ONCE,
  GATEWAY_LEARN_MAX,
  STORE_PAGE_ENTRIES,
} from "../../lib/limits.ts";
import { change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { channelShown, type Profile, profileShown } from "../../lib/cluster/showing.ts";
import { MachineId, MinionId } from "../../lib/cluster/types.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { isStruct, type XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { ask } from "./asking.ts";
import type { Peer } from "./roster.ts";
import type { Session } from "./sessions.ts";

const SELF = { who: "function:gateway" };
const rowKey = (fp: string, localId: number) => keys.row(fp, "rhnserver", String(localId));

/** Makes systems known by what the node tells of each; one without machine-id or minion id stays unknown. */
export async function learnSystems(
  context: Context,
  peer: Peer,
  session: Session,
  localIds: readonly number[],
): Promise<void> {
  const { fp } = peer.node;
  const wanted = (await untold(context, fp, localIds)).slice(0, GATEWAY_LEARN_MAX);
  for (let at = 0; at < wanted.length; at += GATEWAY_LEARN_AT_ONCE) {
    const outcomes = await Promise.all(
      wanted.slice(at, at + GATEWAY_LEARN_AT_ONCE).map(async (localId) => {
        const question = { method: "system.getDetails", params: [localId], session };
        return { localId, outcome: await ask(context, { ...peer, onTrial: false }, question) };
      }),
    );
    const profiles = outcomes
      .map(({ localId, outcome }) => outcome.kind === "value" ? profileOf(localId, outcome.value) : null)
      .filter((profile) => profile !== null);
    await change(context, SELF, async (c) => {
      for (const profile of profiles) {
        const key = rowKey(fp, profile.localId);
        if (await c.tx.get(key) !== null) continue;
        c.tx.lock(key); // L1
        await profileShown(c, fp, profile);
      }
    });
    if (outcomes.some(({ outcome }) => outcome.kind === "silent")) return;
  }
}

/** L1. */
async function untold(
  { store, scope }: Context,
  fp: string,
  localIds: readonly number[],
): Promise<number[]> {
  return await store.read(scope, async (tx) => {
    const found: number[] = [];
    for (let at = 0; at < localIds.length; at += STORE_PAGE_ENTRIES) {
      const page = localIds.slice(at, at + STORE_PAGE_ENTRIES);
      const rows = await tx.getMany(page.map((localId) => rowKey(fp, localId)));
      found.push(...page.filter((_localId, index) => rows[index] === null));
    }
    return found;
  });
}

function profileOf(localId: number, details: XmlRpcValue | null): Profile | null {
  if (!isStruct(details)) return null;
  const machineId = MachineId.safeParse(details["machine_id"]);
  const minionId = MinionId.safeParse(details["minion_id"]);
  if (!machineId.success || !minionId.success) return null;
  const { profile_name: name } = details;
  return {
    localId,
    machineId: machineId.data,
    minionId: minionId.data,
    name: typeof name === "string" && name !== "" ? name.slice(0, 253) : minionId.data,
  };
}

/** Makes channels known by their labels. */
export async function learnChannels(
  context: Context,
  peer: Peer,
  channels: readonly { localId: number; label: string }[],
): Promise<void> {
  for (let at = 0; at < channels.length; at += CHANGES_SLICE_MAX) {
    await change(context, SELF, async (c) => {
      for (const channel of channels.slice(at, at + CHANGES_SLICE_MAX)) {
        await channelShown(c, peer.node.fp, channel);
      }
    });
  }
}
