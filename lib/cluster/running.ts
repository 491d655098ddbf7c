/**
 * The life of a run: one nanostate on one machine, done by a node's agent or by an admin tool, and what a staging makes
 * of a node.
 *
 * U1. On one machine one run is open at a time; whoever begins one locks the machine by writing its key.
 * U2. A run ends once. Told again, its end changes nothing; told late, after it was given up, it is the truth that stays.
 * U3. A node's state follows its staging in the same transaction: `staging` when its agent enrols, `staged` or `failed`,
 *     with the way back, when the run ends. A node that an administrator took elsewhere meanwhile is left alone.
 * U4. The join token of a staging lives no longer than its run.
 * U5. A directive carries the machine's next epoch: an agent never begins an older run, or one twice.
 */
import { SalarError } from "../errors.ts";
import { DIRECTIVE_MS, RUN_GRACE_MS } from "../limits.ts";
import type { MintedToken } from "../secure/token.ts";
import { EMPTY } from "../store/record.ts";
import type { Read } from "../store/store.ts";
import type { Change } from "./change.ts";
import { removeJoinToken } from "./join_tokens.ts";
import { keys } from "./keys.ts";
import { next, nodeMachine, type RunEvent, runMachine } from "./machines.ts";
import { enterNodeState } from "./node_states.ts";
import { post, withdraw } from "./outbox.ts";
import type { RunEnd } from "./protocol.ts";
import { getText, joinTokens, nodes, putNumber, putText, runResults, runs } from "./records.ts";
import type { Node, Run, RunProgress, RunState } from "./types.ts";

export const RUNS_OVER: readonly RunState[] = ["done", "failed", "cancelled", "interrupted"];
/** The state that brings back what a staging changed (states/). */
export const WAY_BACK = "node-restore";

const REASON_CHARS_MAX = 1_000;
export const NO_COUNTS = { ok: 0, changed: 0, failed: 0, skipped: 0, unknown: 0, notRun: 0 } as const;

export type NewRun = Pick<
  Run,
  "nanostate" | "check" | "params" | "by" | "host" | "staging" | "deadlineAtMs" | "reason"
>;

/** Writes a new run, with its directive where a node does it. @throws {SalarError} `conflict` (U1) */
export async function putNewRun(c: Change, options: NewRun): Promise<Run> {
  const { tx, nowMs, who, newId, record } = c;
  const { by, nanostate, check, host, params, deadlineAtMs, reason } = options;
  const machine = machineOf(options);
  await refuseSecond(tx, machine, nanostate);
  const id = `${nowMs.toString(36).padStart(9, "0")}-${newId().slice(0, 8)}`;
  const directive = { run: id, nanostate, check, host, params, deadlineAtMs };
  const run: Run = {
    v: 1,
    id,
    ...options,
    state: by === null ? "running" : "waiting",
    progress: { done: 0, total: 0, counts: NO_COUNTS, step: "" },
    seq: by === null
      ? null
      : await post(c, by, { kind: "directive.state.run", body: directive }, await nextEpoch(c, by)),
    createdAtMs: nowMs,
    heardAtMs: nowMs,
    endedAtMs: null,
    who,
    revision: 1,
  };
  runs.put(tx, run, id);
  tx.put(keys.runOpen(id), EMPTY);
  putText(tx, keys.runOn(machine), id);
  record({
    what: "run.add",
    target: `run:${id}`,
    why: reason,
    detail: { nanostate, by, host, check, zone: options.staging?.zone ?? null },
  });
  return run;
}

/** U1, before anything is written. @throws {SalarError} `conflict` */
export async function refuseSecondOn(tx: Read, host: string, nanostate: string): Promise<void> {
  await refuseSecond(tx, machineOf({ host, by: null }), nanostate);
}

/** The last run on the machine that is reached as `host`; null when there was none. */
export async function lastRunOn(tx: Read, host: string): Promise<Run | null> {
  return await lastRun(tx, machineOf({ host, by: null }));
}

