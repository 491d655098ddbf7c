/**
 * Registrations of systems per second: the enrolment of client agents, over HTTP through `host.fetch`.
 *
 * One is a request, a statement with its challenge and schema, and a synced transaction: join token, system, its
 * look-up keys, audit entry. Keys, join tokens and statements are made beforehand. Each agent has a join token of its
 * own and is new to the cluster, but for three cases: `one token for all`, used to its last (an image of which many
 * machines start), `all on one node, shown by it` (agents come to the systems of a node whose database has told of them)
 * and `all on one node, before it shows them` (each is one more of the load that the node's only counter holds).
 * A refusal that says `conflict` is answered as an agent would: the same request again; `refused` counts them.
 * The floor is the store itself, the same callers each writing as many keys in a transaction.
 */
import { randomBytes } from "node:crypto";
import { clientTrust } from "../agents/client/trust.ts";
import { clientBind } from "../functions/client-bind/client_bind.ts";
import { putSystem } from "../lib/cluster/enrolling.ts";
import { EnrolChallenge, type EnrolSystem } from "../lib/cluster/protocol.ts";
import { joinTokens, nodes, zones } from "../lib/cluster/records.ts";
import type { System } from "../lib/cluster/types.ts";
import { realCrypt } from "../lib/mesh/real_crypt.ts";
import { generateIdentity } from "../lib/secure/keys.ts";
import { mintJoinToken, TOKEN_RANDOM_BYTES } from "../lib/secure/token.ts";
import { type BenchOptions, judged, median, type Report } from "./figure.ts";
import { type BenchHost, type BenchHostOptions, CLUSTER, startBenchHost } from "./host.ts";
import { nodeRecord, PUBLIC_PEM, ZONE } from "./node_record.ts";

const CALLERS = [1, 16, 64];
/** Agents that enrol in one turn; between turns the next are made ready. */
const TURN_AGENTS = 512;
/** Keys that an enrolment writes, and bytes of a usual one. */
const KEYS_WRITTEN = 11;
const VALUE = new Uint8Array(300).fill(0x61);

interface Case {
  medium: BenchHostOptions["medium"];
  callers: number;
  /** What all agents have in common. */
  shared: Shared;
}

type Shared = "nothing" | "token" | "shown node" | "node";

export async function run(report: Report, { seconds }: BenchOptions): Promise<void> {
  const apart = (["file", "memory"] as const).flatMap((medium) =>
    CALLERS.map((callers): Case => ({ medium, callers, shared: "nothing" }))
  );
  const together = (["token", "shown node", "node"] as const).map((shared): Case => ({
    medium: "file",
    callers: 64,
    shared,
  }));
  for (const each of [...apart, ...together]) await measure(report, each, seconds * 1_000);
}

async function measure(report: Report, each: Case, caseMs: number): Promise<void> {
  await using rig = await startBenchHost({ functions: [clientBind], medium: each.medium });
  const node = generateIdentity();
  await rig.store.write(rig.scope, (tx) => {
    zones.put(tx, { v: 1, name: ZONE, description: "", fallback: false, createdAtMs: 0, revision: 1 }, ZONE);
    nodes.put(tx, nodeRecord(node, "node-1"), node.fp);
    return Promise.resolve();
  });

  const enrolled: number[] = [];
  const floor: number[] = [];
  let refused = 0;
  for (let spentMs = 0, turn = 0; spentMs < caseMs; turn++) {
    const requests = await enrolments(rig, { ...each, node: node.fp }, turn);
    const enrolMs = await timed(requests, each.callers, async (body) => {
      for (; !await enrol(rig, body); refused++);
    });
    const floorMs = await timed(requests, each.callers, (_, at) => writeKeys(rig, `floor/${turn}/${at}`));
    enrolled.push(TURN_AGENTS / enrolMs * 1_000);
    floor.push(TURN_AGENTS / floorMs * 1_000);
    spentMs += enrolMs + floorMs;
  }

  const common = COMMON[each.shared];
  const name = `${each.medium}, ${each.callers} at once${common}`;
  const peer = { name: "the store alone", value: median(floor) };
  report(judged({ bench: "registrations", case: name, value: median(enrolled), unit: "systems/s", peer }));
  if (common === "") return;
  const perThousand = refused / (enrolled.length * TURN_AGENTS) * 1_000;
  report(judged({ bench: "registrations", case: `refused: ${name}`, value: perThousand, unit: "of 1000" }));
}

