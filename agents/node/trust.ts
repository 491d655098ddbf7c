/**
 * What the node agent signs and what it believes. The simulation gives a cheaper one.
 *
 * T1. Only the cluster's key, pinned at enrolment, gives orders; and only orders for a node agent.
 */
import { Directive, STATEMENT_KINDS, type StatementKind } from "../../lib/cluster/protocol.ts";
import { CLOCK_SKEW_MS_MAX } from "../../lib/limits.ts";
import type { Crypt, Signer } from "../../lib/seams.ts";
import { fingerprintOf } from "../../lib/secure/keys.ts";
import { openStatement, signStatement } from "../../lib/secure/statement.ts";

export interface PinnedCluster {
  cluster: string;
  /** SPKI DER, base64. */
  clusterKey: string;
}

export type NodeDirective = Exclude<Directive, { kind: "directive.move" }>;

export interface OpenedDirective {
  seq: number;
  kind: string;
  epoch: number;
  directive: NodeDirective | null;
}

export interface NodeTrust {
  readonly fp: string;
  /** SPKI DER of the identity key, base64. */
  readonly identityKey: string;
  /** A statement to the cluster. Good for minutes: whoever has to wait signs anew. */
  sign(
    kind: StatementKind,
    body: Record<string, unknown>,
    cluster: PinnedCluster,
    options: { nowMs: number; seq?: number },
  ): string;
  /** The enrolment statement, before any key is pinned. */
  signEnrolment(body: Record<string, unknown>, at: { cluster: string; nowMs: number }): string;
  /**
   * `directive` is null where the body has a form that this agent does not know.
   * @throws {TrustError} when it is not an order of the cluster to this agent.
   */
  openDirective(text: string, cluster: PinnedCluster, nowMs: number): OpenedDirective;
}

const ACCEPTS = [
  "directive.key.accept",
  "directive.key.forget",
  "directive.retire",
  "directive.state.run",
  "directive.state.cancel",
] as const;

export function nodeTrust(signer: Signer, crypt: Crypt): NodeTrust {
  const claims = (
    kind: StatementKind,
    body: Record<string, unknown>,
    { cluster, to, nowMs, seq }: { cluster: string; to: string; nowMs: number; seq: number },
  ) => {
    const iat = Math.floor(nowMs / 1000);
    return { kind, cluster, to, seq, iat, exp: iat + CLOCK_SKEW_MS_MAX / 1000, epoch: 0, body };
  };
  return {
    fp: signer.fp,
    identityKey: signer.spki.toBase64(),
    sign(kind, body, { cluster, clusterKey }, { nowMs, seq = 0 }) {
      const to = fingerprintOf(Uint8Array.fromBase64(clusterKey));
      return signStatement(claims(kind, body, { cluster, to, nowMs, seq }), signer);
    },
    signEnrolment: (body, { cluster, nowMs }) =>
      signStatement(claims("enrol.node", body, { cluster, to: "*", nowMs, seq: 0 }), signer),
    openDirective(text, { cluster, clusterKey }, nowMs) {
      const { kind, seq, epoch, body } = openStatement(text, {
        me: signer.fp,
        cluster,
        kinds: STATEMENT_KINDS,
        accepts: ACCEPTS,
        nowMs,
        sender: () => ({ spki: Uint8Array.fromBase64(clusterKey), role: "cluster" }),
        verify: crypt.verify,
      });
      const { data } = Directive.safeParse({ kind, body });
      return {
        seq,
        kind,
        epoch,
        directive: data === undefined || data.kind === "directive.move" ? null : data,
      };
    },
  };
}
