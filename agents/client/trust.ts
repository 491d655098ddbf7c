/**
 * What the client agent signs, proves and believes, as one interface: the simulation brings a cheaper one.
 *
 * T1. Only the cluster's key, pinned at enrolment, gives directives; only `directive.move` is one for this agent.
 */
import { STATEMENT_KINDS } from "../../lib/cluster/protocol.ts";
import type { Crypt, Signer } from "../../lib/seams.ts";
import { type HttpRequest, proveRequest } from "../../lib/secure/proof.ts";
import { openStatement, signStatement } from "../../lib/secure/statement.ts";

/** How long an enrolment statement is good for: as long as it takes to send it. */
const ENROL_S = 120;

export interface Directive {
  seq: number;
  epoch: number;
  body: Record<string, unknown>;
}

/** The cluster as it was pinned at enrolment. */
export interface PinnedCluster {
  cluster: string;
  /** SPKI DER, base64. */
  clusterKey: string;
}

export interface ClientTrust {
  /** Fingerprint of the agent's identity key. */
  readonly fp: string;
  /** SPKI DER of it, base64. */
  readonly identityKey: string;
  /** The statement `enrol.system`; `nowMs` is the director's clock, from its challenge. */
  signEnrolment(body: Record<string, unknown>, at: { cluster: string; nowMs: number }): string;
  /** @throws {TrustError} for everything but a valid `directive.move` of the pinned cluster to this agent. */
  openDirective(text: string, pinned: PinnedCluster, nowMs: number): Directive;
  /** Value of the `Authorization` header; `nonce` is 16 random bytes. */
  prove(request: HttpRequest, at: { nowMs: number; nonce: Uint8Array }): string;
}

export function clientTrust(signer: Signer, crypt: Crypt): ClientTrust {
  return {
    fp: signer.fp,
    identityKey: signer.spki.toBase64(),
    signEnrolment(body, { cluster, nowMs }) {
      const iat = Math.floor(nowMs / 1000);
      const claims = {
        kind: "enrol.system",
        cluster,
        to: "*",
        seq: 0,
        iat,
        exp: iat + ENROL_S,
        epoch: 0,
        body,
      };
      return signStatement(claims, signer);
    },
    openDirective(text, { cluster, clusterKey }, nowMs) {
      return openStatement(text, {
        me: signer.fp,
        cluster,
        kinds: STATEMENT_KINDS,
        accepts: ["directive.move"],
        nowMs,
        sender: () => ({ spki: Uint8Array.fromBase64(clusterKey), role: "cluster" }),
        verify: crypt.verify,
      });
    },
    prove: (request, at) => proveRequest(request, signer, at),
  };
}
