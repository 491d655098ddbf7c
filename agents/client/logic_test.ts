import assert from "node:assert/strict";
import { type ErrorCode, isSalarError } from "../../lib/errors.ts";
import { CLIENT_BACKOFF } from "../../lib/limits.ts";
import { identityFromSeed } from "../../lib/secure/keys.ts";
import { signStatement } from "../../lib/secure/statement.ts";
import { mintJoinToken, TOKEN_RANDOM_BYTES } from "../../lib/secure/token.ts";
import { runClientAgent } from "./logic.ts";
import { dropInText } from "./minion.ts";
import { AgentState } from "./state.ts";
import { type CrashPoint, Fuse, LAYOUT, Machine, PEM_A, PEM_B } from "./testing.ts";
import type { Ordered } from "./testing_director.ts";

const TO_B: Ordered = { seq: 1, epoch: 1, master: "b", masterKey: PEM_B };

/** Starts an agent; `end()` stops it politely and waits. */
function start(machine: Machine, fuse: Fuse = new Fuse()) {
  const controller = new AbortController();
  const ended = runClientAgent(
    machine.clock.scope({ signal: controller.signal, fuse }),
    machine.incarnate(fuse),
  );
  const result = ended.then(() => null, (error: unknown) => error);
  return {
    result,
    async end() {
      controller.abort();
      assert.ok(isSalarError(await result, "cancelled"), `ended by ${await result}`);
    },
  };
}

function stateOf(machine: Machine): AgentState | null {
  const text = machine.text("/state/state.json");
  return text === null ? null : AgentState.parse(JSON.parse(text));
}

async function enrolledMachine(): Promise<Machine> {
  const machine = new Machine();
  const agent = start(machine);
  await machine.clock.runUntil("enrolment", () => stateOf(machine) !== null);
  await agent.end();
  return machine;
}

Deno.test("runClientAgent() enrols once and pins the cluster's key", async () => {
  const machine = await enrolledMachine();
  const again = start(machine);
  await machine.clock.runUntil("a heartbeat", () => machine.director.beats.length > 0);
  await again.end();
  assert.equal(machine.director.enrolments, 1);
  assert.equal(stateOf(machine)?.clusterKey, machine.director.clusterKey.spki.toBase64());
});

Deno.test("runClientAgent() waits for a director that is down, and gives up on a token that is refused", async () => {
  const machine = new Machine();
  machine.director.down = true;
  const agent = start(machine);
  await machine.clock.runUntil("some tries", () => machine.director.calls.length > 5);
  machine.director.down = false;
  machine.director.refuse = (path) => path === "/v1/enrol/system" ? "unauthenticated" : null;
  await machine.clock.runUntil(
    "the refused token",
    () => machine.director.calls.at(-1) === "/v1/enrol/system",
  );
  assert.ok(isSalarError(await agent.result, "unauthenticated"));
});

Deno.test("runClientAgent() does not enrol with a cluster that did not make its join token", async () => {
  const machine = new Machine();
  const stranger = mintJoinToken(new Uint8Array(TOKEN_RANDOM_BYTES), "0".repeat(64)).token.reveal();
  const controller = new AbortController();
  const deps = { ...machine.incarnate(), joinToken: () => Promise.resolve(stranger) };
  machine.director.joinToken = stranger; // whoever answers takes any token
  const run = runClientAgent(machine.clock.scope({ signal: controller.signal }), deps).catch(() => {});
  await machine.clock.runUntil("three tries", () => machine.director.enrolments >= 3);
  controller.abort();
  await run;
  assert.equal(stateOf(machine), null);
});

Deno.test("runClientAgent() refuses to run with another key than it enrolled with", async () => {
  const machine = await enrolledMachine();
  const deps = machine.incarnate();
  const other = { ...deps, trust: { ...deps.trust, fp: "0".repeat(64) } };
  const refused = (error: unknown) => isSalarError(error, "bad-config");
  await assert.rejects(runClientAgent(machine.clock.scope(), other), refused);
});

Deno.test("runClientAgent() follows a directive and reports it", async () => {
  const machine = await enrolledMachine();
  machine.director.orders.push(TO_B);
  const agent = start(machine);
  await machine.clock.runUntil("the report", () => machine.director.reports.length === 1);
  await agent.end();
  assert.deepEqual(machine.director.reports, [{
    seq: 1,
    epoch: 1,
    plan: "p1",
    outcome: "there",
    reason: "",
  }]);
  assert.equal(machine.minion.running.master, "b");
});

