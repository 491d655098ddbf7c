/** A question of the node agent: a signed statement as a request on the bus, and the answer checked. */
import type { z } from "zod";
import type { Bus } from "../../lib/bus/bus.ts";
import type { StatementKind } from "../../lib/cluster/protocol.ts";
import { type ErrorCode, isSalarError } from "../../lib/errors.ts";
import { decodeReply } from "../../lib/mesh/reply.ts";
import type { Scope } from "../../lib/seams.ts";
import type { NodeTrust, PinnedCluster } from "./trust.ts";

/** Answers that speak of the statement itself, not of who sent it or of the moment: asking again cannot help. */
const HOPELESS: readonly ErrorCode[] = ["bad-input", "not-found", "conflict", "too-large"];

export interface Question<T> {
  subject: string;
  kind: StatementKind;
  body: Record<string, unknown>;
  answer: z.ZodType<T>;
}

/** @throws {SalarError} what the cluster answers, `unavailable`, `deadline`, `bad-peer` */
export async function ask<T>(
  scope: Scope,
  { bus, trust, cluster }: { bus: Bus; trust: NodeTrust; cluster: PinnedCluster },
  { subject, kind, body, answer }: Question<T>,
): Promise<T> {
  const text = trust.sign(kind, body, cluster, { nowMs: scope.nowMs() });
  return decodeReply(answer, await bus.request(scope, subject, new TextEncoder().encode(text)));
}

export function isHopeless(error: unknown): boolean {
  return isSalarError(error) && HOPELESS.includes(error.code);
}
