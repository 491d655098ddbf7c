/**
 * Lists of entities from all nodes, made into one list in cluster ids.
 *
 * P1. Each entity is there once: a system as its owner shows it, so old and early profiles of a move are hidden;
 *     content as the first node by name shows it.
 * P2. Members of a row other than its id are passed on as they came.
 * P3. A row that nobody can give an id (a profile without machine-id or minion id) is left out and counted.
 */
import { STORE_PAGE_ENTRIES } from "../../lib/limits.ts";
import { clusterIdsOf, type IdKind } from "../../lib/cluster/ids.ts";
import { keys } from "../../lib/cluster/keys.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { isStruct, type XmlRpcStruct, type XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { type Answer, askAll, unanswered, type UserQuestion } from "./asking.ts";
import { learnChannels, learnSystems } from "./learning.ts";
import type { ContentKind, OwnedKind } from "./methods.ts";
import { type Peer, readRoster } from "./roster.ts";

/** An entity in a list; `id` is the node's own until it is mapped. */
type Row = XmlRpcStruct & { id: number };

/** Longer ones are nobody's: Uyuni's labels end at 128 characters. */
const NATURAL_KEY_CHARS_MAX = 256;

/** One list of what the nodes own. */
export async function askOwners(context: Context, kind: OwnedKind, question: UserQuestion): Promise<Answer> {
  const { lists, silent } = await askForLists(context, question);
  const merged: Row[] = [];
  for (const { peer, rows } of lists) {
    const learn = (unknown: readonly Row[]) =>
      learnSystems(context, peer, question.session, unknown.map(({ id }) => id));
    const mapped = await inClusterIds(context, kind, peer, rows, learn);
    const owned = await ownedBy(context, peer.node.fp, mapped.map(({ id }) => id));
    for (const row of mapped) if (owned.has(row.id)) merged.push(row);
  }
  return { value: merged.sort(byName), silent };
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
    const news = rows.filter((row) => {
      const name = nameIn(row, naturalKey);
      return name !== null && !seen.has(name) && seen.add(name);
    });
    const learn = (unknown: readonly Row[]) => {
      const content = unknown.map((row) => ({ localId: row.id, label: nameIn(row, naturalKey) ?? "" }));
      return learnChannels(context, peer, content);
    };
    for (const row of await inClusterIds(context, kind, peer, news, learn)) merged.push(row);
  }
  return { value: merged.sort(byName), silent };
}

function nameIn(row: Row, naturalKey: string): string | null {
  const name = row[naturalKey];
  return typeof name === "string" && name !== "" && name.length <= NATURAL_KEY_CHARS_MAX ? name : null;
}

/** All nodes' lists. A node that answers something else has not answered. */
async function askForLists(
  context: Context,
  question: UserQuestion,
): Promise<{ lists: { peer: Peer; rows: Row[] }[]; silent: string[] }> {
  const { answers, silent } = await askAll(context, await readRoster(context, question.session), question);
  const lists: { peer: Peer; rows: Row[] }[] = [];
  for (const { peer, value } of answers) {
    if (isRows(value)) {
      lists.push({ peer, rows: value });
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

/** A node's rows under their cluster ids; `learn` makes those known that have none yet. P3. */
async function inClusterIds(
  { store, scope, meter }: Context,
  kind: IdKind,
  { node }: Peer,
  rows: readonly Row[],
  learn: (unknown: readonly Row[]) => Promise<void>,
): Promise<Row[]> {
  const localIds = rows.map(({ id }) => id);
  const read = () => store.read(scope, (tx) => clusterIdsOf(tx, kind, node.fp, localIds));
  let ids = await read();
  const unknown = rows.filter((_row, index) => ids[index] === null);
  if (unknown.length > 0) {
    await learn(unknown);
    ids = await read();
  }
  const mapped = rows.flatMap((row, index) => {
    const id = ids[index] ?? null;
    return id === null ? [] : [{ ...row, id }];
  });
  if (mapped.length < rows.length) {
    meter.count("gateway_unmapped_rows", rows.length - mapped.length, { node: node.name, kind });
  }
  return mapped;
}

/** The order that nodes list by: the name without regard to case, then the id. */
function byName(a: Row, b: Row): number {
  const [left = "", right = ""] = [a, b].map(({ name }) =>
    typeof name === "string" ? name.toUpperCase() : ""
  );
  return left === right ? a.id - b.id : left < right ? -1 : 1;
}
