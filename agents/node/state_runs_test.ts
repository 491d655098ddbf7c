import assert from "node:assert/strict";
import type { RunEnd } from "../../lib/cluster/protocol.ts";
import { NO_COUNTS } from "../../lib/cluster/running.ts";
import type { RunProgress } from "../../lib/cluster/types.ts";
import { SalarError } from "../../lib/errors.ts";
import { NODE_BACKOFF, NODE_FETCH_MS, RUN_PROGRESS_MS, RUNS_AT_ONCE_MAX } from "../../lib/limits.ts";
import type { Scope } from "../../lib/seams.ts";
import { runNodeAgent } from "./logic.ts";
import type { RunOrder, StateRunner } from "./state_runner.ts";
import { FOLDER, type Order, Rig } from "./testing.ts";

const RUN = "000000000-aaaaaaa";
const runId = (n: number) => `${RUN}${n}`;
const DONE: RunEnd = {
  outcome: "done",
  reason: "",
  progress: null,
  result: { Id: "motd" },
};
const FOR_MS = 600_000;

/** A runner whose runs end when the test says so, or by their scope. */
class FakeRunner implements StateRunner {
  readonly begun: (RunOrder & { joinToken: string | null })[] = [];
  readonly ends: ((end: RunEnd) => void)[] = [];
  stopped = 0;
  reason: string | null = null;
  onProgress: (progress: RunProgress) => void = () => {};

  refusal(): Promise<string | null> {
    return Promise.resolve(this.reason);
  }

  run(
    scope: Scope,
    order: RunOrder,
    { joinToken, onProgress }: Parameters<StateRunner["run"]>[2],
  ): Promise<RunEnd> {
    const { nanostate, check, host, params } = order;
    this.begun.push({ nanostate, check, host, params, joinToken });
    this.onProgress = onProgress;
    return new Promise((resolve) => {
      this.ends.push(resolve);
      scope.signal.addEventListener("abort", () => {
        this.stopped++;
        resolve({ ...DONE, outcome: "cancelled", reason: "ended from here", result: null });
      });
    });
  }
}

function order(
  n: number,
  more: { seq?: number; epoch?: number; host?: string | null; deadlineAtMs?: number } = {},
): Order {
  const { seq = n, epoch = n, host = null, deadlineAtMs = Number.MAX_SAFE_INTEGER } = more;
  const body = { run: runId(n), nanostate: "motd", check: false, host, params: { a: "b" }, deadlineAtMs };
  return { seq, kind: "directive.state.run", epoch, body };
}

const cancelled = (n: number, seq: number): Order => ({
  seq,
  kind: "directive.state.cancel",
  body: { run: runId(n) },
});

interface Agent {
  rig: Rig;
  runner: FakeRunner;
  /** Lets the agent find the orders, and do what it can. */
  go(...orders: Order[]): Promise<void>;
  restart(): Promise<void>;
  /** `begin 1`, `end 1 done`, in order; signs of life left out. */
  told(): string[];
}

async function withAgent(test: (agent: Agent) => Promise<void>): Promise<void> {
  const rig = new Rig();
  await rig.enrol();
  await rig.serve();
  const runner = new FakeRunner();
  let stop: () => Promise<unknown> = () => Promise.resolve();
  const begin = async () => {
    const ending = new AbortController();
    const ended = runNodeAgent(rig.scope.child("agent", ending.signal), { ...rig.deps(), runner }).catch((
      error,
    ) => error);
    stop = () => {
      ending.abort();
      return ended;
    };
    await rig.clock.advance(1);
  };
  await begin();
  await test({
    rig,
    runner,
    async go(...orders) {
      rig.orders.push(...orders);
      await rig.hint();
      await rig.clock.advance(10);
    },
    async restart() {
      await stop();
      await begin();
    },
    told: () =>
      rig.told.filter(({ what }) => what !== "progress").map((told) =>
        [told.what, told.run.at(-1), ...(told.what === "end" ? [told.end.outcome] : [])].join(" ")
      ),
  });
  await stop();
}

