/** Answers of one value: the lowest version that any node has, and what the owner of an entity says of it. */
import { localIdOf } from "../../lib/cluster/ids.ts";
import { systems } from "../../lib/cluster/records.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { isStruct, type XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { type Answer, ask, askAll, type Question, strange, unanswered, type UserQuestion } from "./asking.ts";
import { javaType } from "./java.ts";
import type { OwnedKind } from "./methods.ts";
import { readPeer, readRoster } from "./roster.ts";

/** The lowest version that any node has. */
export async function askLowest(context: Context, question: Question): Promise<Answer> {
  const { answers } = await askAll(context, await readRoster(context, question.session), question);
  const versions = answers.map(({ value }) => value).filter((value) => typeof value === "string");
  const [lowest] = versions.sort(compareVersions);
  if (lowest === undefined) throw unanswered(question);
  return { value: lowest, silent: [] }; // strangers may ask: they are told no names of nodes
}

/** `10.8` < `10.16` < `29`; what follows the numbers does not count. */
function compareVersions(a: string, b: string): number {
  const [left, right] = [numbersIn(a), numbersIn(b)];
  for (let at = 0; at < Math.max(left.length, right.length); at++) {
    const difference = (left[at] ?? 0) - (right[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function numbersIn(version: string): number[] {
  return (/^\d+(\.\d+)*/.exec(version)?.[0] ?? "0").split(".").map(Number);
}

/** The owner of the entity that the first argument names. */
export async function askOne(context: Context, kind: OwnedKind, question: UserQuestion): Promise<Answer> {
  const [first, ...rest] = question.params;
  const id = javaInt(first ?? "");
  const place = await placeOf(context, kind, id);
  if (place === null) throw noSuchSystem();
  const { peers: [peer], silent: [away] } = await readPeer(context, place.owner, question.session);
  if (away !== undefined) throw unanswered(question, `node "${away.name}" does not answer`);
  if (peer === undefined) throw noSuchSystem();

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

function noSuchSystem(): UyuniFault {
  return UyuniFault.of("no-such-system", "No such system");
}

function withId(value: XmlRpcValue | null, localId: number, id: number): XmlRpcValue | null {
  return isStruct(value) && value["id"] === localId ? { ...value, id } : value;
}