/** Notes the join token of a staging, in place of one that nobody got (U4). */
export async function putRunToken(c: Change, run: Run, minted: MintedToken): Promise<Run> {
  const { staging } = run;
  if (staging === null) return run;
  if (staging.token !== null) await removeJoinToken(c.tx, staging.token);
  const { id, secretHash } = minted;
  const { zone } = staging;
  joinTokens.put(c.tx, {
    v: 1,
    id,
    secretHash,
    kind: "node",
    zone,
    uses: 1,
    expiresAtMs: run.deadlineAtMs,
    machineId: null,
    maker: run.who,
    run: run.id,
  }, id);
  c.record({
    what: "join.add",
    target: `join-token:${id}`,
    why: `for run ${run.id}`,
    detail: { zone, uses: 1 },
  });
  return putRun(c, { ...run, staging: { ...staging, token: id } });
}

/** Its agent has begun it. */
export function beginRun(c: Change, run: Run): Run {
  return run.state === "waiting" ? enterRunState(c, run, "begin", "") : heard(c, run, run.progress);
}

/** A sign of life. */
export function heard(c: Change, run: Run, progress: RunProgress): Run {
  return RUNS_OVER.includes(run.state) ? run : putRun(c, { ...run, heardAtMs: c.nowMs, progress });
}

/** U2, U3. */
export async function endRun(c: Change, run: Run, end: RunEnd): Promise<Run> {
  const begun = run.state === "waiting" && end.outcome !== "failed"
    ? enterRunState(c, run, "begin", "")
    : run;
  const event = eventOf(begun, end);
  if (runMachine[begun.state][event] === undefined) return begun;
  if (end.result !== null) runResults.put(c.tx, { v: 1, result: end.result }, run.id);
  const progress = { ...(end.progress ?? begun.progress), step: "" };
  return await enterAndFollow(c, { ...begun, progress, heardAtMs: c.nowMs }, event, end.reason);
}

function eventOf({ staging, state }: Run, { outcome }: RunEnd): RunEvent {
  switch (outcome) {
    case "done":
      return staging !== null && staging.node === null && state !== "interrupted" ? "join" : "finish";
    case "failed":
      return "fail";
    case "cancelled":
      return "stop";
    case "unknown":
      return "interrupt";
  }
}

/** Ends a run whose time is over, or of which nothing is heard any more. */
export async function giveUpRun(c: Change, run: Run, event: "fail" | "interrupt", why: string): Promise<Run> {
  if (run.state === "waiting" && run.by !== null && run.seq !== null) await withdraw(c.tx, run.by, run.seq);
  return await enterAndFollow(c, run, event, why);
}

/**
 * Stops a run: at once when nobody has begun it, else its agent is told, and an admin tool hears it with its next sign
 * of life. @throws {SalarError} `conflict`
 */
export async function cancelRun(c: Change, run: Run, why: string): Promise<Run> {
  if (run.state === "cancelling") return run;
  const { by, seq } = run;
  if (run.state === "waiting" && by !== null && seq !== null && await withdraw(c.tx, by, seq)) {
    return await enterAndFollow(c, run, "stop", why);
  }
  const cancelling = enterRunState(c, run, "cancel", why);
  if (by !== null) await post(c, by, { kind: "directive.state.cancel", body: { run: run.id } });
  return cancelling;
}

/** A node has enrolled with a staging's token: it is being staged; or it is staged, when all else is done. U3. */
export async function nodeJoined(c: Change, id: string, node: Node): Promise<Node> {
  const run = await runs.get(c.tx, id);
  if (run === null || run.staging === null || RUNS_OVER.includes(run.state)) return node;
  const staged = enterNodeState(c, node, "stage", `staged by run ${id}`);
  await failFormer(c, run, node);
  const joined = putRun(c, { ...run, staging: { ...run.staging, node: node.fp } });
  if (run.state === "joining") await enterAndFollow(c, joined, "finish", "its agent has enrolled");
  return await nodes.get(c.tx, node.fp) ?? staged;
}

/** The machine was known as another node, and has come up as a new one: that one is nowhere any more. */
async function failFormer(c: Change, { id, staging }: Run, { fp, name }: Node): Promise<void> {
  const former = staging?.node ?? null;
  const node = former === null || former === fp ? null : await nodes.get(c.tx, former);
  if (node?.state === "staging") {
    enterNodeState(c, node, "fail", `run ${id} made node "${name}" of its machine`);
  }
}