Deno.test("a run is begun, its directive reported at once, its progress and its end told", async () => {
  await withAgent(async ({ rig, runner, go, told }) => {
    await go(order(1));
    assert.deepEqual(runner.begun, [
      { nanostate: "motd", check: false, host: null, params: { a: "b" }, joinToken: null },
    ]);
    assert.deepEqual(rig.reports, [{ seq: 1, outcome: "done", reason: "" }]);
    const progress = { done: 1, total: 2, counts: NO_COUNTS, step: "motd/1" };
    runner.onProgress(progress);
    await rig.clock.advance(2 * RUN_PROGRESS_MS);
    const signs = rig.told.flatMap((told) => told.what === "progress" ? [told.progress.done] : []);
    assert.deepEqual(signs, [0, 1, 1], "at once, then by its interval");
    runner.ends[0]?.(DONE);
    await rig.clock.advance(10);
    assert.deepEqual(told(), ["begin 1", "end 1 done"]);
    assert.deepEqual(rig.told.at(-1), { what: "end", run: runId(1), end: DONE });
    const before = rig.told.length;
    await rig.clock.advance(10 * RUN_PROGRESS_MS);
    assert.equal(rig.told.length, before, "then nothing more is told");
  });
});

Deno.test("other directives go on while a run lasts", async () => {
  await withAgent(async ({ rig, go }) => {
    await go(order(1), { seq: 2, kind: "directive.retire", body: { minionIds: ["x"] } });
    assert.deepEqual(rig.node.done, ["retire x"]);
  });
});

Deno.test("a repeated directive begins nothing twice, not after the run's end or a restart either", async () => {
  await withAgent(async ({ rig, runner, go, restart, told }) => {
    await go(order(1));
    await go(order(1, { seq: 2 }));
    runner.ends[0]?.(DONE);
    await rig.clock.advance(NODE_FETCH_MS);
    await restart();
    await go(order(1, { seq: 3 }));
    assert.equal(runner.begun.length, 1);
    assert.deepEqual(rig.reports.map(({ outcome }) => outcome), ["done", "done", "done"]);
    assert.deepEqual(told(), ["begin 1", "end 1 done"]);
  });
});

Deno.test("an older epoch is refused, whatever its number", async () => {
  await withAgent(async ({ rig, runner, go }) => {
    await go(order(5));
    runner.ends[0]?.(DONE);
    await go(order(4, { seq: 6 }), order(6, { seq: 7, epoch: 5 }));
    assert.equal(runner.begun.length, 1);
    assert.match(rig.reports[1]?.reason ?? "", /older than the last run here \(epoch 4, not above 5\)/);
    assert.equal(rig.reports[2]?.outcome, "refused");
  });
});

Deno.test("refused with the reason: late, unknown, busy, too many", async () => {
  await withAgent(async ({ rig, runner, go }) => {
    const reason = async (...orders: Order[]) => {
      await go(...orders);
      return rig.reports.at(-1)?.reason;
    };
    assert.equal(await reason(order(1, { deadlineAtMs: 1 })), "its deadline has passed");
    runner.reason = 'it has no state "motd"';
    assert.equal(await reason(order(2)), 'it has no state "motd"');
    runner.reason = null;
    await go(order(3, { host: "h0" }));
    assert.equal(
      await reason(order(4, { host: "root@H0" })),
      `run ${runId(3)} is under way on the same machine`,
    );
    for (let n = 1; n < RUNS_AT_ONCE_MAX; n++) await go(order(4 + n, { host: `h${n}` }));
    assert.equal(await reason(order(9, { host: "another" })), `${RUNS_AT_ONCE_MAX} runs are under way here`);
    assert.equal(runner.begun.length, RUNS_AT_ONCE_MAX);
  });
});

Deno.test("an agent that runs no nanostates says so", async () => {
  const rig = new Rig();
  await rig.enrol();
  await rig.serve();
  rig.orders.push(order(1), cancelled(1, 2));
  const ending = new AbortController();
  const ended = runNodeAgent(rig.scope.child("agent", ending.signal), rig.deps()).catch(() => {});
  await rig.clock.advance(NODE_FETCH_MS);
  ending.abort();
  await ended;
  assert.deepEqual(rig.reports.map(({ reason }) => reason), Array(2).fill("this agent runs no nanostates"));
});

