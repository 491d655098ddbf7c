/**
 * Enrolment: how an agent that holds a join token becomes a node or a system of the cluster.
 *
 * E1. A join token is used in the transaction of its effect: of two that take its last use at the same time, one wins.
 * E2. Enrolling again with the same key gives the same answer and uses nothing: the first answer may have been lost.
 *     No directive given meanwhile is skipped by it.
 * E3. A machine-id or minion id that another key holds is refused, and so is a key on another machine: one of the two is
 *     a clone, and Uyuni would merge the two machines' profiles.
 * E4. Who already follows a node of the cluster stays there; nobody moves without need. Of several nodes that know a
 *     system, the one that its minion names owns it.
 * Source: trust brief 3.1.
 */
import { SalarError } from "../errors.ts";
import { NODE_CAPACITY } from "../limits.ts";
import { parseJoinToken, secretMatches } from "../secure/token.ts";
import { EMPTY } from "../store/record.ts";
import type { Write } from "../store/store.ts";
import type { Change } from "./change.ts";
import { idByName } from "./ids.ts";
import { takeUse } from "./join_tokens.ts";
import { keys } from "./keys.ts";
import { SERVING } from "./machines.ts";
import { addLoad } from "./moving.ts";
import { reportedUpTo } from "./outbox.ts";
import type { EnrolNode, EnrolSystem } from "./protocol.ts";
import { nodeJoined } from "./running.ts";
import { getText, joinTokens, nodes, putNumber, putText, systemAt, systems, zoneNamed } from "./records.ts";
import type { JoinToken, Node, System } from "./types.ts";

/** Pools a node; one that is being staged goes on to `staging`. Idempotent by fingerprint; a known machine-id with another key is refused (E3). */
export async function enrolNode(change: Change, fp: string, body: EnrolNode): Promise<Node> {
  const { tx, nowMs, record } = change;
  const known = await nodes.get(tx, fp);
  if (known !== null && known.state !== "removed") {
    if (known.machineId === body.machineId) return known; // E2
    refuseClone("node", `its key already belongs to node "${known.name}"`, { node: fp });
  }
  await refuseTaken(change, keys.nodeByMachine(body.machineId), fp, `machine-id ${body.machineId}`);
  const { zone, run } = await useJoinToken(change, body.token, { kind: "node", machineId: body.machineId });
  await zoneNamed(tx, zone);
  tx.lock(keys.zone(zone)); // against its removal meanwhile
  const node: Node = {
    v: 1,
    fp,
    identityKey: body.identityKey,
    name: body.name,
    machineId: body.machineId,
    zone,
    state: "pooled",
    stateBeforeLost: null,
    capacity: body.capacity ?? NODE_CAPACITY,
    weight: body.weight ?? 1,
    apiUrl: body.apiUrl,
    master: body.master,
    masterKey: body.masterKey,
    versions: body.versions,
    pooledAtMs: nowMs,
    reason: "enrolled",
    revision: (known?.revision ?? 0) + 1,
  };
  nodes.put(tx, node, fp);
  putText(tx, keys.nodeByMachine(node.machineId), fp);
  record({ what: "node.pool", target: `node:${fp}`, why: "enrolled", detail: { name: node.name, zone } });
  return run === null ? node : await nodeJoined(change, run, node);
}

/**
 * Registers a system. Bound at once where its minion already follows a node (E4); otherwise it is `new`, without a
 * node, and in the work index from which the director places it.
 */
export async function enrolSystem(
  change: Change,
  fp: string,
  body: EnrolSystem,
): Promise<{ system: System; lastSeq: number }> {
  const { tx, nowMs, record } = change;
  const lastSeq = await reportedUpTo(tx, fp);
  const again = await systemAt(tx, keys.systemByFp(fp));
  if (again !== null && again.state !== "deleted") {
    if (again.machineId === body.machineId) return { system: again, lastSeq }; // E2
    refuseClone("system", `its key already belongs to system ${again.id}`, { system: again.id });
  }

  const known = await knownSystem(change, body);
  const { zone } = await useJoinToken(change, body.token, { kind: "system", machineId: body.machineId });
  await zoneNamed(tx, zone);
  tx.lock(keys.zone(zone)); // against its removal meanwhile
  const owner = await nodeFollowed(change, body.master) ?? known?.node ?? null; // E4
  if (owner !== null) tx.lock(keys.node(owner)); // one that is lost meanwhile makes an orphan of it
  const id = known?.id ?? await idByName(change, "system", body.machineId);
  const former = await systems.get(tx, id); // deleted meanwhile, perhaps: the epoch never falls
  const system: System = {
    v: 1,
    id,
    fp,
    identityKey: body.identityKey,
    minionId: body.minionId,
    machineId: body.machineId,
    minionKey: body.minionKey,
    name: body.name,
    zone,
    state: owner === null ? "new" : known?.node === owner ? known.state : "bound",
    node: owner,
    pin: known?.pin ?? null,
    epoch: former?.epoch ?? 0,
    generation: (former?.generation ?? 0) + 1,
    registeredAtMs: known?.registeredAtMs ?? nowMs,
    reason: "",
    revision: (former?.revision ?? 0) + 1,
  };
  await putSystem(change, system, known);
  putNumber(tx, keys.systemByFp(fp), id);
  if (owner === null) tx.put(keys.unplaced(id), EMPTY);
  record({
    what: "system.register",
    target: `system:${id}`,
    why: owner === null ? "enrolled" : "enrolled where its minion already is",
    detail: { minionId: body.minionId, node: owner, zone },
  });
  return { system, lastSeq };
}

