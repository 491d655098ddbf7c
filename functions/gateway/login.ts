/**
 * Login and logout: the caller's own credentials at every node, one gateway session for all of them.
 *
 * L1. A login holds when a node took the credentials and none that answered refused them.
 * L2. No password is kept: a node that was away at login is out of this session until the caller logs in again.
 */
import { GATEWAY_SESSION_MS } from "../../lib/limits.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import type { XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { type Answer, askEach, type Asked, conclude, type Question, unanswered } from "./asking.ts";
import { javaType } from "./java.ts";
import { type Peer, readRoster } from "./roster.ts";
import { closeSession, isSessionKey, openSession, type Session } from "./sessions.ts";

/** Parameters are login, password and perhaps seconds; nodes check them all. */
export async function logIn(context: Context, question: Question): Promise<Answer> {
  const roster = await readRoster(context, null);
  const outcomes = await askEach(context, roster.peers, question);
  const nodeKeys = keysIn(outcomes);
  try {
    const { silent } = conclude(question, roster, outcomes);
    if (nodeKeys.size === 0) throw unanswered(question);
    const [, , seconds] = question.params;
    const lifeMs = typeof seconds === "number"
      ? Math.min(Math.max(seconds, 0) * 1_000, GATEWAY_SESSION_MS)
      : GATEWAY_SESSION_MS;
    return { value: await openSession(context, nodeKeys, lifeMs), silent };
  } catch (error) {
    if (error instanceof UyuniFault) await logOutOf(context, roster.peers, { id: "", nodeKeys });
    throw error;
  }
}

function keysIn(outcomes: readonly Asked[]): Map<string, string> {
  const nodeKeys = new Map<string, string>();
  for (const { peer, outcome } of outcomes) {
    if (outcome.kind === "value" && isSessionKey(outcome.value)) nodeKeys.set(peer.node.fp, outcome.value);
  }
  return nodeKeys;
}

export async function logOut(context: Context, key: XmlRpcValue): Promise<Answer> {
  if (typeof key !== "string") {
    throw UyuniFault.of(
      "bad-parameter",
      `Could not find translator for class ${javaType(key)} to class java.lang.String`,
    );
  }
  const session = await closeSession(context, key).catch((error) => {
    throw error instanceof UyuniFault ? insideHandler(error) : error;
  });
  await logOutOf(context, (await readRoster(context, session)).peers, session);
  return { value: 1, silent: [] };
}

/** Nodes that do not hear of it end the session by themselves. */
async function logOutOf(context: Context, peers: readonly Peer[], session: Session): Promise<void> {
  const inside = peers.filter(({ node }) => session.nodeKeys.has(node.fp));
  await askEach(context, inside, { method: "auth.logout", params: [], session });
}

/** `auth.*` looks keys up itself, and what is thrown there reaches the caller under another class name. */
function insideHandler({ text }: UyuniFault): UyuniFault {
  return UyuniFault.of("internal", `unhandled internal exception: ${text.slice(text.indexOf(": ") + 2)}`);
}
