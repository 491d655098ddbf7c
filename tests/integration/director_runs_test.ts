/** Nanostates as commands: the director gives a name, a node's agent runs it and tells how it went. */
import assert from "node:assert/strict";
import { DIRECTIVE_MS, RUN_GRACE_MS, RUN_KEEP_MS, RUN_RESULT_BYTES_MAX } from "../../lib/limits.ts";
import type { RunEnd } from "../../lib/cluster/protocol.ts";
import type { ClusterRig, TestNode, Told } from "../../lib/cluster/testing.ts";
import { NO_COUNTS } from "../../lib/cluster/running.ts";
import { isSalarError } from "../../lib/errors.ts";
import { Run, Runs } from "./director_replies.ts";
import { clusterTest, refusal } from "./director_support.ts";

const RESULT = { Id: "motd", Description: "d", Groups: [] };
const end = (outcome: RunEnd["outcome"], reason = ""): RunEnd => ({
  outcome,
  reason,
  progress: { done: 2, total: 2, counts: { ...NO_COUNTS, ok: 2 }, step: "" },
  result: RESULT,
});

const begin = (rig: ClusterRig, { fp }: TestNode, more: Record<string, unknown> = {}) =>
  rig.ask(Run, "POST", `/v1/nodes/${fp}/runs`, { nanostate: "motd", ...more });
const runAt = (rig: ClusterRig, { id }: Run) => rig.ask(Run, "GET", `/v1/runs/${id}`);
const cancel = (rig: ClusterRig, { id }: Run) =>
  rig.ask(Run, "POST", `/v1/runs/${id}/cancel`, { why: "enough" });

async function only(node: TestNode, after = 0): Promise<Told> {
  const [told, ...others] = await node.fetch(after);
  assert.ok(told);
  assert.deepEqual(others, []);
  return told;
}

clusterTest("a run is told, begun, followed and ended, and its result can be read", async (rig) => {
  const node = await rig.node("a");
  const run = await begin(rig, node, { check: true, params: { colour: "red" } });
  const told = await only(node);
  assert.ok(told.kind === "directive.state.run");
  const { deadlineAtMs, ...body } = told.body;
  assert.equal(deadlineAtMs, run.deadlineAtMs);
  assert.deepEqual(body, {
    run: run.id,
    nanostate: "motd",
    check: true,
    host: null,
    params: { colour: "red" },
  });
  await node.report(told.seq);
  assert.equal((await runAt(rig, run)).state, "waiting", "done means that the agent knows of it");
  assert.equal((await node.tell({ what: "begin", run: run.id })).token, null);
  const progress = { done: 1, total: 2, counts: { ...NO_COUNTS, ok: 1 }, step: "motd/1" };
  await node.tell({ what: "progress", run: run.id, progress });
  const running = await runAt(rig, run);
  assert.deepEqual([running.state, running.progress], ["running", progress]);
  for (const _ of [1, 2]) await node.tell({ what: "end", run: run.id, end: end("done") });
  assert.deepEqual((await runAt(rig, run)).progress, end("done").progress);
  assert.deepEqual(await rig.must("GET", `/v1/runs/${run.id}/result`), { result: RESULT });
});

clusterTest("an end that comes first, or alone, is an end", async (rig) => {
  const node = await rig.node("a");
  const run = await begin(rig, node);
  await node.tell({ what: "end", run: run.id, end: end("done") });
  assert.equal((await runAt(rig, run)).state, "done");
});

clusterTest("a directive that its agent refuses fails the run, with the agent's reason", async (rig) => {
  const node = await rig.node("a");
  const run = await begin(rig, node);
  await node.report((await only(node)).seq, "refused", 'it has no state "motd"');
  const { state, reason } = await runAt(rig, run);
  assert.deepEqual([state, reason], ["failed", 'it has no state "motd"']);
});

clusterTest(
  "cancelled before anybody was told, a run is over at once; after that its agent is told to stop",
  async (rig) => {
    const node = await rig.node("a");
    const first = await begin(rig, node);
    assert.equal((await cancel(rig, first)).state, "cancelled");
    assert.deepEqual(await node.fetch(), [], "it never hears of it");
    const second = await begin(rig, node);
    const { seq } = await only(node);
    await node.tell({ what: "begin", run: second.id });
    assert.equal((await cancel(rig, second)).state, "cancelling");
    assert.equal((await cancel(rig, second)).state, "cancelling", "again, it is no news");
    const stop = await only(node, seq);
    assert.deepEqual([stop.kind, stop.body], ["directive.state.cancel", { run: second.id }]);
    const { progress } = second;
    assert.equal((await node.tell({ what: "progress", run: second.id, progress })).stop, true);
    await node.tell({ what: "end", run: second.id, end: end("cancelled", "enough") });
    assert.equal((await runAt(rig, second)).state, "cancelled");
    assert.deepEqual(refusal(await rig.call("POST", `/v1/runs/${second.id}/cancel`, { why: "" })), [
      409,
      "conflict",
    ]);
  },
);