/**
 * Writes a system that is new to the cluster, or takes the place of `former`, with its look-up keys and its place on its
 * node. Who stays on a node does not touch its load: agents enrol side by side on a node that has shown their systems.
 */
export async function putSystem(
  { tx }: Pick<Change, "tx">,
  system: System,
  former: System | null = null,
): Promise<void> {
  if (former !== null) deleteKeys(tx, former);
  systems.put(tx, system, system.id);
  putNumber(tx, keys.systemByMachine(system.machineId), system.id);
  putNumber(tx, keys.systemByMinion(system.minionId), system.id);
  tx.put(keys.inZone(system.zone, system.id), EMPTY);
  if (system.node !== null) tx.put(keys.onNode(system.node, system.id), EMPTY);
  const from = former?.node ?? null;
  if (from === system.node) return;
  if (from !== null) await addLoad(tx, from, -1);
  if (system.node !== null) await addLoad(tx, system.node, 1);
}

/** Takes back what `putSystem` wrote, but for the record itself. */
export async function takeAway({ tx }: Pick<Change, "tx">, system: System): Promise<void> {
  deleteKeys(tx, system);
  if (system.node !== null) await addLoad(tx, system.node, -1);
}

function deleteKeys(tx: Write, system: System): void {
  tx.delete(keys.systemByMachine(system.machineId));
  tx.delete(keys.systemByMinion(system.minionId));
  tx.delete(keys.inZone(system.zone, system.id));
  if (system.node !== null) tx.delete(keys.onNode(system.node, system.id));
}

/** The system that a node's database showed before its agent enrolled; null for a new one. E3. */
async function knownSystem({ tx }: Change, body: EnrolSystem): Promise<System | null> {
  const byMachine = await systemAt(tx, keys.systemByMachine(body.machineId));
  const byMinion = await systemAt(tx, keys.systemByMinion(body.minionId));
  for (const [system, what] of [[byMachine, "machine-id"], [byMinion, "minion id"]] as const) {
    if (system === null) continue;
    if (system.fp !== null || (byMachine !== null && byMinion !== null && byMachine.id !== byMinion.id)) {
      refuseClone("system", `its ${what} already belongs to system ${system.id}`, { system: system.id });
    }
  }
  return byMachine ?? byMinion;
}

/** The serving node that a minion names as its master; null when it is none of this cluster. */
async function nodeFollowed({ tx }: Change, master: string | null): Promise<string | null> {
  if (master === null) return null;
  for await (const node of nodes.all(tx, keys.nodes)) {
    if (node.master === master && SERVING.includes(node.state)) return node.fp;
  }
  return null;
}

async function refuseTaken({ tx }: Change, key: string, fp: string, what: string): Promise<void> {
  const holder = await getText(tx, key);
  if (holder === null || holder === fp) return;
  const node = await nodes.get(tx, holder);
  if (node === null || node.state === "removed") return;
  refuseClone("node", `its ${what} already belongs to node "${node.name}"`, { node: holder });
}

/** E3. */
function refuseClone(kind: "node" | "system", state: string, detail: Record<string, unknown>): never {
  throw new SalarError("conflict", `Cannot enrol ${kind}: ${state}; is this machine a clone?`, { detail });
}

/** E1. @throws {SalarError} `unauthenticated`, with one text for every reason: a guesser learns nothing. */
async function useJoinToken(
  change: Change,
  text: string,
  { kind, machineId }: { kind: JoinToken["kind"]; machineId: string },
): Promise<JoinToken> {
  const parsed = parseJoinToken(text);
  const token = parsed === null ? null : await joinTokens.get(change.tx, parsed.id);
  const holds = parsed !== null && token !== null && secretMatches(parsed.secret, token.secretHash) &&
    token.kind === kind && token.expiresAtMs > change.nowMs &&
    (token.machineId === null || token.machineId === machineId) && await takeUse(change, token);
  if (!holds) {
    throw new SalarError(
      "unauthenticated",
      `Cannot enrol ${kind}: its join token is unknown, used up, expired or for another machine; ask for a new one`,
    );
  }
  return token;
}