/** When nothing was heard of a run for too long; null while there is time. */
export function overdue(
  run: Run,
  nowMs: number,
  { joinMs }: { joinMs: number },
): { event: "fail" | "interrupt"; why: string } | null {
  const { state, createdAtMs, heardAtMs, deadlineAtMs, by } = run;
  const isPast = (limitMs: number) => nowMs >= limitMs;
  if (state === "waiting") {
    return isPast(createdAtMs + DIRECTIVE_MS + RUN_GRACE_MS)
      ? { event: "fail", why: "the node's agent did not begin it in time" }
      : null;
  }
  if (state === "joining") {
    return isPast(heardAtMs + joinMs)
      ? {
        event: "fail",
        why: "the state is applied, but the new node's agent did not enrol: see its log there",
      }
      : null;
  }
  const who = by === null ? "the tool that did it" : "the agent that did it";
  if (isPast(deadlineAtMs + RUN_GRACE_MS)) {
    return { event: "interrupt", why: `${who} did not end it by its deadline` };
  }
  return isPast(heardAtMs + RUN_GRACE_MS)
    ? { event: "interrupt", why: `${who} was not heard of for ${Math.round((nowMs - heardAtMs) / 1_000)} s` }
    : null;
}

async function enterAndFollow(c: Change, run: Run, event: RunEvent, why: string): Promise<Run> {
  const ended = enterRunState(c, run, event, why);
  if (run.staging === null || !RUNS_OVER.includes(ended.state)) return ended;
  const { node: fp, token } = run.staging;
  if (token !== null) await removeJoinToken(c.tx, token); // U4
  const isLast = (await lastRun(c.tx, machineOf(run)))?.id === run.id; // told late, it may be another's by now
  const node = fp === null || !isLast ? null : await nodes.get(c.tx, fp);
  const nodeEvent = ended.state === "done" ? "staged" : "fail";
  if (node === null || nodeMachine[node.state][nodeEvent] === undefined) return ended; // U3
  enterNodeState(c, node, nodeEvent, nodeEvent === "staged" ? `staged by run ${run.id}` : withWayBack(ended));
  return ended;
}

/** Why a node is not staged, and how to get it back to what it was. */
function withWayBack({ reason, state, host }: Run): string {
  const back = `; to bring it back: salar state apply ${WAY_BACK} --host ${host ?? "local"}`;
  return `staging ${state}: ${reason}`.slice(0, REASON_CHARS_MAX - back.length) + back;
}

function enterRunState(c: Change, run: Run, event: RunEvent, why: string): Run {
  const state = next(runMachine, run.state, event, `run "${run.id}"`);
  const isOver = RUNS_OVER.includes(state);
  if (isOver) c.tx.delete(keys.runOpen(run.id));
  c.record({ what: `run.${event}`, target: `run:${run.id}`, why, detail: { from: run.state, to: state } });
  return putRun(c, { ...run, state, reason: why, endedAtMs: isOver ? c.nowMs : null, heardAtMs: c.nowMs });
}

function putRun({ tx }: Change, run: Run): Run {
  const changed = { ...run, revision: run.revision + 1 };
  runs.put(tx, changed, run.id);
  return changed;
}

/** U1 */
async function refuseSecond(tx: Read, machine: string, nanostate: string): Promise<void> {
  const last = await lastRun(tx, machine);
  if (last === null || RUNS_OVER.includes(last.state)) return;
  throw new SalarError(
    "conflict",
    `Cannot run "${nanostate}": run "${last.id}" of "${last.nanostate}" is ${last.state} on the same machine; ` +
      "watch or cancel that one",
    { detail: { run: last.id } },
  );
}

async function lastRun(tx: Read, machine: string): Promise<Run | null> {
  const id = await getText(tx, keys.runOn(machine));
  return id === null ? null : await runs.get(tx, id);
}

/** What a run locks. The user that one logs in as does not make another machine. */
function machineOf({ host, by }: Pick<Run, "host" | "by">): string {
  return host === null ? `node:${by}` : `host:${host.slice(host.indexOf("@") + 1).toLowerCase()}`;
}

async function nextEpoch({ tx }: Change, fp: string): Promise<number> {
  const epoch = Number(await getText(tx, keys.runEpoch(fp)) ?? 0) + 1;
  putNumber(tx, keys.runEpoch(fp), epoch);
  return epoch;
}
