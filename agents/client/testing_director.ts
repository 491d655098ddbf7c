/**
 * The director as a function of a request, for tests of the client agent: one cluster, one agent, orders by hand.
 *
 * V2. The protocol is the real one: statements signed and proofs checked by lib/secure, refusals as the host says them.
 */
import assert from "node:assert/strict";
import {
  EnrolRequest,
  EnrolSystem,
  MoveReport,
  STATEMENT_KINDS,
  SystemBeat,
} from "../../lib/cluster/protocol.ts";
import { type ErrorCode, SalarError } from "../../lib/errors.ts";
import { LONG_POLL_MS } from "../../lib/limits.ts";
import { problemOf } from "../../lib/mesh/problem.ts";
import { fingerprintOf, type Identity, identityFromSeed } from "../../lib/secure/keys.ts";
import { checkProof } from "../../lib/secure/proof.ts";
import { openStatement, signStatement } from "../../lib/secure/statement.ts";
import { mintJoinToken, TOKEN_RANDOM_BYTES } from "../../lib/secure/token.ts";

export interface Ordered {
  seq: number;
  epoch: number;
  master: string;
  masterKey: string;
  system?: number;
}

/** The far side of the five requests. `refuse` decides per request whether it is answered otherwise. */
export class FakeDirector {
  readonly clusterKey: Identity = identityFromSeed(new Uint8Array(32).fill(9));
  /** Names the cluster's key, as every join token does. */
  joinToken = mintJoinToken(new Uint8Array(TOKEN_RANDOM_BYTES), this.clusterKey.fp).token.reveal();
  readonly reports: MoveReport[] = [];
  readonly beats: SystemBeat[] = [];
  readonly calls: string[] = [];
  readonly orders: Ordered[] = [];
  enrolments = 0;
  down = false;
  /** Brings every directive each time, done or not. */
  repeats = false;
  refuse: (path: string) => ErrorCode | null = () => null;
  /** Replaces the statements of the next answers. */
  forge: ((order: Ordered, signed: string) => string) | null = null;
  readonly #nowMs: () => number;
  /** SPKI DER of the one agent, once it has enrolled. */
  #agent: Uint8Array | null = null;

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  statement({ seq, epoch, master, masterKey, system = 1 }: Ordered): string {
    assert.ok(this.#agent, "orders come after enrolment");
    const iat = Math.floor(this.#nowMs() / 1000);
    const body = { plan: "p1", system, node: this.clusterKey.fp, master, masterKey };
    const kind = "directive.move";
    const claims = {
      kind,
      cluster: "c-test",
      to: fingerprintOf(this.#agent),
      seq,
      iat,
      exp: iat + 60,
      epoch,
      body,
    };
    return signStatement(claims, this.clusterKey);
  }

  /** `wait` is how a long poll waits. */
  async answer(request: Request, wait: (ms: number) => Promise<void>): Promise<Response> {
    const { pathname, search, searchParams } = new URL(request.url);
    this.calls.push(pathname);
    if (this.down) throw new SalarError("unavailable", "Cannot reach the director: connection refused");
    const refused = this.refuse(pathname);
    if (refused !== null) return problem(refused);

    const body = new Uint8Array(await request.arrayBuffer());
    const nowMs = this.#nowMs();
    if (pathname === "/v1/enrol/challenge") return Response.json({ nonce: "n-1", nowMs, cluster: "c-test" });
    if (pathname === "/v1/enrol/system") return this.#enrol(body, nowMs);

    const proven = { method: request.method, target: pathname + search, body };
    checkProof(request.headers.get("authorization") ?? "", proven, {
      nowMs,
      senderKey: () => this.#agent,
    });
    if (pathname === "/v1/directives") {
      return await this.#directives(wait, Number(searchParams.get("after")));
    }
    const json: unknown = JSON.parse(new TextDecoder().decode(body));
    if (pathname === "/v1/reports") this.reports.push(MoveReport.parse(json));
    else if (pathname === "/v1/beat") this.beats.push(SystemBeat.parse(json));
    else return problem("not-found");
    return Response.json({ ok: true });
  }

  #enrol(body: Uint8Array, nowMs: number): Response {
    const { statement } = EnrolRequest.parse(JSON.parse(new TextDecoder().decode(body)));
    const claims = openStatement(statement, {
      me: this.clusterKey.fp,
      cluster: "c-test",
      kinds: STATEMENT_KINDS,
      accepts: ["enrol.system"],
      nowMs,
      sender: (_kid, { body }) => ({
        spki: Uint8Array.fromBase64(EnrolSystem.parse(body).identityKey),
        role: "newcomer",
      }),
    });
    const { token, nonce, identityKey } = EnrolSystem.parse(claims.body);
    if (token !== this.joinToken || nonce !== "n-1") return problem("unauthenticated");
    this.enrolments++;
    this.#agent = Uint8Array.fromBase64(identityKey);
    const clusterKey = this.clusterKey.spki.toBase64();
    return Response.json({
      fp: claims.from,
      zone: "berlin",
      cluster: "c-test",
      clusterKey,
      id: 1,
      lastSeq: 0,
    });
  }

  async #directives(wait: (ms: number) => Promise<void>, after: number): Promise<Response> {
    const due = this.orders.filter(({ seq }) => this.repeats || seq > after);
    if (due.length === 0) await wait(LONG_POLL_MS);
    const directives = due.map((order) => {
      const signed = this.statement(order);
      return this.forge?.(order, signed) ?? signed;
    });
    return Response.json({ directives, last: this.orders.at(-1)?.seq ?? 0 });
  }
}

/** As the host of the functions answers what it refuses. */
function problem(code: ErrorCode): Response {
  const error = new SalarError(code, "Cannot answer: refused by the test");
  return Response.json(problemOf({ outcome: "refused", error }, "test"), { status: error.status });
}