Deno.test("runClientAgent() reports `back` when the new master does not answer", async () => {
  const machine = await enrolledMachine();
  machine.masters["b"] = { key: PEM_B, up: false };
  machine.director.orders.push(TO_B);
  const agent = start(machine);
  await machine.clock.runUntil("the report", () => machine.director.reports.length === 1);
  await agent.end();
  assert.equal(machine.director.reports[0]?.outcome, "back");
  assert.equal(machine.director.reports[0]?.reason, "b does not answer");
  assert.equal(machine.minion.running.master, "a");
});

Deno.test("runClientAgent() refuses a late directive and a directive for another system, and reports both `back`", async () => {
  const machine = await enrolledMachine();
  const { orders, reports } = machine.director;
  orders.push(
    { ...TO_B, epoch: 5 },
    { seq: 2, epoch: 5, master: "a", masterKey: PEM_A },
    { seq: 4, epoch: 6, master: "a", masterKey: PEM_A, system: 2 },
  );
  const agent = start(machine);
  await machine.clock.runUntil("the reports", () => reports.length === 3);
  await agent.end();
  assert.deepEqual(reports.map(({ outcome, reason }) => [outcome, reason]), [
    ["there", ""],
    ["back", "late directive"],
    ["back", "directive for system 2"],
  ]);
  assert.equal(machine.minion.running.master, "b");
  assert.equal(stateOf(machine)?.lastSeq, 4);
});

Deno.test("runClientAgent() acts on a number once, also when it is delivered again after a restart", async () => {
  const machine = await enrolledMachine();
  machine.director.orders.push(TO_B);
  machine.director.repeats = true;
  for (const _life of [1, 2]) {
    const agent = start(machine);
    const before = machine.director.calls.length;
    await machine.clock.runUntil("three rounds", () => {
      const polls = machine.director.calls.slice(before).filter((path) => path === "/v1/directives");
      return polls.length >= 3 && machine.director.reports.length > 0;
    });
    await agent.end();
  }
  assert.equal(machine.director.reports.length, 1);
  assert.equal(machine.minion.restarts, 1);
  assert.ok(machine.clock.ms >= 2_000, "a director that repeats itself is not asked in a tight loop");
});

Deno.test("runClientAgent() does nothing on a statement that it must not believe", async () => {
  const stranger = identityFromSeed(new Uint8Array(32).fill(66));
  const machine = await enrolledMachine();
  const claims = { kind: "directive.move", cluster: "c-test", to: machine.agent.fp, seq: 1, epoch: 1 };
  const iat = Math.floor(machine.clock.epochMs / 1000);
  const body = { plan: "p", system: 1, node: stranger.fp, master: "b", masterKey: PEM_B };
  const valid = { ...claims, iat, exp: iat + 10 ** 6, body };
  const { clusterKey } = machine.director;
  const forgeries = {
    "by a stranger": signStatement(valid, stranger),
    "for another agent": signStatement({ ...valid, to: stranger.fp }, clusterKey),
    "of another cluster": signStatement({ ...valid, cluster: "c-other" }, clusterKey),
    "of another kind": signStatement({ ...valid, kind: "directive.retire" }, clusterKey),
    "expired": signStatement({ ...valid, iat: 1, exp: 2 }, clusterKey),
    "with an option as its master": signStatement(
      { ...valid, body: { ...body, master: "--config" } },
      clusterKey,
    ),
    "cut short": signStatement(valid, clusterKey).slice(0, -1),
  };
  machine.director.orders.push(TO_B);
  for (const [what, forged] of Object.entries(forgeries)) {
    machine.director.forge = () => forged;
    const agent = start(machine);
    const before = machine.director.calls.length;
    await machine.clock.runUntil(`three rounds ${what}`, () => machine.director.calls.length >= before + 3);
    await agent.end();
    assert.equal(machine.minion.restarts, 0, `a directive ${what}`);
    assert.equal(stateOf(machine)?.lastSeq, 0);
  }
  machine.director.forge = null;
  const agent = start(machine);
  await machine.clock.runUntil("the true one", () => machine.director.reports.length === 1);
  await agent.end();
});

Deno.test("runClientAgent() keeps a report until the director takes it, over restarts", async () => {
  const machine = await enrolledMachine();
  machine.director.orders.push(TO_B);
  machine.director.refuse = (path) => path === "/v1/reports" ? "unavailable" : null;
  const agent = start(machine);
  await machine.clock.runUntil("an unsent report", () => stateOf(machine)?.reports.length === 1);
  await agent.end();
  machine.director.refuse = () => null;
  const again = start(machine);
  await machine.clock.runUntil("the report", () => stateOf(machine)?.reports.length === 0);
  await again.end();
  assert.equal(machine.director.reports.length, 1);
});

