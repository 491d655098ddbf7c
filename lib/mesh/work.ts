/**
 * One piece of work (request, message, batch, tick): its context, its limit in time, and what became of it.
 *
 * In: the host's seams and a run. Out: a `Verdict`; `perform` never throws. What a verdict means for a message is
 * said by `toDelivery`, for a request by `problem.ts`; both follow the table in `handler.ts`.
 * W1. Every run ends in one verdict, one log line and one count.
 * W2. A run gets a scope of its own, which ends with it and after HANDLER_MS_MAX at the latest.
 * W3. What a replica's own end does to a run is never held against the message or the caller.
 */
import { isSalarError, SalarError } from "../errors.ts";
import {
  BUS_THROWN_NAK_MS,
  BUS_THROWN_NAK_MS_MAX,
  DRAIN_RETRY_MS,
  HANDLER_ATTEMPTS_MAX,
  HANDLER_MS_MAX,
} from "../limits.ts";
import type { Log, LogFields, LogLevel } from "../log.ts";
import type { OpenScope, Scope } from "../seams.ts";
import { TrustError } from "../secure/errors.ts";
import type { Context } from "./context.ts";
import type { Outcome } from "./handler.ts";
import type { Metrics } from "./metrics.ts";

/** What all work of one host shares. */
export interface Workplace {
  seams: Omit<Context, "scope" | "log" | "meter">;
  /** Ends running work: after a drain, or with the process. */
  scope: Scope;
  /** Aborts when the host takes no new work. */
  stopping: AbortSignal;
  log: Log;
  metrics: Metrics;
  /** Work under way; a drain waits for it. */
  running: Set<Promise<unknown>>;
}

export interface Order {
  kind: "request" | "message" | "batch" | "tick";
  /** The mesh function and the name of its route, handler or tick. */
  owner: string;
  name: string;
  /** More for the log line; may be filled while the work runs. */
  fields?: LogFields;
  /** Level of the line when all went well. @default "debug" */
  level?: LogLevel;
  /** Each ends this work alone, such as the caller hanging up. */
  signals?: readonly AbortSignal[];
  /** The result goes on in this scope (a streamed body): it ends with `signals` or the host, not with the run. */
  outlives?: boolean;
}

export type Verdict =
  | { outcome: "done"; reply: unknown }
  | { outcome: "again"; afterMs: number }
  | { outcome: "retry" | "refused"; error: SalarError }
  | { outcome: "crashed"; error: unknown };

export async function perform(
  place: Workplace,
  order: Order,
  run: (context: Context) => Promise<Outcome<unknown>>,
): Promise<Verdict> {
  const { scope: parent, stopping, running, metrics } = place;
  const scope = openFor(parent, order);
  const log = place.log.with({ function: order.owner, work: order.name });
  const context: Context = { ...place.seams, scope, log, meter: metrics.meter(order.owner) };

  const startMs = scope.monoMs();
  const work = judge(
    () => scope.timeout(HANDLER_MS_MAX, () => run(context)),
    () => parent.signal.aborted || stopping.aborted,
  );
  running.add(work);
  const verdict = await work;
  running.delete(work);
  if (!(order.outlives && verdict.outcome === "done")) scope.end();
  record(place, order, log, verdict, scope.monoMs() - startMs);
  return verdict;
}

/** What outlives its run is ended by nobody for certain: its signals are held weakly. */
function openFor(parent: Scope, { owner, name, signals = [], outlives }: Order): OpenScope {
  if (!outlives) return parent.open(`${owner}/${name}`, ...signals);
  const ended = new AbortController();
  const scope = parent.child(`${owner}/${name}`, AbortSignal.any([ended.signal, ...signals]));
  return { ...scope, end: () => ended.abort() };
}

async function judge(run: () => Promise<Outcome<unknown>>, ending: () => boolean): Promise<Verdict> {
  try {
    const outcome = await run();
    return outcome.kind === "again"
      ? { outcome: "again", afterMs: outcome.afterMs }
      : { outcome: "done", reply: outcome.reply };
  } catch (thrown) {
    const error = thrown instanceof TrustError ? distrusted(thrown) : thrown;
    if (!isSalarError(error)) return { outcome: "crashed", error };
    if (error.code === "closed" || (error.code === "cancelled" && ending())) { // W3
      const state = "Cannot finish: this replica is ending, ask again";
      const detail = { retryAfterMs: DRAIN_RETRY_MS };
      return { outcome: "retry", error: new SalarError("unavailable", state, { cause: error, detail }) };
    }
    return { outcome: error.retry ? "retry" : "refused", error };
  }
}

/** What a failed check of a key, token or statement is to a caller. */
export function distrusted(error: TrustError): SalarError {
  const code = error.reason === "kind-not-allowed"
    ? "forbidden"
    : error.reason === "too-large"
    ? "too-large"
    : "unauthenticated";
  return new SalarError(code, error.message, { cause: error, detail: { reason: error.reason } });
}

function record(place: Workplace, order: Order, log: Log, verdict: Verdict, ms: number): void {
  const { outcome } = verdict;
  place.metrics.work({ function: order.owner, kind: order.kind, work: order.name, outcome }, ms);
  const fields = { outcome, ms: Math.round(ms), ...order.fields };
  switch (verdict.outcome) {
    case "done":
      return log[order.level ?? "debug"](`${order.kind} done`, fields);
    case "again":
      return log.debug(`${order.kind} again`, { ...fields, afterMs: verdict.afterMs });
    case "retry":
      // A long poll that a drain sends away is the ordinary end of it.
      return log[place.stopping.aborted ? "debug" : "warn"](`${order.kind} failed for now`, {
        ...fields,
        error: verdict.error,
      });
    case "refused":
      // A request's refusal reaches its caller; a message's is lost unless somebody reads it here.
      return log[order.kind === "request" ? "info" : "warn"](`${order.kind} refused`, {
        ...fields,
        error: verdict.error,
      });
    case "crashed":
      return log.error(`${order.kind} crashed`, { ...fields, error: verdict.error });
  }
}

export type Settling = { act: "ack" } | { act: "nak"; delayMs: number } | { act: "term"; reason: string };

/** What becomes of a durable message at its `attempt`-th delivery (from 1). */
export function toDelivery(verdict: Verdict, attempt: number): Settling {
  const backoff: Settling = {
    act: "nak",
    delayMs: Math.min(BUS_THROWN_NAK_MS * 2 ** Math.min(attempt - 1, 16), BUS_THROWN_NAK_MS_MAX),
  };
  switch (verdict.outcome) {
    case "done":
      return { act: "ack" };
    case "again":
      return { act: "nak", delayMs: verdict.afterMs };
    case "retry":
      return backoff;
    case "refused":
      // A lost race is for the loser to decide again, and a message has nobody else who would.
      if (verdict.error.code === "conflict" && attempt < HANDLER_ATTEMPTS_MAX) return backoff;
      return { act: "term", reason: verdict.error.code };
    case "crashed":
      return attempt < HANDLER_ATTEMPTS_MAX ? backoff : { act: "term", reason: "crashed" };
  }
}
