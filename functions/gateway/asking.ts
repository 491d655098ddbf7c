/**
 * Calls to nodes: one question, each node's outcome within its own deadline, and what they come to together.
 *
 * A1. A node that is dead, slow or broken is `silent`: it neither delays the others nor fails them.
 * A2. A fault is passed on as it came. Any node's counts for all: half an answer must not pass for a whole one.
 * A3. Only when nobody answers does the gateway say so, by a fault of its own.
 */
import { isSalarError } from "../../lib/errors.ts";
import { GATEWAY_NODE_MS } from "../../lib/limits.ts";
import type { Node } from "../../lib/cluster/types.ts";
import type { Context } from "../../lib/mesh/context.ts";
import { UyuniCallError, uyuniClient } from "../../lib/uyuni/client.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import type { XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { forgetSilence, noteSilence, type Peer, type Roster } from "./roster.ts";
import type { Session } from "./sessions.ts";

export interface Question {
  /** As nodes know it: `system.listSystems`. */
  method: string;
  /** Without a session key. */
  params: readonly XmlRpcValue[];
  /** Each node gets its own key of it in front; null: asked without a key. */
  session: Session | null;
}

/** With a session, as all methods want one that look at what is somebody's. */
export type UserQuestion = Question & { session: Session };

export interface Answer {
  value: XmlRpcValue | null;
  /** Names of the nodes whose part is missing. */
  silent: string[];
}

export type Outcome =
  | { kind: "value"; value: XmlRpcValue | null }
  | { kind: "fault"; fault: UyuniFault }
  | { kind: "silent" }
  /** The session was opened without this node. */
  | { kind: "stranger" };

export interface Asked {
  peer: Peer;
  outcome: Outcome;
}

export interface Answers {
  answers: { peer: Peer; value: XmlRpcValue | null }[];
  /** Names of the nodes whose part is missing. */
  silent: string[];
}

/** Asks one node. @throws {SalarError} only when this replica or its store ends */
export async function ask(context: Context, { node, onTrial }: Peer, question: Question): Promise<Outcome> {
  const { method, params, session } = question;
  const key = session?.nodeKeys.get(node.fp);
  if (session !== null && key === undefined) return { kind: "stranger" };
  const outcome = await tryNode(context, node, method, key === undefined ? params : [key, ...params]);
  if (onTrial && outcome.kind !== "silent") await forgetSilence(context, node);
  return outcome;
}

async function tryNode(
  context: Context,
  node: Node,
  method: string,
  params: readonly XmlRpcValue[],
): Promise<Outcome> {
  try {
    return { kind: "value", value: await callNode(context, node, method, params) };
  } catch (error) {
    if (error instanceof UyuniFault) return { kind: "fault", fault: error };
    const isSlow = isSalarError(error, "deadline");
    if (!isSlow && !(error instanceof UyuniCallError)) throw error;
    if (isSlow) await noteSilence(context, node);
    context.log.warn("node gave no answer", { node: node.name, method, error });
    context.meter.count("gateway_silent", 1, { node: node.name });
    return { kind: "silent" };
  }
}

function callNode(
  { scope, net }: Context,
  node: Node,
  method: string,
  params: readonly XmlRpcValue[],
): Promise<XmlRpcValue | null> {
  return scope.timeout(GATEWAY_NODE_MS, (scope) => {
    const client = uyuniClient({
      url: `${node.apiUrl.replace(/\/$/, "")}/rpc/api`,
      user: "",
      password: "", // it never logs in by itself: keys and credentials are the caller's
      request: (request) => net.request(scope, request),
      deadline: () => scope.signal,
      nowMs: () => scope.nowMs(),
    });
    return client.callBare(method, ...params);
  });
}

/** Asks all peers at once; in their order. */
export function askEach(
  context: Context,
  peers: readonly Peer[],
  question: Question,
): Promise<Asked[]> {
  return Promise.all(
    peers.map(async (peer) => ({ peer, outcome: await ask(context, peer, question) })),
  );
}

/** Asks everybody on the roster. @throws {UyuniFault} a node's (A2), or one of our own (A3) */
export async function askAll(context: Context, roster: Roster, question: Question): Promise<Answers> {
  return conclude(question, roster, await askEach(context, roster.peers, question));
}

/** What the outcomes come to. @throws {UyuniFault} A2, A3 */
export function conclude(
  question: Question,
  roster: Roster,
  outcomes: readonly Asked[],
): Answers {
  const answers: Answers["answers"] = [];
  const silent = roster.silent.map(({ name }) => name);
  let broken: UyuniFault | null = null;
  let stranger = false;
  for (const { peer, outcome } of outcomes) {
    if (outcome.kind === "value") {
      answers.push({ peer, value: outcome.value });
      continue;
    }
    if (outcome.kind === "fault") {
      // A crash inside one server is that server's trouble, as if it did not answer: A1.
      if (outcome.fault.kind !== "internal") throw outcome.fault;
      broken ??= outcome.fault;
    }
    stranger ||= outcome.kind === "stranger";
    silent.push(peer.node.name);
  }
  if (answers.length > 0) return { answers, silent };
  if (broken !== null) throw broken;
  throw stranger ? strange(question, "any node that answers") : unanswered(question);
}

/** A3. */
export function unanswered({ method }: Question, who = "no node of the cluster answers"): UyuniFault {
  return UyuniFault.of("internal", `unhandled internal exception: Cannot call ${method}: ${who}`);
}

/** In the words by which clients know that they must log in again, which opens the session on more nodes. */
export function strange({ session }: Question, who: string): UyuniFault {
  return UyuniFault.of("session-expired", `Could not find session with id: ${session?.id} on ${who}`);
}
