/**
 * Enrolment: once in its life, a node shows a join token and its key, and pins the cluster's key in return.
 *
 * E1. The token goes into the body of a signed statement over TLS, never into a URL or a log.
 * E2. The answer must be for this key and from the cluster that made the token, whose key the token names.
 */
import type { z } from "zod";
import { requirePinned } from "../../lib/cluster/pinning.ts";
import { EnrolAnswer, EnrolChallenge, EnrolNode } from "../../lib/cluster/protocol.ts";
import { SalarError } from "../../lib/errors.ts";
import { HANDLER_MS_MAX } from "../../lib/limits.ts";
import { decodeReply } from "../../lib/mesh/reply.ts";
import type { Disk, Net, Scope } from "../../lib/seams.ts";
import { type NodeState, writeState } from "./state.ts";
import type { NodeTrust } from "./trust.ts";

export interface EnrolOptions {
  net: Net;
  disk: Disk;
  /** Of the agent's state. */
  folder: string;
  trust: NodeTrust;
  /** Base address of the director, such as `https://salar.example`. */
  directorUrl: string;
  /** What the node says of itself. */
  facts: Omit<EnrolNode, "token" | "nonce" | "identityKey">;
  /** The whole join token. */
  token: string;
}

/** @throws {SalarError} the director's refusal, `unavailable`, or `bad-peer`. Safe to call again: nothing is half done. */
export async function enrolNode(scope: Scope, options: EnrolOptions): Promise<NodeState> {
  const { disk, folder, trust, facts, token } = options;
  const { nonce, nowMs, cluster } = await call(scope, options, "/v1/enrol/challenge", EnrolChallenge);
  const body = EnrolNode.parse({ ...facts, token, nonce, identityKey: trust.identityKey });
  const statement = trust.signEnrolment(body, { cluster, nowMs });
  const answer = await call(scope, options, "/v1/enrol/node", EnrolAnswer, { statement });
  if (answer.fp !== trust.fp) {
    throw new SalarError("bad-peer", "Cannot enrol: the director's answer is for another node");
  }
  requirePinned(token, answer.clusterKey);
  const { fp, zone, clusterKey, lastSeq } = answer;
  const state: NodeState = {
    v: 1,
    fp,
    zone,
    cluster: answer.cluster,
    clusterKey,
    done: lastSeq,
    reports: [],
  };
  await writeState(disk, folder, state);
  return state;
}

/** GET, or POST of a body; the answer checked. Refusals come as problem documents, which `decodeReply` throws. */
async function call<T>(
  scope: Scope,
  { net, directorUrl }: EnrolOptions,
  path: string,
  answer: z.ZodType<T>,
  body?: unknown,
): Promise<T> {
  const init = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  return await scope.timeout(HANDLER_MS_MAX, async (within) => {
    const response = await net.request(within, new Request(new URL(path, directorUrl), init));
    return decodeReply(answer, await response.bytes());
  });
}