Deno.test("a cancel ends the run; the cluster's answer to a sign of life does, too", async () => {
  await withAgent(async ({ rig, runner, go, told }) => {
    await go(order(1));
    await go(cancelled(1, 2));
    assert.deepEqual([runner.stopped, told()], [1, ["begin 1", "end 1 cancelled"]]);
    await go(cancelled(1, 3));
    assert.deepEqual(
      rig.reports.map(({ outcome }) => outcome),
      ["done", "done", "done"],
      "over: nothing to do",
    );
    await go(order(4));
    rig.stopping.add(runId(4));
    await rig.clock.advance(RUN_PROGRESS_MS + 10);
    assert.deepEqual([runner.stopped, told().at(-1)], [2, "end 4 cancelled"]);
  });
});

Deno.test("a run that was cancelled before it began is not begun", async () => {
  await withAgent(async ({ rig, runner, go, told }) => {
    rig.stopping.add(runId(1));
    await go(order(1));
    assert.deepEqual([runner.begun, told()], [[], ["begin 1", "end 1 cancelled"]]);
  });
});

Deno.test("a run ends by its deadline", async () => {
  await withAgent(async ({ rig, runner, go, told }) => {
    await go(order(1, { deadlineAtMs: rig.clock.nowMs() + FOR_MS }));
    await rig.clock.advance(FOR_MS + 10);
    assert.deepEqual([runner.stopped, told()], [1, ["begin 1", "end 1 failed"]]);
    const last = rig.told.at(-1);
    assert.ok(last?.what === "end" && last.end.reason === "it was not over by its deadline");
  });
});

Deno.test("an agent that is started anew in the middle tells that the outcome is unknown, and runs nothing again", async () => {
  await withAgent(async ({ rig, runner, go, restart, told }) => {
    await go(order(1));
    await restart();
    await rig.clock.advance(NODE_FETCH_MS);
    assert.deepEqual([runner.begun.length, runner.stopped], [1, 1], "its process is gone with the agent");
    assert.deepEqual(told(), ["begin 1", "end 1 unknown"]);
    await restart();
    await rig.clock.advance(NODE_FETCH_MS);
    assert.deepEqual(told(), ["begin 1", "end 1 unknown"], "told once");
  });
});

Deno.test("an end that nobody hears is told again until somebody does, over a restart, too", async () => {
  await withAgent(async ({ rig, runner, go, restart, told }) => {
    await go(order(1));
    rig.down = true;
    runner.ends[0]?.(DONE);
    await rig.clock.advance(2 * NODE_BACKOFF.capMs);
    await restart();
    await rig.clock.advance(NODE_BACKOFF.capMs);
    assert.deepEqual(told(), ["begin 1"]);
    rig.down = false;
    await rig.clock.advance(2 * NODE_BACKOFF.capMs);
    assert.deepEqual(told(), ["begin 1", "end 1 done"]);
  });
});

Deno.test("what the cluster will never take is dropped, and holds up nothing", async () => {
  await withAgent(async ({ rig, runner, go, told }) => {
    rig.runError = new SalarError("not-found", "Cannot find run: there is none");
    await go(order(1));
    assert.deepEqual(runner.begun, [], "a run that the cluster does not know is not begun");
    rig.runError = null;
    await go(order(2));
    runner.ends[0]?.(DONE);
    await rig.clock.advance(NODE_FETCH_MS);
    assert.deepEqual(told(), ["begin 1", "end 1 cancelled", "begin 2", "end 2 done"]);
    assert.ok(rig.complaints.some((line) => line.includes("does not take")));
  });
});

Deno.test("a staging gets the join token of the answer, and it is on no disk and in no log", async () => {
  await withAgent(async ({ rig, runner, go }) => {
    rig.joinToken = "sj1.AAAA.very-secret.pin";
    await go(order(1, { host: "h" }));
    assert.equal(runner.begun[0]?.joinToken, rig.joinToken);
    const kept = [...rig.disk.files.keys()].map((path) => rig.disk.text(path)).join() + rig.complaints.join();
    assert.ok(!kept.includes("very-secret"));
  });
});

Deno.test("a damaged journal stops the agent: to forget it could run a stale order", async () => {
  const rig = new Rig();
  await rig.enrol();
  rig.disk.put(`${FOLDER}/runs.json`, "{");
  await assert.rejects(
    runNodeAgent(rig.scope, { ...rig.deps(), runner: new FakeRunner() }),
    /Cannot read runs: \/state\/runs\.json is damaged/,
  );
});
