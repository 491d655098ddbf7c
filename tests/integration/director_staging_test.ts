/** Staging: a bare machine becomes a node; who does it, what the node's state tells, and what is refused. */
import assert from "node:assert/strict";
import { RUN_GRACE_MS, RUN_JOIN_MS } from "../../lib/limits.ts";
import { joinTokens } from "../../lib/cluster/records.ts";
import type { RunEnd } from "../../lib/cluster/protocol.ts";
import { type ClusterRig, nodeFacts, type TestNode } from "../../lib/cluster/testing.ts";
import { NO_COUNTS } from "../../lib/cluster/running.ts";
import { Events, NodeView, Run, Runs, Staged } from "./director_replies.ts";
import { clusterTest, refusal } from "./director_support.ts";

const HOST = "node-9.example";
const end = (outcome: RunEnd["outcome"], reason = ""): RunEnd => ({
  outcome,
  reason,
  progress: { done: 3, total: 3, counts: { ...NO_COUNTS, changed: 3 }, step: "" },
  result: { Id: "node-staging", Description: "", Groups: [] },
});

async function begin(rig: ClusterRig, more: Record<string, unknown> = {}) {
  const { run, token } = await rig.ask(Staged, "POST", "/v1/stagings", { host: HOST, zone: "z", ...more });
  return {
    run,
    token: token ?? "",
    ends: (outcome: RunEnd["outcome"], reason = "") =>
      rig.ask(Run, "POST", `/v1/runs/${run.id}/end`, end(outcome, reason)),
  };
}

/** The machine's agent enrols. */
async function joins(rig: ClusterRig, token: string, key = rig.newKey()): Promise<TestNode> {
  const answer = await rig.enrol("node", key, { ...nodeFacts(HOST, key), token });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  return rig.nodeOf(HOST, key);
}

const nodeAt = (rig: ClusterRig, fp: string) => rig.ask(NodeView, "GET", `/v1/nodes/${fp}`);
const runAt = (rig: ClusterRig, id: string) => rig.ask(Run, "GET", `/v1/runs/${id}`);
const stage = (rig: ClusterRig, more: Record<string, unknown> = {}) =>
  rig.call("POST", "/v1/stagings", { host: HOST, zone: "z", ...more });

clusterTest(
  "a machine is staged: its agent enrols, the state ends well, and it can be accepted",
  async (rig) => {
    const { run, token, ends } = await begin(rig, { params: { wipe: true } });
    assert.deepEqual([run.state, run.nanostate, run.params], ["running", "node-staging", {
      wipe: true,
      zone: "z",
    }]);
    const { fp } = await joins(rig, token);
    assert.equal((await nodeAt(rig, fp)).state, "staging");
    assert.equal((await ends("done")).state, "done");
    const node = await nodeAt(rig, fp);
    assert.deepEqual([node.state, node.reason], ["staged", `staged by run ${run.id}`]);
    await rig.must("POST", `/v1/nodes/${fp}/accept`, { why: "" });
    const { items } = await rig.ask(Events, "GET", "/v1/events?limit=1000");
    const told = items.map(({ what }) => what).filter((what) => /^(run|node)\./.test(what)).toReversed();
    assert.deepEqual(told, [
      "run.add",
      "node.pool",
      "node.stage",
      "run.finish",
      "node.staged",
      "node.accept",
    ]);
  },
);

clusterTest(
  "a state that ends before its node's agent has enrolled waits for it, and not for ever",
  async (rig) => {
    const first = await begin(rig);
    assert.equal((await first.ends("done")).state, "joining");
    const { fp } = await joins(rig, first.token);
    assert.deepEqual([(await runAt(rig, first.run.id)).state, (await nodeAt(rig, fp)).state], [
      "done",
      "staged",
    ]);

    const second = await begin(rig, { host: "node-8.example" });
    await second.ends("done");
    rig.later(RUN_JOIN_MS - 1_000);
    await rig.tick("runs");
    assert.equal((await runAt(rig, second.run.id)).state, "joining");
    rig.later(2_000);
    await rig.tick("runs");
    const { state, reason } = await runAt(rig, second.run.id);
    assert.equal(state, "failed");
    assert.match(reason, /did not enrol/);
    const key = rig.newKey();
    const late = await rig.enrol("node", key, { ...nodeFacts("n", key), token: second.token });
    assert.equal(late.status, 401, "its token is gone with it");
  },
);

