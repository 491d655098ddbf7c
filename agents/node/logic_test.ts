import assert from "node:assert/strict";
import { CHANGES } from "../../lib/bus/subjects.ts";
import type { Changes } from "../../lib/cluster/protocol.ts";
import { isSalarError, SalarError } from "../../lib/errors.ts";
import { HEARTBEAT_MS, NODE_BACKOFF, NODE_FETCH_MS } from "../../lib/limits.ts";
import { identityFromSeed } from "../../lib/secure/keys.ts";
import type { ChangeSource } from "./change_source.ts";
import { type NodeAgentDeps, runNodeAgent } from "./logic.ts";
import { accept, FOLDER, nodeKey, type Order, Rig } from "./testing.ts";

interface Running {
  rig: Rig;
  /** Ends the agent; gives what it ended with. */
  stop(): Promise<unknown>;
  /** A new incarnation on the same disk. */
  restart(): Promise<void>;
}

async function start(options: { rig?: Rig; deps?: Partial<NodeAgentDeps> } = {}): Promise<Running> {
  const rig = options.rig ?? new Rig();
  if (options.rig === undefined) {
    await rig.enrol();
    await rig.serve();
  }
  let stop: () => Promise<unknown>;
  const begin = async () => {
    const ending = new AbortController();
    const scope = rig.scope.child("agent", ending.signal);
    const ended = runNodeAgent(scope, { ...rig.deps(), ...options.deps }).then(() => null, (error) => error);
    stop = () => {
      ending.abort();
      return ended;
    };
    await rig.clock.advance(1);
  };
  await begin();
  return {
    rig,
    stop: () => stop(),
    async restart() {
      await stop();
      await begin();
    },
  };
}

const done = (...seqs: number[]) => seqs.map((seq) => ({ seq, outcome: "done", reason: "" }));

Deno.test("runNodeAgent() refuses to run unenrolled, or with another key than it enrolled with", async () => {
  const rig = new Rig();
  await assert.rejects(runNodeAgent(rig.scope, rig.deps()), (error) => isSalarError(error, "bad-config"));
  await rig.enrol();
  const deps = rig.deps();
  const other = { ...deps, trust: { ...deps.trust, fp: "0".repeat(64) } };
  await assert.rejects(runNodeAgent(rig.scope, other), (error) => isSalarError(error, "bad-config"));
});

Deno.test("runNodeAgent() beats with rising numbers, a new boot per start, and ends as cancelled", async () => {
  const { rig, restart, stop } = await start();
  await rig.clock.advance(2 * HEARTBEAT_MS);
  await restart();
  assert.deepEqual(rig.beats.map(({ n }) => n), [0, 1, 2, 0]);
  assert.equal(new Set(rig.beats.map(({ boot }) => boot)).size, 2);
  assert.deepEqual(rig.beats[0]?.versions, { agent: "test" });
  assert.ok(isSalarError(await stop(), "cancelled"));
});

Deno.test("runNodeAgent() beats on with the last facts while the node's server is down", async () => {
  const { rig, stop } = await start();
  rig.node.fault = new SalarError("unavailable", "Cannot ask: down");
  await rig.clock.advance(2 * HEARTBEAT_MS);
  await stop();
  assert.deepEqual(rig.beats.map(({ systems }) => systems), [3, 3, 3]);
});

Deno.test("runNodeAgent() says nothing of a node whose systems it never could count", async () => {
  const rig = new Rig();
  await rig.enrol();
  await rig.serve();
  rig.node.fault = new SalarError("unavailable", "Cannot ask: down");
  const { stop } = await start({ rig });
  await rig.clock.advance(HEARTBEAT_MS);
  assert.equal(rig.beats.length, 0);
  rig.node.fault = null;
  await rig.clock.advance(HEARTBEAT_MS);
  await stop();
  assert.equal(rig.beats.length, 1);
});