Deno.test("runClientAgent() forgets a report that is refused for good, and keeps one that may be taken later", async () => {
  const forgotten: ErrorCode[] = ["bad-input", "not-found", "conflict", "too-large"];
  const kept: ErrorCode[] = [
    "unauthenticated",
    "forbidden",
    "rate-limited",
    "unavailable",
    "deadline",
    "closed",
  ];
  for (const code of [...forgotten, ...kept]) {
    const machine = await enrolledMachine();
    machine.director.orders.push(TO_B);
    machine.director.refuse = (path) => path === "/v1/reports" ? code : null;
    const agent = start(machine);
    const answered = () => machine.director.calls.includes("/v1/reports") && stateOf(machine)?.lastSeq === 1;
    await machine.clock.runUntil("the answer", answered);
    await machine.clock.runUntil("the next poll", () => machine.director.calls.at(-1) === "/v1/directives");
    await agent.end();
    assert.equal(stateOf(machine)?.reports.length, kept.includes(code) ? 1 : 0, `after ${code}`);
  }
});

Deno.test("runClientAgent() leaves everything as it is while the director is gone, and never storms back", async () => {
  const machine = await enrolledMachine();
  const files = new Map(machine.files);
  machine.director.down = true;
  const agent = start(machine);
  const hours = 6;
  const endMs = machine.clock.ms + hours * 3_600_000;
  machine.director.calls.length = 0;
  await machine.clock.runUntil("six hours", () => machine.clock.ms >= endMs, (hours + 1) * 3_600_000);
  await agent.end();
  const polls = machine.director.calls.filter((path) => path === "/v1/directives").length;
  const fewest = hours * 3_600_000 / CLIENT_BACKOFF.capMs;
  assert.ok(polls > fewest && polls < 4 * fewest, `${polls} polls`);
  assert.deepEqual(machine.files, files);
  assert.equal(machine.minion.restarts, 0);
});

Deno.test("runClientAgent() asks an idle director that answers at once no more than once a second", async () => {
  const machine = await enrolledMachine();
  const deps = machine.incarnate();
  let polls = 0;
  const hasty = {
    ...deps.net,
    request: async (_scope: unknown, request: Request) => {
      if (request.url.includes("/v1/directives")) polls++;
      return await Promise.resolve(Response.json({ directives: [], last: 0 }));
    },
  };
  const controller = new AbortController();
  const scope = machine.clock.scope({ signal: controller.signal });
  const run = runClientAgent(scope, { ...deps, net: hasty }).catch(() => {});
  const endMs = machine.clock.ms + 60_000;
  await machine.clock.runUntil("a minute", () => machine.clock.ms >= endMs);
  controller.abort();
  await run;
  assert.ok(polls > 30 && polls <= 62, `${polls} polls`);
});

Deno.test("runClientAgent() reports the round trip to its master, and null when nobody answers", async () => {
  const machine = await enrolledMachine();
  const { beats } = machine.director;
  const agent = start(machine);
  await machine.clock.runUntil("heartbeats", () => beats.length >= 3);
  assert.deepEqual(beats.at(-1), { rttMs: 7, master: "a", epoch: 0 });
  machine.files.set(LAYOUT.dropIn, new TextEncoder().encode(dropInText("gone")));
  await machine.clock.runUntil("the next one", () => beats.at(-1)?.master === "gone");
  await agent.end();
  assert.deepEqual(beats.at(-1), { rttMs: null, master: "gone", epoch: 0 });
});

Deno.test("runClientAgent() killed at any point ends the move, and its report says how", async () => {
  for (const answers of [true, false]) {
    let call = 0;
    for (let died = true; died; call++) {
      for (const when of ["before", "torn", "after"] as const) {
        died = await killedOnce({ call, when }, answers);
      }
    }
    assert.ok(call > 20, `only ${call} points were reached`);
  }
});

async function killedOnce(point: CrashPoint, answers: boolean): Promise<boolean> {
  const machine = await enrolledMachine();
  const { director } = machine;
  machine.masters["b"] = { key: PEM_B, up: answers };
  director.orders.push(TO_B);
  const fuse = new Fuse(point);
  start(machine, fuse);
  const isDone = () => stateOf(machine)?.lastSeq === 1 && stateOf(machine)?.reports.length === 0;
  await machine.clock.runUntil("death or the end", () => fuse.dead || isDone());
  if (fuse.dead) {
    const second = start(machine);
    await machine.clock.runUntil("the end", isDone);
    await second.end();
  } else fuse.dead = true; // the first life ends here, too
  // The answer to a report may be lost, so it may come twice; never does it say two things.
  assert.deepEqual(
    new Set(director.reports.map(({ outcome }) => outcome)),
    new Set([answers ? "there" : "back"]),
  );
  assert.equal(machine.minion.running.master, answers ? "b" : "a");
  assert.equal(machine.text(LAYOUT.masterKey), answers ? PEM_B : PEM_A);
  return fuse.calls > point.call;
}
