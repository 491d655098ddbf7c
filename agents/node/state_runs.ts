/**
 * Runs of nanostates that the cluster orders: begun once, told of while they last, their end told until it is heard.
 *
 * R1. A run is written down before it begins, so no crash and no repeated directive begins it twice. One that was open
 *     when the agent ended has an unknown outcome: that is told, and it is not run again.
 * R2. Older than the last one (by epoch), late, one of an unknown state, or a second one on the same machine: refused,
 *     with the reason. The directive is reported when the run has begun, so that it holds up nothing else.
 * R3. Every RUN_PROGRESS_MS the cluster hears of a run, and may answer that it shall stop.
 * R4. A run ends by its deadline, by a cancel, or with the agent; none leaves a process behind (`StateRunner`).
 */
import { backoffMs } from "../../lib/backoff.ts";
import type { Bus } from "../../lib/bus/bus.ts";
import { subjects } from "../../lib/bus/subjects.ts";
import { type DirectiveStateRun, type NodeRun, RunAnswer, type RunEnd } from "../../lib/cluster/protocol.ts";
import { NO_COUNTS } from "../../lib/cluster/running.ts";
import type { RunProgress } from "../../lib/cluster/types.ts";
import { isSalarError, messageOf } from "../../lib/errors.ts";
import { NODE_BACKOFF, NODE_FETCH_MS, RUN_PROGRESS_MS, RUNS_AT_ONCE_MAX } from "../../lib/limits.ts";
import type { Log } from "../../lib/log.ts";
import type { Disk, OpenScope, Scope } from "../../lib/seams.ts";
import { ask, isHopeless } from "./asking.ts";
import { bell } from "./bell.ts";
import type { Outcome } from "./node_api.ts";
import { openRunJournal } from "./run_journal.ts";
import type { StateRunner } from "./state_runner.ts";
import type { NodeTrust, PinnedCluster } from "./trust.ts";

export interface StateRunsOptions {
  bus: Bus;
  disk: Disk;
  /** Of the agent's state. */
  folder: string;
  trust: NodeTrust;
  cluster: PinnedCluster;
  runner: StateRunner;
  log: Log;
}

export interface StateRuns {
  /** Begins a run and returns; it goes on by itself. A repeat of one that was begun is done. */
  begin(order: DirectiveStateRun, epoch: number): Promise<Outcome>;
  /** Stops it; one that is over, or was never begun, is done. */
  cancel(run: string): Outcome;
}

interface Running {
  machine: string;
  life: OpenScope;
}

const REASON_CHARS_MAX = 1_000;
const NOTHING_YET: RunProgress = { done: 0, total: 0, counts: NO_COUNTS, step: "" };