Deno.test("runNodeAgent() follows directives in order, reports each, and asks on from there", async () => {
  const { rig, stop } = await start();
  rig.orders.push(
    accept(1, "a"),
    { seq: 2, kind: "directive.key.forget", body: { plan: "p", system: 1, minionId: "a" } },
    { seq: 5, kind: "directive.retire", body: { minionIds: ["x", "y"] } }, // numbers may have gaps
  );
  await rig.clock.advance(NODE_FETCH_MS);
  await stop();
  assert.deepEqual(rig.node.done, ["accept a", "forget a", "retire x,y"]);
  assert.deepEqual(rig.reports, done(1, 2, 5));
  assert.equal(rig.fetches.at(-1), 5);
  assert.deepEqual(await rig.state().then(({ done, reports }) => ({ done, reports })), {
    done: 5,
    reports: [],
  });
});

Deno.test("runNodeAgent() fetches at once on a hint", async () => {
  const { rig, stop } = await start();
  rig.orders.push(accept(1, "a"));
  await rig.hint();
  await rig.clock.advance(1);
  await stop();
  assert.deepEqual(rig.node.done, ["accept a"]);
});

Deno.test("runNodeAgent() acts on a number once, whatever comes again and however often it restarts", async () => {
  const { rig, restart, stop } = await start();
  rig.orders.push(accept(1, "a"));
  await rig.clock.advance(NODE_FETCH_MS);
  rig.replaying = true;
  rig.orders.splice(0, 1, accept(1, "other")); // an old number with another body
  rig.orders.push(accept(2, "b"));
  await restart();
  await rig.clock.advance(NODE_FETCH_MS);
  await stop();
  assert.deepEqual(rig.node.done, ["accept a", "accept b"]);
});

Deno.test("runNodeAgent() keeps a report over a restart until it is acknowledged", async () => {
  const { rig, restart, stop } = await start();
  rig.orders.push(accept(1, "a"));
  rig.reportError = new SalarError("unavailable", "Cannot write: store is away");
  await rig.clock.advance(NODE_FETCH_MS);
  assert.deepEqual((await rig.state()).reports, done(1));
  const fetches = rig.fetches.length;
  rig.reportError = null;
  await restart();
  await rig.clock.advance(NODE_BACKOFF.capMs);
  await stop();
  assert.deepEqual(rig.node.done, ["accept a"]);
  assert.deepEqual(rig.reports.at(-1), done(1)[0]);
  assert.equal(rig.fetches[fetches], 1, "the first question after the report");
  assert.deepEqual((await rig.state()).reports, []);
});

Deno.test("runNodeAgent() drops a report that will never be taken, and goes on", async () => {
  const { rig, stop } = await start();
  rig.orders.push(accept(1, "a"));
  rig.reportError = new SalarError("bad-input", "Cannot accept message");
  await rig.clock.advance(NODE_FETCH_MS);
  rig.orders.push(accept(2, "b"));
  await rig.clock.advance(NODE_FETCH_MS);
  await stop();
  assert.deepEqual(rig.node.done, ["accept a", "accept b"]);
  assert.match(rig.complaints.join(), /was dropped/);
});

Deno.test("runNodeAgent() tries again what may pass, before anything that comes later", async () => {
  const { rig, stop } = await start();
  rig.node.fault = new SalarError("unavailable", "Cannot ask Uyuni: down");
  rig.orders.push(accept(1, "a"), accept(2, "b"));
  await rig.clock.advance(10 * NODE_FETCH_MS);
  assert.deepEqual(rig.reports, []);
  rig.node.fault = null;
  await rig.clock.advance(NODE_BACKOFF.capMs);
  await stop();
  assert.deepEqual(rig.node.done, ["accept a", "accept b"]);
});