clusterTest(
  "a staging that fails leaves a failed node, the reason and the way back; it can be staged again",
  async (rig) => {
    const { token, ends } = await begin(rig);
    const { fp } = await joins(rig, token);
    await ends("failed", "no room for the backup");
    const { state, reason } = await nodeAt(rig, fp);
    assert.equal(state, "failed");
    assert.equal(
      reason,
      `staging failed: no room for the backup; to bring it back: salar state apply node-restore --host ${HOST}`,
    );
    const again = await begin(rig); // known as this host by its first staging: no enrolment is needed
    assert.equal((await nodeAt(rig, fp)).state, "staging");
    assert.equal((await again.ends("done")).state, "done");
    assert.equal((await nodeAt(rig, fp)).state, "staged");
  },
);

clusterTest(
  "a tool that dies leaves its staging interrupted and the node failed; told late, its end is the truth",
  async (rig) => {
    const { run, token, ends } = await begin(rig);
    const { fp } = await joins(rig, token);
    rig.later(RUN_GRACE_MS - 1_000);
    const { progress } = run;
    const told = await rig.must("POST", `/v1/runs/${run.id}/progress`, { ...progress, done: 3, total: 9 });
    assert.deepEqual(told, { stop: false, state: "running" });
    rig.later(RUN_GRACE_MS - 1_000);
    await rig.tick("runs");
    assert.equal((await runAt(rig, run.id)).progress.done, 3);
    rig.later(2_000);
    await rig.tick("runs");
    assert.equal((await runAt(rig, run.id)).state, "interrupted");
    assert.match(
      (await nodeAt(rig, fp)).reason,
      /interrupted: the tool that did it was not heard of for \d+ s/,
    );
    assert.deepEqual(await rig.must("POST", `/v1/runs/${run.id}/progress`, progress), {
      stop: true,
      state: "interrupted",
    });
    await ends("done");
    assert.equal((await nodeAt(rig, fp)).state, "staged");
    await ends("failed", "told again, it changes nothing");
    assert.deepEqual([(await runAt(rig, run.id)).state, (await nodeAt(rig, fp)).state], ["done", "staged"]);
  },
);

clusterTest("an end told late does not touch a node that is being staged again", async (rig) => {
  const first = await begin(rig);
  const { fp } = await joins(rig, first.token);
  rig.later(RUN_GRACE_MS);
  await rig.tick("runs");
  const second = await begin(rig);
  await first.ends("done");
  assert.deepEqual([(await runAt(rig, first.run.id)).state, (await nodeAt(rig, fp)).state], [
    "done",
    "staging",
  ]);
  await second.ends("failed", "x");
  assert.equal((await nodeAt(rig, fp)).state, "failed");
});

clusterTest(
  "refused: a zone that is not there, a machine that is staged, serving, or being staged",
  async (rig) => {
    assert.deepEqual(refusal(await stage(rig, { zone: "nowhere" })), [404, "not-found"]);
    for (const host of ["", "a b", "-oProxyCommand=x", "a/b", "x@y@z"]) {
      assert.deepEqual(refusal(await stage(rig, { host })), [400, "bad-input"], host);
    }
    assert.deepEqual(
      refusal(await rig.call("POST", "/v1/stagings", { host: HOST, zone: "z" }, { as: "operator" })),
      [
        403,
        "forbidden",
      ],
    );
    await rig.node("serving.example", { master: "serving" });
    for (const host of ["serving.example", "root@SERVING.example:22", "serving"]) {
      assert.deepEqual(refusal(await stage(rig, { host })), [409, "conflict"], host);
    }
    const [first, second] = await Promise.all([
      stage(rig),
      stage(rig, { host: `root@${HOST.toUpperCase()}` }),
    ]);
    assert.deepEqual([first.status, second.status].toSorted(), [201, 409], "of two at once, one");
    const open = (await rig.ask(Runs, "GET", "/v1/runs?kind=staging")).items;
    assert.equal(open.length, 1);
    assert.deepEqual(refusal(await stage(rig, { dryRun: true })), [409, "conflict"]);
    const { token } = Staged.parse((first.status === 201 ? first : second).body);
    const { fp } = await joins(rig, token ?? "");
    await rig.must("POST", `/v1/runs/${open[0]?.id}/end`, end("done"));
    assert.deepEqual(refusal(await stage(rig)), [409, "conflict"], "staged: accept it");
    assert.equal((await nodeAt(rig, fp)).state, "staged");
  },
);

