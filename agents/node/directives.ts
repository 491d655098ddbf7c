/**
 * Following directives: report what was done, ask for what comes next, do it.
 *
 * D1. A directive is acted on in the order of numbers, and its number is written down after the effect: a crash between
 *     the two repeats an effect that is made for it.
 * D2. Reports go before the next question, since asking from number n on tells the outbox to forget what is before.
 * D3. Number done and report owed are one write: after it, the report is sent until somebody acknowledges it.
 * D4. What no retry can help is reported as refused; every other fault ends the round, and the next one asks again.
 * D5. A report that the cluster will never take is dropped: it must not hold up what comes after it.
 */
import { z } from "zod";
import type { Bus } from "../../lib/bus/bus.ts";
import { subjects } from "../../lib/bus/subjects.ts";
import { Directives, type NodeReport } from "../../lib/cluster/protocol.ts";
import { isSalarError } from "../../lib/errors.ts";
import type { Log } from "../../lib/log.ts";
import type { Disk, Probe, Scope } from "../../lib/seams.ts";
import { ask as askCluster, isHopeless, type Question } from "./asking.ts";
import type { NodeApi, Outcome } from "./node_api.ts";
import { type NodeState, writeState } from "./state.ts";
import type { StateRuns } from "./state_runs.ts";
import type { NodeTrust, OpenedDirective } from "./trust.ts";

export interface DirectiveOptions {
  bus: Bus;
  disk: Disk;
  /** Of the agent's state. */
  folder: string;
  trust: NodeTrust;
  api: NodeApi;
  /** Null where nanostates are not run. */
  runs: StateRuns | null;
  probe: Probe;
  log: Log;
}

const Acknowledged = z.object({ ok: z.literal(true) });
const NO_RUNS: Outcome = { ok: false, reason: "this agent runs no nanostates" };
const REASON_CHARS_MAX = 1_000;

export interface DirectiveLoop {
  /** One round; true when there may be more at once. Rejects for what may pass: call again later. */
  round(scope: Scope): Promise<boolean>;
}

export function directiveLoop(initial: NodeState, options: DirectiveOptions): DirectiveLoop {
  const { bus, disk, folder, trust, probe, log } = options;
  const { nodeFetch, nodeReport } = subjects;
  let state = initial;

  async function save(change: Partial<NodeState>): Promise<void> {
    const next = { ...state, ...change };
    await writeState(disk, folder, next);
    state = next; // only now: what is not on disk did not happen
  }

  const ask = <T>(scope: Scope, question: Question<T>) =>
    askCluster(scope, { bus, trust, cluster: state }, question);

  async function sendReports(scope: Scope): Promise<void> {
    if (state.reports.length === 0) return;
    for (const body of state.reports) {
      try {
        await ask(scope, { subject: nodeReport(trust.fp), kind: "node.report", body, answer: Acknowledged });
      } catch (error) {
        if (!isHopeless(error)) throw error; // D5
        log.error("report is not taken and was dropped", { report: body, error });
      }
    }
    await save({ reports: [] });
  }

  return {
    async round(scope) {
      await sendReports(scope); // D2
      const body = { after: state.done };
      const { directives, last } = await ask(scope, {
        subject: nodeFetch(trust.fp),
        kind: "node.fetch",
        body,
        answer: Directives,
      });
      if (last < state.done) {
        log.error("the cluster knows fewer directives than were done: was its store set back?", {
          last,
          done: state.done,
        });
      }
      const before = state.done;
      for (const text of directives) {
        const opened = trust.openDirective(text, state, scope.nowMs());
        const { seq, kind } = opened;
        if (seq <= state.done) continue;
        const outcome = await act(scope, options, opened);
        probe.sometimes(`node.${kind}.${outcome.ok ? "done" : "refused"}`);
        log.info("directive", { seq, kind, ...outcome });
        await save({ done: seq, reports: [...state.reports, reportOf(seq, outcome)] }); // D1, D3
      }
      return state.done > before; // what was only repeated is no reason to ask again at once
    },
  };
}

function reportOf(seq: number, outcome: Outcome): NodeReport {
  return outcome.ok
    ? { seq, outcome: "done", reason: "" }
    : { seq, outcome: "refused", reason: outcome.reason.slice(0, REASON_CHARS_MAX) };
}

async function act(
  scope: Scope,
  { api, runs }: DirectiveOptions,
  { directive, epoch }: OpenedDirective,
): Promise<Outcome> {
  try {
    switch (directive?.kind) {
      case undefined:
        return { ok: false, reason: "this agent does not know such a directive: update it" };
      case "directive.key.accept":
        return await api.acceptKey(scope, directive.body.minionId, directive.body.minionKey);
      case "directive.key.forget":
        return await api.forgetKey(scope, directive.body.minionId);
      case "directive.retire":
        return await api.retire(scope, directive.body.minionIds);
      case "directive.state.run":
        return await runs?.begin(directive.body, epoch) ?? NO_RUNS;
      case "directive.state.cancel":
        return runs?.cancel(directive.body.run) ?? NO_RUNS;
    }
  } catch (error) {
    const isFinal = isSalarError(error) && !error.retry && !scope.signal.aborted; // D4
    if (!isFinal) throw error;
    return { ok: false, reason: error.message };
  }
}