clusterTest("each run has a higher epoch; one machine has one run at a time", async (rig) => {
  const node = await rig.node("a");
  const run = await begin(rig, node);
  const second = await rig.call("POST", `/v1/nodes/${node.fp}/runs`, { nanostate: "motd" });
  assert.deepEqual(refusal(second), [409, "conflict"]);
  const { seq, epoch } = await only(node);
  await node.tell({ what: "end", run: run.id, end: end("done") });
  await begin(rig, node);
  assert.equal((await only(node, seq)).epoch, epoch + 1);
});

clusterTest(
  "a run that nobody begins in time has failed; its directive is not handed out any more",
  async (rig) => {
    const node = await rig.node("a");
    const run = await begin(rig, node);
    rig.later(DIRECTIVE_MS + 1_000);
    assert.deepEqual(await node.fetch(), []);
    await rig.tick("runs");
    assert.equal(
      (await runAt(rig, run)).state,
      "waiting",
      "an agent that began in the last moment may still tell",
    );
    rig.later(RUN_GRACE_MS);
    await rig.tick("runs");
    assert.equal((await runAt(rig, run)).state, "failed");
  },
);

clusterTest("an agent that was interrupted in the middle says that it does not know", async (rig) => {
  const node = await rig.node("a");
  const run = await begin(rig, node);
  await node.tell({ what: "begin", run: run.id });
  await node.tell({
    what: "end",
    run: run.id,
    end: end("unknown", "the agent was started anew in the middle"),
  });
  const { state, reason } = await runAt(rig, run);
  assert.deepEqual([state, reason], ["interrupted", "the agent was started anew in the middle"]);
});

clusterTest("nobody tells of a run that is not his", async (rig) => {
  const [node, other] = [await rig.node("a"), await rig.node("b")];
  const run = await begin(rig, node);
  await assert.rejects(
    other.tell({ what: "begin", run: run.id }),
    (error) => isSalarError(error, "not-found"),
  );
  const answer = await rig.call("POST", `/v1/runs/${run.id}/end`, end("done"));
  assert.deepEqual(refusal(answer), [409, "conflict"]);
  assert.equal((await runAt(rig, run)).state, "waiting");
});

clusterTest(
  "refused: too large a result, no state's name, a node that is gone, whoever is no administrator",
  async (rig) => {
    const node = await rig.node("a");
    const run = await begin(rig, node);
    const large = { ...RESULT, Description: "x".repeat(RUN_RESULT_BYTES_MAX) };
    await assert.rejects(
      node.tell({ what: "end", run: run.id, end: { ...end("done"), result: large } }),
      (error) => isSalarError(error, "bad-input"),
    );
    const ask = (body: Record<string, unknown>, as: "operator" | "admin" = "admin", { fp } = node) =>
      rig.call("POST", `/v1/nodes/${fp}/runs`, body, { as });
    for (const nanostate of ["../etc/passwd", "a/b", "", ".hidden", "id: x\nstate: {}"]) {
      assert.deepEqual(refusal(await ask({ nanostate })), [400, "bad-input"], nanostate);
    }
    assert.deepEqual(refusal(await ask({ nanostate: "motd" }, "operator")), [403, "forbidden"]);
    const viewer = await rig.call("GET", `/v1/runs/${run.id}/result`, undefined, { as: "viewer" });
    assert.deepEqual(refusal(viewer), [403, "forbidden"], "what commands printed is for operators");
    const gone = await rig.node("b");
    await rig.must("POST", `/v1/nodes/${gone.fp}/drain`, { why: "" });
    await rig.tick("advance");
    await rig.must("DELETE", `/v1/nodes/${gone.fp}`);
    assert.deepEqual(refusal(await ask({ nanostate: "motd" }, "admin", gone)), [409, "conflict"]);
  },
);

clusterTest("ended runs are forgotten after their time; open ones never", async (rig) => {
  const [a, b] = [await rig.node("a"), await rig.node("b")];
  const old = await begin(rig, a);
  await a.tell({ what: "end", run: old.id, end: end("done") });
  rig.later(RUN_KEEP_MS);
  const young = await begin(rig, b);
  await rig.tick("runs");
  assert.deepEqual((await rig.ask(Runs, "GET", "/v1/runs")).items.map(({ id }) => id), [young.id]);
  assert.equal((await rig.call("GET", `/v1/runs/${old.id}/result`)).status, 404);
});