clusterTest("a dry run begins nothing", async (rig) => {
  assert.deepEqual((await stage(rig, { dryRun: true })).body, { run: null, token: null });
  assert.deepEqual((await rig.ask(Runs, "GET", "/v1/runs")).items, []);
});

clusterTest("a staging's token is good for one machine, and only while its run is open", async (rig) => {
  const { token, run, ends } = await begin(rig);
  await joins(rig, token);
  const key = rig.newKey();
  assert.equal((await rig.enrol("node", key, { ...nodeFacts("other", key), token })).status, 401);
  await ends("cancelled");
  assert.equal(await rig.read((tx) => joinTokens.get(tx, run.staging?.token ?? "")), null);
});

clusterTest("a node's agent stages: the token comes in the answer to its first word only", async (rig) => {
  const helper = await rig.node("helper");
  const { run, token } = await begin(rig, { via: helper.fp });
  assert.deepEqual([run.state, token], ["waiting", ""]);
  const [told] = await helper.fetch();
  assert.ok(told?.kind === "directive.state.run");
  assert.deepEqual([told.body.host, told.body.params, told.epoch], [HOST, { zone: "z" }, 1]);
  assert.ok(!JSON.stringify(told).includes("sj1."), "no token in a directive");
  await helper.report(told.seq);
  const lost = await helper.tell({ what: "begin", run: run.id });
  const begun = await helper.tell({ what: "begin", run: run.id }); // its first answer was lost
  assert.ok(begun.token !== null && begun.token !== lost.token);
  const key = rig.newKey();
  assert.equal((await rig.enrol("node", key, { ...nodeFacts(HOST, key), token: lost.token })).status, 401);
  const { fp } = await joins(rig, begun.token);
  const progress = { ...run.progress, done: 1, total: 2, step: "node-stop/0" };
  assert.deepEqual(await helper.tell({ what: "progress", run: run.id, progress }), {
    ok: true,
    stop: false,
    token: null,
  });
  await helper.tell({ what: "end", run: run.id, end: end("done") });
  assert.deepEqual([(await runAt(rig, run.id)).state, (await nodeAt(rig, fp)).state], ["done", "staged"]);
});

clusterTest(
  "a machine that comes up as another node than it was leaves none in staging behind",
  async (rig) => {
    const first = await begin(rig);
    const { fp: before } = await joins(rig, first.token);
    await first.ends("failed", "no room");
    const second = await begin(rig);
    assert.equal((await nodeAt(rig, before)).state, "staging");
    const { fp } = await joins(rig, second.token); // set up anew: another key, another machine-id
    assert.deepEqual([(await nodeAt(rig, before)).state, (await nodeAt(rig, fp)).state], [
      "failed",
      "staging",
    ]);
    await second.ends("done");
    assert.equal((await nodeAt(rig, fp)).state, "staged");
  },
);

clusterTest("a tool that goes on and on is not waited for beyond the run's deadline", async (rig) => {
  const { run } = await begin(rig, { forMs: RUN_GRACE_MS });
  for (let minutes = 0; minutes < 2 * RUN_GRACE_MS / 60_000; minutes++) {
    await rig.must("POST", `/v1/runs/${run.id}/progress`, run.progress);
    rig.later(60_000);
  }
  await rig.tick("runs");
  const { state, reason } = await runAt(rig, run.id);
  assert.deepEqual([state, reason], ["interrupted", "the tool that did it did not end it by its deadline"]);
});