const COMMON: Record<Shared, string> = {
  "nothing": "",
  "token": ", one token for all",
  "shown node": ", all on one node, shown by it",
  "node": ", all on one node, before it shows them",
};

/** Milliseconds until all items are done, `callers` of them at a time. */
async function timed<T>(
  items: readonly T[],
  callers: number,
  work: (item: T, at: number) => Promise<void>,
): Promise<number> {
  const startMs = performance.now();
  const rest = items.entries();
  await Promise.all(Array.from({ length: callers }, async () => {
    for (const [at, item] of rest) await work(item, at);
  }));
  return performance.now() - startMs;
}

/** The requests of a turn's agents, with what they need in the store. */
async function enrolments(
  rig: BenchHost,
  { shared, node }: Case & { node: string },
  turn: number,
): Promise<string[]> {
  const challenge = await rig.host.fetch(new Request("http://bench.example/v1/enrol/challenge"));
  const { nonce, nowMs } = EnrolChallenge.parse(await challenge.json());
  const tokens = await joinTokensFor(rig, shared === "token" ? 1 : TURN_AGENTS, nowMs);
  const follows = shared === "node" || shared === "shown node";
  const agents = Array.from({ length: TURN_AGENTS }, (_, at) => {
    const trust = clientTrust(generateIdentity(), realCrypt());
    const body: EnrolSystem = {
      token: tokens[at % tokens.length] ?? "",
      nonce,
      identityKey: trust.identityKey,
      machineId: trust.fp.slice(0, 32),
      minionId: `minion-${turn}-${at}`,
      minionKey: PUBLIC_PEM,
      name: `minion-${turn}-${at}`,
      master: follows ? "node-1.example" : null,
    };
    return { body, statement: trust.signEnrolment(body, { cluster: CLUSTER, nowMs }) };
  });
  if (shared === "shown node") {
    await rig.store.write(rig.scope, async (tx) => {
      for (const [at, { body }] of agents.entries()) {
        await putSystem({ tx }, shownSystem(body, { id: turn * TURN_AGENTS + at + 1, node }));
      }
    });
  }
  return agents.map(({ statement }) => JSON.stringify({ statement }));
}

/** As a node's database shows it, before its agent comes. */
function shownSystem({ machineId, minionId, name }: EnrolSystem, at: { id: number; node: string }): System {
  return {
    ...at,
    v: 1,
    fp: null,
    identityKey: null,
    minionId,
    machineId,
    minionKey: null,
    name,
    zone: ZONE,
    state: "bound",
    pin: null,
    epoch: 0,
    generation: 0,
    registeredAtMs: 0,
    reason: "bench",
    revision: 1,
  };
}

async function joinTokensFor(rig: BenchHost, count: number, nowMs: number): Promise<string[]> {
  const minted = Array.from(
    { length: count },
    () => mintJoinToken(randomBytes(TOKEN_RANDOM_BYTES), rig.clusterKey.fp),
  );
  await rig.store.write(rig.scope, (tx) => {
    for (const { id, secretHash } of minted) {
      const limits = { uses: TURN_AGENTS / count, expiresAtMs: nowMs + 3_600_000, machineId: null };
      joinTokens.put(tx, {
        v: 1,
        id,
        secretHash,
        kind: "system",
        zone: ZONE,
        maker: "bench",
        run: null,
        ...limits,
      }, id);
    }
    return Promise.resolve();
  });
  return minted.map(({ token }) => token.reveal());
}

/** False when it was refused for a conflict with others. */
async function enrol({ host }: BenchHost, body: string): Promise<boolean> {
  const response = await host.fetch(
    new Request("http://bench.example/v1/enrol/system", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    }),
  );
  const answer = await response.text();
  if (response.ok || response.status === 409) return response.ok;
  throw new Error(`Cannot measure registrations: ${response.status} ${answer}`);
}

async function writeKeys({ store, scope }: BenchHost, prefix: string): Promise<void> {
  await store.write(scope, (tx) => {
    for (let n = 0; n < KEYS_WRITTEN; n++) tx.put(`${prefix}/${n}`, VALUE);
    return Promise.resolve();
  });
}
