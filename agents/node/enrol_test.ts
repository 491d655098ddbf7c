import assert from "node:assert/strict";
import { EnrolNode, EnrolRequest, STATEMENT_KINDS } from "../../lib/cluster/protocol.ts";
import { isSalarError } from "../../lib/errors.ts";
import { realCrypt } from "../../lib/mesh/real_crypt.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import type { Net } from "../../lib/seams.ts";
import { openStatement } from "../../lib/secure/statement.ts";
import { mintJoinToken, TOKEN_RANDOM_BYTES } from "../../lib/secure/token.ts";
import { enrolNode, type EnrolOptions } from "./enrol.ts";
import { readState } from "./state.ts";
import { CLUSTER, clusterKey, FOLDER, memoryDisk, nodeKey, PEM_A } from "./testing.ts";
import { nodeTrust } from "./trust.ts";

const scope = realScope({ name: "test" });
const random = new Uint8Array(TOKEN_RANDOM_BYTES).fill(7);
const TOKEN = mintJoinToken(random, clusterKey.fp).token.reveal();

/** A director; `change` alters its answer. */
function director(change: Record<string, unknown> = {}): Net & { seen: string[]; enrolled: EnrolNode[] } {
  const seen: string[] = [];
  const enrolled: EnrolNode[] = [];
  return {
    seen,
    enrolled,
    connectMs: () => Promise.resolve(1),
    async request(_scope, request) {
      const { pathname } = new URL(request.url);
      seen.push(`${request.method} ${request.url}`);
      if (pathname === "/v1/enrol/challenge") {
        return Response.json({ nonce: "n", nowMs: scope.nowMs(), cluster: CLUSTER });
      }
      const { statement } = EnrolRequest.parse(await request.json());
      const { body } = openStatement(statement, {
        me: clusterKey.fp,
        cluster: CLUSTER,
        kinds: STATEMENT_KINDS,
        accepts: ["enrol.node"],
        nowMs: scope.nowMs(),
        sender: () => ({ spki: nodeKey.spki, role: "newcomer" }),
      });
      enrolled.push(EnrolNode.parse(body));
      if ("problem" in change) return Response.json(change["problem"], { status: 401 });
      return Response.json({
        fp: nodeKey.fp,
        zone: "berlin",
        cluster: CLUSTER,
        clusterKey: clusterKey.spki.toBase64(),
        id: null,
        lastSeq: 4,
        ...change,
      });
    },
  };
}

function options(net: Net, token = TOKEN): EnrolOptions & { disk: ReturnType<typeof memoryDisk> } {
  return {
    net,
    token,
    disk: memoryDisk(),
    folder: FOLDER,
    trust: nodeTrust(nodeKey, realCrypt()),
    directorUrl: "https://salar.example",
    facts: {
      machineId: "0".repeat(32),
      name: "node-1",
      apiUrl: "https://node-1.example",
      master: "node-1.example",
      masterKey: PEM_A,
      versions: {},
    },
  };
}

Deno.test("enrolNode() shows token and key in a signed body, and pins what the answer names", async () => {
  const net = director();
  const given = options(net);
  const state = await enrolNode(scope, given);
  assert.deepEqual(await readState(given.disk, FOLDER), state);
  assert.equal(state.clusterKey, clusterKey.spki.toBase64());
  assert.equal(state.done, 4);
  assert.equal(net.enrolled[0]?.token, TOKEN);
  assert.equal(net.enrolled[0]?.identityKey, nodeKey.spki.toBase64());
  assert.equal(net.seen.join().includes(TOKEN), false);
});

Deno.test("enrolNode() believes no other cluster, no answer for another node and no refusal, and writes nothing then", async () => {
  const problem = {
    type: "urn:salar:error:unauthenticated",
    title: "t",
    status: 401,
    detail: "used",
    code: "unauthenticated",
  };
  const cases = [
    [director({ clusterKey: nodeKey.spki.toBase64() }), TOKEN, "bad-peer"],
    [director({ fp: "0".repeat(64) }), TOKEN, "bad-peer"],
    [director({ zone: 7 }), TOKEN, "bad-peer"],
    [director({ problem }), TOKEN, "unauthenticated"],
    [director(), "no token", "bad-input"],
  ] as const;
  for (const [net, token, code] of cases) {
    const given = options(net, token);
    await assert.rejects(enrolNode(scope, given), (error) => isSalarError(error, code));
    assert.equal(given.disk.files.size, 0);
  }
});
