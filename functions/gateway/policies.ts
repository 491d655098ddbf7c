/**
 * The federation policies: which nodes a call goes to, and how their answers become one.
 *
 * In: a call whose overload is chosen. Out: the value in cluster ids, and whose part of it is missing.
 * P1. Each entity is there once: a system as its owner shows it, so old and early profiles of a move are hidden;
 *     content as the first node by name shows it.
 * P2. Members of an answer other than its id are passed on as they came.
 */
import { STORE_PAGE_ENTRIES } from "../../lib/limits.ts";
import { clusterIdsOf, localIdOf } from "../../lib/cluster/ids.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { systems } from "../../lib/cluster/records.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { isStruct, type XmlRpcStruct, type XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { type Answers, ask, askAll, type Question, strange, unanswered } from "./asking.ts";
import { javaType } from "./java.ts";
import { learnChannels, learnSystems } from "./learning.ts";
import type { ContentKind, OwnedKind } from "./methods.ts";
import { type Peer, readPeer, readRoster } from "./roster.ts";
import type { Session } from "./sessions.ts";

export interface Answer {
  value: XmlRpcValue | null;
  /** Names of the nodes whose part is missing. */
  silent: string[];
}

/** A question with a session, as all policies but `lowest` need one. */
export type UserQuestion = Question & { session: Session };

/** The lowest version that any node has. */
export async function askLowest(context: Context, question: Question): Promise<Answer> {
  const { answers } = await askAll(context, await readRoster(context), question);
  const versions = answers.map(({ value }) => value).filter((value) => typeof value === "string");
  const [lowest] = versions.sort(compareVersions);
  if (lowest === undefined) throw unanswered(question);
  return { value: lowest, silent: [] }; // strangers may ask: they are told no names of nodes
}

/** `10.8` < `10.16` < `29`; what follows the numbers does not count. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => (/^\d+(\.\d+)*/.exec(text)?.[0] ?? "").split(".").map(Number));
  for (let at = 0; at < Math.max(left?.length ?? 0, right?.length ?? 0); at++) {
    const difference = (left?.[at] ?? 0) - (right?.[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The owner of the entity that the first argument names. */
export async function askOne(context: Context, kind: OwnedKind, question: UserQuestion): Promise<Answer> {
  const [first, ...rest] = question.params;
  const id = javaInt(first ?? "");
  const place = await placeOf(context, kind, id);
  const { peers: [peer], silent } = place === null
    ? { peers: [], silent: [] }
    : await readPeer(context, place.owner);
  if (silent[0] !== undefined) throw unanswered(question, `node "${silent[0].name}" does not answer`);
  if (place === null || peer === undefined) throw UyuniFault.of("no-such-system", "No such system");

  const outcome = await ask(context, peer, { ...question, params: [place.localId, ...rest] });
  switch (outcome.kind) {
    case "value":
      return { value: withId(outcome.value, place.localId, id), silent: [] };
    case "fault":
      throw outcome.fault;
    case "silent":
      throw unanswered(question, `node "${peer.node.name}" does not answer`);
    case "stranger":
      throw strange(question, `node "${peer.node.name}"`);
  }
}

/** The id in an argument, as Java converts it: nothing turns text into a number. */
function javaInt(value: XmlRpcValue): number {
  if (typeof value === "number") return value;
  if (typeof value === "bigint") return Number(BigInt.asIntN(32, value));
  throw UyuniFault.of(
    "bad-parameter",
    `Could not find translator for class ${javaType(value)} to class java.lang.Integer`,
  );
}

/** Null for an id that stands for nothing, and for a system that no node has. */
async function placeOf(
  { store, scope }: Context,
  kind: OwnedKind,
  id: number,
): Promise<{ owner: string; localId: number } | null> {
  if (id < 1) return null;
  return await store.read(scope, async (tx) => {
    const owner = (await systems.get(tx, id))?.node ?? null;
    const localId = owner === null ? null : await localIdOf(tx, kind, owner, id);
    return owner === null || localId === null ? null : { owner, localId };
  });
}

function withId(value: XmlRpcValue | null, localId: number, id: number): XmlRpcValue | null {
  return isStruct(value) && value["id"] === localId ? { ...value, id } : value;
}

/** One list of what the nodes own. */
export async function askOwners(context: Context, kind: OwnedKind, question: UserQuestion): Promise<Answer> {
  const { lists, silent } = await askForLists(context, question);
  const merged: Row[] = [];
  for (const { peer, rows } of lists) merged.push(...await ownRows(context, kind, peer, rows, question));
  return { value: merged.sort(byName), silent };
}

/** The rows of what this node owns, in cluster ids. */
async function ownRows(
  context: Context,
  kind: OwnedKind,
  { node, onTrial }: Peer,
  rows: readonly Row[],
  { session }: UserQuestion,
): Promise<Row[]> {
  const localIds = rows.map(({ id }) => id);
  let ids = await readIds(context, kind, node.fp, localIds);
  const unknown = localIds.filter((_localId, index) => ids[index] === null);
  if (unknown.length > 0) {
    await learnSystems(context, { node, onTrial }, session, unknown);
    ids = await readIds(context, kind, node.fp, localIds);
  }
  const owned = await ownedBy(context, node.fp, ids.filter((id) => id !== null));
  return rows.flatMap((row, index) => {
    const id = ids[index] ?? null;
    return id !== null && owned.has(id) ? [{ ...row, id }] : [];
  });
}

function readIds({ store, scope }: Context, kind: OwnedKind, fp: string, localIds: readonly number[]) {
  return store.read(scope, (tx) => clusterIdsOf(tx, kind, fp, localIds));
}

async function ownedBy({ store, scope }: Context, fp: string, ids: readonly number[]): Promise<Set<number>> {
  return await store.read(scope, async (tx) => {
    const owned = new Set<number>();
    for (let at = 0; at < ids.length; at += STORE_PAGE_ENTRIES) {
      const page = ids.slice(at, at + STORE_PAGE_ENTRIES);
      const found = await tx.getMany(page.map((id) => keys.onNode(fp, id)));
      for (const [index, id] of page.entries()) if (found[index]) owned.add(id);
    }
    return owned;
  });
}

/** One list of content, each natural key once. */
export async function askContent(
  context: Context,
  { kind, naturalKey }: { kind: ContentKind; naturalKey: string },
  question: UserQuestion,
): Promise<Answer> {
  const { lists, silent } = await askForLists(context, question);
  const seen = new Set<string>();
  const merged: Row[] = [];
  for (const { peer, rows } of lists) {
    const news = rows.flatMap((row) => {
      const name = row[naturalKey];
      if (typeof name !== "string" || name === "" || seen.has(name)) return [];
      seen.add(name);
      return [{ row, name }];
    });
    merged.push(...await contentRows(context, kind, peer, news));
  }
  return { value: merged.sort(byName), silent };
}

async function contentRows(
  context: Context,
  kind: ContentKind,
  peer: Peer,
  content: readonly { row: Row; name: string }[],
): Promise<Row[]> {
  const { store, scope } = context;
  const read = () =>
    store.read(scope, (tx) => clusterIdsOf(tx, kind, peer.node.fp, content.map(({ row }) => row.id)));
  let ids = await read();
  const unknown = content.filter((_row, index) => ids[index] === null);
  if (unknown.length > 0) {
    await learnChannels(context, peer, unknown.map(({ row, name }) => ({ localId: row.id, label: name })));
    ids = await read();
  }
  return content.flatMap(({ row }, index) => {
    const id = ids[index] ?? null;
    return id === null ? [] : [{ ...row, id }];
  });
}

/** An entity in a list; `id` is the node's own until it is mapped. */
type Row = XmlRpcStruct & { id: number };

/** All nodes' lists. A node that answers something else has not answered. */
async function askForLists(
  context: Context,
  question: UserQuestion,
): Promise<{ lists: { peer: Peer; rows: Row[] }[]; silent: string[] }> {
  const { answers, silent }: Answers = await askAll(context, await readRoster(context), question);
  const lists: { peer: Peer; rows: Row[] }[] = [];
  for (const { peer, value } of answers) {
    if (isRows(value)) {
      lists.push({ peer, rows: [...value] });
      continue;
    }
    context.log.warn("node answered no list", { node: peer.node.name, method: question.method });
    silent.push(peer.node.name);
  }
  if (lists.length === 0) throw unanswered(question);
  return { lists, silent };
}

function isRows(value: XmlRpcValue | null): value is Row[] {
  return Array.isArray(value) && value.every((row) => isStruct(row) && typeof row["id"] === "number");
}

/** The order that nodes list by: the name without regard to case, then the id. */
function byName(a: Row, b: Row): number {
  const [left, right] = [a, b].map(({ name }) => typeof name === "string" ? name.toUpperCase() : "");
  return left === right ? a.id - b.id : (left ?? "") < (right ?? "") ? -1 : 1;
}