Deno.test("runNodeAgent() reports as refused what the node refuses, what no retry can help and what it does not know", async () => {
  const { rig, stop } = await start();
  const outcomes = async (order: Order) => {
    rig.orders.push(order);
    await rig.clock.advance(NODE_FETCH_MS);
    const { outcome, reason } = rig.reports.at(-1) ?? {};
    return `${outcome}: ${reason}`;
  };
  rig.node.refusal = "another key";
  assert.equal(await outcomes(accept(1, "a")), "refused: another key");
  rig.node.refusal = null;
  rig.node.fault = new SalarError("forbidden", "Cannot ask Uyuni: no role");
  assert.equal(await outcomes(accept(2, "a")), "refused: Cannot ask Uyuni: no role");
  rig.node.fault = null;
  assert.match(
    await outcomes({ seq: 3, kind: "directive.retire", body: { all: true } }),
    /refused: .*update it/,
  );
  await stop();
});

Deno.test("runNodeAgent() obeys nobody but the pinned cluster, and not what is meant for client agents", async () => {
  const { rig, stop } = await start();
  rig.signer = identityFromSeed(new Uint8Array(32).fill(99));
  rig.orders.push(accept(1, "a"));
  await rig.clock.advance(3 * NODE_FETCH_MS);
  assert.deepEqual([rig.node.done, rig.reports], [[], []]);
  assert.match(rig.complaints.join(), /directives have to wait/);
  await stop();

  const second = await start();
  const body = { plan: "p", system: 1, node: nodeKey.fp, master: "m", masterKey: "k" };
  second.rig.orders.push({ seq: 1, kind: "directive.move", body });
  await second.rig.clock.advance(3 * NODE_FETCH_MS);
  await second.stop();
  assert.deepEqual(second.rig.reports, []);
});

Deno.test("runNodeAgent() comes back by itself when nobody answered for a while", async () => {
  const { rig, stop } = await start();
  rig.down = true;
  rig.orders.push(accept(1, "a"));
  await rig.clock.advance(120_000);
  rig.down = false;
  await rig.clock.advance(NODE_BACKOFF.capMs + NODE_FETCH_MS);
  await stop();
  assert.deepEqual(rig.reports, done(1));
});

Deno.test("runNodeAgent() puts changes on the bus signed, once each, and waits for a bus that does not take them", async () => {
  const rig = new Rig();
  await rig.enrol();
  await rig.serve();
  const part = (first: number): Changes => ({
    origin: "1.1.1",
    originNo: 1,
    lsn: "00000000000000AA",
    first,
    changes: [{ table: "rhnserver", op: "insert", row: { id: "1" }, oldKey: null }],
  });
  const stored: number[] = [];
  const source: ChangeSource = {
    async run(scope, emit) {
      for (const first of [0, 1, 1]) {
        await emit(scope, part(first));
        stored.push(first);
      }
      await scope.sleep(1_000_000);
    },
    lagBytes: () => Promise.resolve(7),
  };
  const { stop } = await start({ rig, deps: { source } });
  await rig.clock.advance(60_000);
  assert.deepEqual(stored, [], "there is no stream yet");

  const bus = rig.broker.connect();
  await bus.ensureStreams(rig.scope, [CHANGES]);
  await rig.clock.advance(NODE_BACKOFF.capMs);
  await stop();
  assert.deepEqual(stored, [0, 1, 1]);
  const firsts: unknown[] = [];
  for await (const { data } of bus.replay(rig.scope, CHANGES.name)) {
    firsts.push(rig.open(data, "node.changes").body["first"]);
  }
  assert.deepEqual(firsts, [0, 1], "the repeated part is stored once");
  assert.equal(rig.beats.at(-1)?.slotLagBytes, 7);
});

Deno.test("runNodeAgent() does not take a damaged state for a first start", async () => {
  const rig = new Rig();
  rig.disk.put(`${FOLDER}/node.json`, "{");
  await assert.rejects(runNodeAgent(rig.scope, rig.deps()), (error) => isSalarError(error, "bad-record"));
});