/** @param life of the agent: with it, all runs end. @throws {SalarError} `bad-record` */
export async function stateRuns(life: Scope, options: StateRunsOptions): Promise<StateRuns> {
  const { disk, folder, trust, runner, log } = options;
  const journal = await openRunJournal(disk, folder);
  const running = new Map<string, Running>();
  const ends = bell();
  for (const run of journal.open) { // R1
    await journal.end(run, ended("unknown", "the node's agent ended in the middle of it"));
  }
  life.spawn("ends of runs", tellEnds);

  async function tell(scope: Scope, body: NodeRun): Promise<RunAnswer> {
    return await ask(scope, options, {
      subject: subjects.nodeRun(trust.fp),
      kind: "node.run",
      body,
      answer: RunAnswer,
    });
  }

  /** As `tell`, until there is an answer that a repeat would not change. */
  async function tellSurely(scope: Scope, body: NodeRun): Promise<RunAnswer | null> {
    for (let failures = 0;;) { // bounded by the scope: the run's deadline, or the agent's life
      try {
        return await tell(scope, body);
      } catch (error) {
        if (scope.signal.aborted) throw error;
        if (isHopeless(error)) {
          log.error("the cluster does not take what is told of a run", {
            run: body.run,
            what: body.what,
            error,
          });
          return null;
        }
        log.warn("news of a run have to wait", { run: body.run, what: body.what, error });
        await scope.sleep(backoffMs(scope.random, ++failures, NODE_BACKOFF));
      }
    }
  }

  async function tellEnds(): Promise<void> {
    for (;;) { // bounded by the agent's life
      const owed = journal.firstOwed();
      if (owed === null) {
        await ends.wait(life, NODE_FETCH_MS);
        continue;
      }
      await tellSurely(life, { what: "end", ...owed });
      await journal.forget(owed.run);
    }
  }

  async function work(order: DirectiveStateRun, { life: inner }: Running): Promise<void> {
    const end = await outcomeOf(order, inner);
    if (life.signal.aborted) return; // R1: the next start tells
    running.delete(order.run);
    inner.end();
    log.info("run ended", {
      run: order.run,
      nanostate: order.nanostate,
      outcome: end.outcome,
      reason: end.reason,
    });
    await journal.end(order.run, end);
    ends.ring();
  }

  async function outcomeOf(order: DirectiveStateRun, inner: Scope): Promise<RunEnd> {
    try {
      const leftMs = Math.max(1, order.deadlineAtMs - life.nowMs());
      return await inner.timeout(leftMs, (scope) => begun(order, scope));
    } catch (error) {
      if (isSalarError(error, "deadline")) return ended("failed", "it was not over by its deadline");
      if (isSalarError(error, "cancelled")) return ended("cancelled", "cancelled");
      log.error("run crashed", { run: order.run, error });
      return ended("failed", messageOf(error));
    }
  }

  async function begun(order: DirectiveStateRun, scope: Scope): Promise<RunEnd> {
    const { run } = order;
    const answer = await tellSurely(scope, { what: "begin", run });
    if (answer === null || answer.stop) return ended("cancelled", "cancelled before it began");
    let progress = NOTHING_YET;
    const pulse = scope.open(`progress of run ${run}`);
    pulse.every(RUN_PROGRESS_MS, "progress", async () => {
      if (await isStopped(pulse, { what: "progress", run, progress })) running.get(run)?.life.end(); // R3
    });
    try {
      const onProgress = (now: RunProgress) => void (progress = now);
      return await runner.run(scope, order, { joinToken: answer.token, onProgress });
    } finally {
      pulse.end();
    }
  }

  async function isStopped(scope: Scope, body: NodeRun): Promise<boolean> {
    try {
      return (await tell(scope, body)).stop;
    } catch (error) {
      if (!scope.signal.aborted) log.warn("progress of a run is not heard", { run: body.run, error });
      return false; // the next one may be; whether it lasts too long is judged by its deadline
    }
  }

  /** R2 */
  async function refusal(order: DirectiveStateRun, epoch: number): Promise<string | null> {
    if (epoch <= journal.epoch) {
      return `it is older than the last run here (epoch ${epoch}, not above ${journal.epoch})`;
    }
    if (order.deadlineAtMs <= life.nowMs()) return "its deadline has passed";
    const other = [...running].find(([, { machine }]) => machine === machineOf(order));
    if (other !== undefined) return `run ${other[0]} is under way on the same machine`;
    if (running.size >= RUNS_AT_ONCE_MAX) return `${running.size} runs are under way here`;
    return await runner.refusal(order);
  }

  return {
    async begin(order, epoch) {
      if (journal.knows(order.run)) return { ok: true }; // R1
      const reason = await refusal(order, epoch);
      if (reason !== null) return { ok: false, reason };
      await journal.begin(order.run, epoch);
      const now = { machine: machineOf(order), life: life.open(`run ${order.run}`) };
      running.set(order.run, now);
      life.spawn(`run ${order.run}`, () => work(order, now));
      return { ok: true };
    },
    cancel(run) {
      running.get(run)?.life.end();
      return { ok: true };
    },
  };
}

function machineOf({ host }: Pick<DirectiveStateRun, "host">): string {
  return host === null ? "local" : host.slice(host.indexOf("@") + 1).toLowerCase();
}

function ended(outcome: RunEnd["outcome"], reason: string): RunEnd {
  return { outcome, reason: reason.slice(0, REASON_CHARS_MAX), progress: null, result: null };
}
