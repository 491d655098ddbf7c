/** What agents ask for and say: long polls, numbered directives, signs of life. */
import assert from "node:assert/strict";
import { LONG_POLL_MS, OUTBOX_FETCH_MAX } from "../../lib/limits.ts";
import { change } from "../../lib/cluster/change.ts";
import { post } from "../../lib/cluster/outbox.ts";
import { outboxHeads } from "../../lib/cluster/records.ts";
import { clusterTest, FarSide, refusal, systemsOn } from "./director_support.ts";
import { problemIn } from "../../lib/cluster/testing.ts";
import { Directives } from "../../lib/cluster/protocol.ts";
import { Events, SystemView } from "./director_replies.ts";

clusterTest("a long poll is woken by a directive, and ends empty without one", async (rig) => {
  const [a, b] = [await rig.node("a"), await rig.node("b")];
  const [system] = await systemsOn(rig, a, 1);
  assert.ok(system);
  const empty = await system.ask("GET", "/v1/directives?after=0&waitMs=1");
  assert.deepEqual([empty.status, empty.body], [200, { directives: [], last: 0 }]);

  const startMs = rig.context.scope.monoMs();
  const poll = system.ask("GET", `/v1/directives?after=0&waitMs=${LONG_POLL_MS}`);
  await rig.must("POST", `/v1/systems/${system.id}/move`, { to: b.fp });
  await rig.tick("advance");
  await new FarSide([b], []).nodesObey();
  const { body } = await poll;
  assert.equal(Directives.parse(body).directives.length, 1);
  assert.ok(rig.context.scope.monoMs() - startMs < LONG_POLL_MS, "the hint came before the wait was over");
});

clusterTest(
  "polls out of bounds are refused, and one for what is done already finds nothing",
  async (rig) => {
    const [system] = await systemsOn(rig, await rig.node("a"), 1);
    assert.ok(system);
    for (const query of ["", "?after=-1", "?after=x", `?after=0&waitMs=${LONG_POLL_MS + 1}`, "?after=1.5"]) {
      assert.deepEqual(refusal(await system.ask("GET", `/v1/directives${query}`)), [400, "bad-input"], query);
    }
    const far = await system.ask("GET", `/v1/directives?after=${Number.MAX_SAFE_INTEGER}`);
    assert.deepEqual([far.status, Directives.parse(far.body).directives], [200, []]);
  },
);

clusterTest(
  "directives come in order of their numbers, page by page, until each is reported",
  async (rig) => {
    const node = await rig.node("a");
    const count = OUTBOX_FETCH_MAX + 30;
    await change(rig.context, { who: "function:test" }, async (c) => {
      for (let at = 1; at <= count; at++) {
        await post(c, node.fp, { kind: "directive.retire", body: { minionIds: [`m${at}.example`] } });
      }
    });
    const first = await node.fetch();
    assert.equal(first.length, OUTBOX_FETCH_MAX);
    const rest = await node.fetch(first.at(-1)?.seq);
    const all = [...first, ...rest].map(({ seq }) => seq);
    assert.deepEqual(all, Array.from({ length: count }, (_, at) => at + 1));
    assert.deepEqual((await node.fetch()).length, OUTBOX_FETCH_MAX, "asked again, told again");
    for (const seq of all) await node.report(seq);
    assert.deepEqual(await node.fetch(), []);
    const head = await rig.read((tx) => outboxHeads.get(tx, node.fp));
    assert.deepEqual([head?.last, head?.sent], [count, count]);
  },
);

clusterTest("what a node refuses for good is on record", async (rig) => {
  const node = await rig.node("a");
  await change(rig.context, { who: "function:test" }, async (c) => {
    await post(c, node.fp, { kind: "directive.retire", body: { minionIds: ["m.example"] } });
  });
  await node.report(1, "refused", "no such profile");
  const [event] = (await rig.ask(Events, "GET", `/v1/events?target=node:${node.fp}`)).items;
  assert.deepEqual([event?.what, event?.why], ["directive.retire.refused", "no such profile"]);
});

clusterTest("a system's sign of life is shown with it", async (rig) => {
  const [system] = await systemsOn(rig, await rig.node("a"), 1);
  assert.ok(system);
  const beat = { rttMs: 1.5, master: "a.example", epoch: 0 };
  assert.equal((await system.ask("POST", "/v1/beat", beat)).status, 200);
  const shown = await rig.ask(SystemView, "GET", `/v1/systems/${system.id}`);
  assert.deepEqual(shown.beat, { v: 1, atMs: shown.beat?.atMs, ...beat });
  assert.equal(shown.move, null);
  const wrong = await system.ask("POST", "/v1/beat", { ...beat, rttMs: -1 });
  assert.deepEqual([wrong.status, problemIn(wrong).problems?.[0]?.field], [400, "body.rttMs"]);
});

clusterTest("an agent that nobody enrolled is nobody", async (rig) => {
  const key = rig.newKey();
  const stranger = rig.systemOf({ id: 1, machineId: "0".repeat(32), minionId: "x" }, key);
  assert.equal((await stranger.ask("GET", "/v1/directives?after=0")).status, 401);
  await assert.rejects(rig.nodeOf("x", key).fetch(), /fetch|unknown|Cannot/);
});

clusterTest("a system's agent may not ask in a node's place, nor a person in an agent's", async (rig) => {
  const node = await rig.node("a");
  const [system] = await systemsOn(rig, node, 1);
  assert.ok(system);
  assert.equal((await system.ask("GET", "/v1/zones")).status, 403);
  assert.equal((await rig.call("GET", "/v1/directives?after=0")).status, 403);
  const other = await rig.node("b");
  await change(rig.context, { who: "function:test" }, async (c) => {
    await post(c, other.fp, { kind: "directive.retire", body: { minionIds: ["m.example"] } });
  });
  assert.deepEqual(await node.fetch(), [], "each is told its own only");
});
