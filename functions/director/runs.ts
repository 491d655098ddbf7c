/**
 * Runs of nanostates: on a node by its agent, or by the admin tool that stages a machine (`staging.ts`).
 *
 * R1. A node's agent is told the name of a state of its own folder, never a state's text.
 * R2. Whoever began a run with a tool tells how far it is; nobody else can, and the answer says when to stop.
 * R3. Parameters are no secrets: they lie in the store. A node takes secrets from its own files.
 */
import { z } from "zod";
import { SalarError } from "../../lib/errors.ts";
import { RUN_MS, RUN_MS_MAX } from "../../lib/limits.ts";
import { type Change, change } from "../../lib/cluster/change.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { RunEnd } from "../../lib/cluster/protocol.ts";
import { nodeByFp, runById, runResults, runs } from "../../lib/cluster/records.ts";
import { cancelRun, endRun, heard, putNewRun, RUNS_OVER } from "../../lib/cluster/running.ts";
import {
  Fp,
  NanostateId,
  NanostateResult,
  type Node,
  Run,
  RunId,
  RunParams,
  RunProgress,
  RunState,
} from "../../lib/cluster/types.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route, tagged } from "../../lib/mesh/route.ts";
import { asked, FpParams, pageOf, PageQuery, requireRevision, Why } from "./shapes.ts";

const RunPath = z.object({ run: RunId });
export const ForMs = z.int().min(1_000).max(RUN_MS_MAX).default(RUN_MS).describe("How long it may take");

const begin = route({
  name: "nodes.run",
  method: "POST",
  path: "/v1/nodes/{fp}/runs",
  role: "admin",
  summary: "Have a node's agent run a nanostate of its own folder on its node",
  params: FpParams,
  body: z.object({
    nanostate: NanostateId,
    check: z.boolean().default(false).describe("Only tell what would change"),
    params: RunParams.default({}).describe("Parameters of the state; no secrets"),
    forMs: ForMs,
    why: Why,
  }),
  reply: Run,
  status: 202,
  async run(context, input) {
    const { nanostate, check, params, forMs, why } = input.body;
    const run = await change(context, asked(input), async (c) => {
      const node = await hearingNode(c, input.params.fp);
      return await putNewRun(c, {
        nanostate,
        check,
        params,
        by: node.fp,
        host: null,
        staging: null,
        deadlineAtMs: c.nowMs + forMs,
        reason: why,
      });
    });
    return done(run);
  },
});

const list = route({
  name: "runs.list",
  method: "GET",
  path: "/v1/runs",
  role: "viewer",
  summary: "List runs of nanostates, stagings among them, newest first",
  query: PageQuery.extend({
    cursor: RunId.optional(),
    state: RunState.optional(),
    kind: z.enum(["run", "staging"]).optional(),
    node: Fp.optional().describe("Only runs by this node, and stagings of it"),
  }),
  reply: pageOf(Run),
  async run({ store, scope }, { query }) {
    const page = await store.read(scope, (tx) =>
      runs.scan(tx, keys.runs, {
        limit: query.limit,
        reverse: true,
        after: query.cursor && keys.run(query.cursor),
      }));
    const all = page.map(({ value }) => value);
    const { state, kind, node } = query;
    const items = all.filter((run) =>
      (state === undefined || run.state === state) &&
      (kind === undefined || (run.staging !== null) === (kind === "staging")) &&
      (node === undefined || run.by === node || run.staging?.node === node)
    );
    return done({ items, next: all.length < query.limit ? null : all.at(-1)?.id ?? null });
  },
});

const show = route({
  name: "runs.show",
  method: "GET",
  path: "/v1/runs/{run}",
  role: "viewer",
  summary: "Show one run and how far it is",
  params: RunPath,
  reply: Run,
  async run({ store, scope }, { params }) {
    const run = await store.read(scope, (tx) => runById(tx, params.run));
    return done(tagged(run, String(run.revision)));
  },
});

const result = route({
  name: "runs.result",
  method: "GET",
  path: "/v1/runs/{run}/result",
  role: "operator", // what commands printed
  summary: "Show what each step of a run came to",
  params: RunPath,
  reply: z.object({
    result: NanostateResult.nullable().describe("Null while it runs, and where none is known"),
  }),
  async run({ store, scope }, { params }) {
    return done(
      await store.read(scope, async (tx) => {
        await runById(tx, params.run);
        return { result: (await runResults.get(tx, params.run))?.result ?? null };
      }),
    );
  },
});

const cancel = route({
  name: "runs.cancel",
  method: "POST",
  path: "/v1/runs/{run}/cancel",
  role: "admin",
  summary: "Stop a run; what it has changed so far stays",
  params: RunPath,
  body: z.object({ why: Why }),
  reply: Run,
  async run(context, input) {
    const run = await change(context, asked(input), async (c) => {
      const run = await runById(c.tx, input.params.run);
      requireRevision(input.ifMatch, run.revision, `run "${run.id}"`);
      return await cancelRun(c, run, input.body.why);
    });
    return done(tagged(run, String(run.revision)));
  },
});

const progress = route({
  name: "runs.progress",
  method: "POST",
  path: "/v1/runs/{run}/progress",
  role: "admin",
  summary: "For the tool that does a run: tell how far it is, and hear whether to stop",
  params: RunPath,
  body: RunProgress,
  reply: z.object({ stop: z.boolean(), state: RunState }),
  async run(context, input) {
    const reply = await change(context, asked(input), async (c) => {
      const { state } = heard(c, await ownRun(c, input.params.run), input.body);
      return { stop: state === "cancelling" || RUNS_OVER.includes(state), state };
    });
    return done(reply);
  },
});

const end = route({
  name: "runs.end",
  method: "POST",
  path: "/v1/runs/{run}/end",
  role: "admin",
  summary: "For the tool that does a run: tell how it ended",
  params: RunPath,
  body: RunEnd,
  reply: Run,
  async run(context, input) {
    const run = await change(
      context,
      asked(input),
      async (c) => await endRun(c, await ownRun(c, input.params.run), input.body),
    );
    return done(run);
  },
});

/** R2. @throws {SalarError} `not-found`, `conflict` */
async function ownRun({ tx, who }: Change, id: string): Promise<Run> {
  const run = await runById(tx, id);
  if (run.by === null && run.who === who) return run;
  const doer = run.by === null ? "the tool of whoever began it" : "a node's agent";
  throw new SalarError("conflict", `Cannot tell of run "${id}": ${doer} does it; cancel it instead`);
}

/** A node whose agent can be told. @throws {SalarError} `not-found`, `conflict` */
export async function hearingNode({ tx }: Pick<Change, "tx">, fp: string): Promise<Node> {
  const node = await nodeByFp(tx, fp);
  tx.lock(keys.node(fp)); // against its removal meanwhile
  if (node.state !== "removed" && node.state !== "lost") return node;
  throw new SalarError("conflict", `Cannot run anything on node "${node.name}": it is ${node.state}`);
}

export const runRoutes = [begin, list, show, result, cancel, progress, end];
