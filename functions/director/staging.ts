/**
 * Staging: a bare machine becomes a node, by a nanostate that the admin tool or a node's agent runs over SSH.
 *
 * G1. A staging is a run (`runs.ts`) with a join token of its own: who enrols with it is the machine that is staged.
 * G2. A machine that serves the cluster, or waits to be accepted, is refused; so is one that is being staged.
 * G3. Of secrets, only the join token passes here: once, in the answer to whoever begins. A node that stages reaches the
 *     machine by its own key; passwords are for the tool at somebody's hands.
 */
import { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import { type Change, change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { enterNodeState } from "../../lib/cluster/node_states.ts";
import { nodes, zoneNamed } from "../../lib/cluster/records.ts";
import { lastRunOn, putNewRun, putRunToken, refuseSecondOn } from "../../lib/cluster/running.ts";
import { Fp, HostName, NanostateId, type Node, Run, RunParams, ZoneName } from "../../lib/cluster/types.ts";
import { mintJoinToken, TOKEN_RANDOM_BYTES } from "../../lib/secure/token.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route } from "../../lib/mesh/route.ts";
import { ForMs, hearingNode } from "./runs.ts";
import { Why } from "./shapes.ts";

const DEFAULT_NANOSTATE = "node-staging";

const StagingBody = z.object({
  host: HostName,
  zone: ZoneName,
  nanostate: NanostateId.default(DEFAULT_NANOSTATE),
  params: RunParams.default({}).describe("Parameters of the state, besides zone; no secrets"),
  via: Fp.nullable().default(null).describe("Node whose agent does it; null: the caller does"),
  dryRun: z.boolean().default(false).describe("Tell what would be refused, and begin nothing"),
  forMs: ForMs,
  why: Why,
});

const stage = route({
  name: "nodes.stage",
  method: "POST",
  path: "/v1/stagings",
  role: "admin",
  summary: "Begin to make a node of a machine; without `via` the caller runs the state and tells how it goes",
  body: StagingBody,
  reply: z.object({
    run: Run.nullable().describe("Null for a dry run"),
    token: z.string().nullable().describe("Join token for the new node's agent, shown this once"),
  }),
  status: 201,
  secretReply: true,
  async run(context, { body, principal }) {
    const { host, zone, via, dryRun, why: reason, nanostate, params, forMs } = body;
    // Each try of the transaction may write it: the pin is the cluster key's fingerprint, as of any join token.
    const minted = mintJoinToken(context.scope.random.bytes(TOKEN_RANDOM_BYTES), context.signer.fp);
    const run = await change(context, { who: principal.id }, async (c) => {
      const node = await stageable(c, body);
      if (via !== null) await hearingNode(c, via);
      if (dryRun) return null;
      const run = await putNewRun(c, {
        nanostate,
        check: false,
        params: { ...params, zone },
        by: via,
        host,
        staging: { zone, node: node?.fp ?? null, token: null },
        deadlineAtMs: c.nowMs + forMs,
        reason,
      });
      if (node !== null) enterNodeState(c, { ...node, zone }, "stage", `staged by run ${run.id}`);
      return via === null ? await putRunToken(c, run, minted) : run;
    });
    return done({ run, token: run === null || via !== null ? null : minted.token.reveal() });
  },
});

/** G2. The node that the host is already, pooled or failed; null for a stranger. @throws {SalarError} `not-found`, `conflict` */
async function stageable(
  c: Change,
  { host, zone, nanostate }: z.infer<typeof StagingBody>,
): Promise<Node | null> {
  await zoneNamed(c.tx, zone);
  c.tx.lock(keys.zone(zone)); // against its removal meanwhile
  await refuseSecondOn(c.tx, host, nanostate);
  const node = await nodeOf(c, host);
  if (node === null || node.state === "pooled" || node.state === "failed") return node;
  const what = node.state === "staged" ? "accept it, or remove it first" : "drain and remove it first";
  throw new SalarError(
    "conflict",
    `Cannot stage "${host}": it is node "${node.name}", ${node.state}; ${what}`,
    {
      detail: { node: node.fp, state: node.state },
    },
  );
}

/** The node that was staged as this host before, or has it as its name or as its master's. */
async function nodeOf({ tx }: Change, host: string): Promise<Node | null> {
  const before = (await lastRunOn(tx, host))?.staging?.node ?? null;
  const name = host.slice(host.indexOf("@") + 1).replace(/:\d+$/, "").toLowerCase();
  for await (const node of nodes.all(tx, keys.nodes)) { // hundreds at most
    if (node.state === "removed") continue;
    if (node.fp === before || node.name.toLowerCase() === name || node.master.toLowerCase() === name) {
      return node;
    }
  }
  return null;
}

export const stagingRoutes = [stage];
