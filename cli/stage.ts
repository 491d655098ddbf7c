/**
 * `salar nodes stage`: makes a node of a machine. This tool runs the state over SSH, or with `--via` a node's agent does.
 *
 * S1. What can be wrong here (state, secrets, keys) is known before the cluster hears of it; what the cluster refuses,
 *     before the machine is connected to.
 * S2. The cluster hears how far it is every RUN_PROGRESS_MS, and how it ended. When this tool dies, it finds that out by
 *     itself; when it is cancelled there, this tool ends.
 * S3. Passwords and secrets are in variables, files or typed; they go to the machine and nowhere else. The join token is
 *     made for this staging and goes the same way.
 */
import { progressCounter, runEnd } from "../lib/cluster/nanostate_runs.ts";
import type { RunEnd } from "../lib/cluster/protocol.ts";
import { messageOf, SalarError } from "../lib/errors.ts";
import { RUN_PROGRESS_MS } from "../lib/limits.ts";
import type { RunEvent, RunResult } from "../lib/nanostate/run/result.ts";
import { asNode, type Command, type Given, type Input, keyOf, partsOf, WHY } from "./command.ts";
import { EXIT, type Exit, exitOf } from "./exit.ts";
import { at, type Json, type JsonObject, numberAt, textAt } from "./json.ts";
import { FOR, NO_WAIT, PARAM } from "./node_run.ts";
import { watchRun } from "./run_watch.ts";
import { openSession, paintOf, printJson, say, type Session } from "./session.ts";
import { paramsOf } from "./state_inputs.ts";
import { runReport } from "./state_report.ts";
import { optionOf, prepareWork, type Work, WORK_INPUTS } from "./state_work.ts";

const STATE = "node-staging";
/** The state's secret that is the join token, and what stands for it where none is made. */
const JOIN_TOKEN = "join_token";
const NO_TOKEN = "no-token-in-a-dry-run";
/** Nothing goes on with a machine that is half of something. */
const ON_FAILURE = "end-run" as const;
const REASON_CHARS_MAX = 1_000;

const INPUTS: readonly Input[] = [
  { as: "<host>", about: "[user@]host[:port], or a name of ~/.ssh/config", to: "body.host" },
  { as: "--zone <zone>", about: "Where the node shall belong (needed)", needed: true, to: "body.zone" },
  {
    as: "--state <id>",
    about: `Id of the state that stages, or its .st file; ${STATE} without it`,
    to: "body.nanostate",
  },
  PARAM,
  { as: "--wipe", about: "Delete what is on the machine: the parameter wipe=yes" },
  {
    as: "--via <node>",
    about: "Let this node's agent do it, with its own key, state and secrets",
    to: "body.via",
    read: asNode,
  },
  { as: "--dry-run", about: "Change nothing: tell what would be refused, and what the state would change" },
  ...WORK_INPUTS,
  FOR,
  NO_WAIT,
  WHY,
];

export const stage: Command = {
  name: "stage",
  purpose: "Make a node of a machine, over SSH; it takes systems after it is accepted",
  inputs: INPUTS,
  examples: [
    "nodes stage node-4.example --zone berlin --param package=salar-node-agent-0.1.0-….tar.gz --secret database_password=prompt",
    "nodes stage root@node-4.example --zone berlin --wipe --dry-run",
    "nodes stage node-5.example --zone berlin --via node-4 --no-wait",
  ],
  routes: ["nodes.stage", "runs.progress", "runs.end", "runs.show"],
  async run({ world, given, flags }) {
    const session = await openSession(world, flags);
    const { body = {} } = await partsOf(session, INPUTS, given);
    const params = { ...paramsOf(given), ...(given["wipe"] === true ? { wipe: "yes" } : {}) };
    const request = { ...body, params };
    if (given["via"] !== undefined) return await byNode(session, request, given);
    if (given["wait"] === false) {
      throw new SalarError(
        "bad-input",
        "Cannot stage without waiting: it is this tool that does it; give --via NODE",
      );
    }
    const work = await prepareWork(world, given, { // S1
      state: optionOf(given, "state") ?? STATE,
      hosts: [String(given["host"])],
      inventory: null,
      params: { ...params, zone: textAt(body, "zone") },
    });
    const named = { ...request, nanostate: work.options.id };
    return given["dryRun"] === true
      ? await rehearse(session, named, work)
      : await carryOut(session, named, work);
  },
};

async function byNode(session: Session, request: JsonObject, given: Given): Promise<Exit> {
  const { world, api, flags } = session;
  const mine = WORK_INPUTS.find(({ as }) => given[keyOf(as)] !== undefined);
  if (mine !== undefined) {
    throw new SalarError(
      "bad-input",
      `Cannot stage via a node with ${mine.as.split(" ")[0]}`,
      {
        detail: {
          hint: "The node's agent has its own key, secrets and states; no password passes that way.",
        },
      },
    );
  }
  const dryRun = given["dryRun"] === true;
  const run = at(await api.ask("nodes.stage", { body: { ...request, dryRun } }), "run");
  if (dryRun) {
    say(world, "Nothing would be refused. What the state would change is told by a dry run without --via.");
    return EXIT.ok;
  }
  const id = textAt(run, "id");
  if (given["wait"] !== false) return await watchRun(session, id);
  if (flags.json) printJson(world, run);
  else world.stdout.write(id + "\n");
  return EXIT.ok;
}

async function rehearse(
  session: Session,
  request: JsonObject,
  { options, secrets, shown }: Work,
): Promise<Exit> {
  const { world, api, flags } = session;
  await api.ask("nodes.stage", { body: { ...request, dryRun: true } });
  secrets.set(JOIN_TOKEN, () => Promise.resolve(NO_TOKEN));
  const onEvent = (event: RunEvent) => shown.onEvent(event);
  const result = await world.nanostates.run({
    ...options,
    mode: "check",
    onFailure: ON_FAILURE,
    diff: true,
    signal: world.scope.signal,
    onEvent,
  });
  shown.end();
  report(session, result, { withDiffs: true });
  if (!flags.json) say(world, "Nothing is changed, and nothing has begun.");
  if (world.scope.signal.aborted) return EXIT.interrupted;
  return result.code === 0 ? EXIT.ok : EXIT.failed;
}

async function carryOut(
  session: Session,
  request: JsonObject,
  { options, secrets, shown }: Work,
): Promise<Exit> {
  const { world, api } = session;
  const begun = await api.ask("nodes.stage", { body: request });
  const [id, token] = [textAt(begun, "run.id"), textAt(begun, "token")];
  secrets.set(JOIN_TOKEN, () => Promise.resolve(token)); // S3
  say(world, `Run ${id} stages ${textAt(begun, "run.host")}.`);
  const scope = world.scope.open("staging");
  const after = progressCounter();
  let progress: Json = at(begun, "run.progress");
  scope.every(RUN_PROGRESS_MS, "progress of the staging", async () => {
    if (await isStopped(session, id, progress)) scope.end(); // S2
  });
  const onEvent = (event: RunEvent) => {
    shown.onEvent(event);
    progress = after(event);
  };
  const runMs = Math.max(1, numberAt(begun, "run.deadlineAtMs") - world.scope.nowMs());
  const applied = {
    ...options,
    mode: "apply" as const,
    onFailure: ON_FAILURE,
    limits: { runMs },
    signal: scope.signal,
    onEvent,
  };
  let end: RunEnd;
  try {
    const result = await world.nanostates.run(applied);
    end = runEnd(result, { isCancelled: scope.signal.aborted });
    shown.end();
    report(session, result, { withDiffs: false });
  } catch (error) {
    shown.end();
    await tellEnd(session, id, failed(messageOf(error)));
    throw error;
  } finally {
    scope.end();
  }
  await tellEnd(session, id, end);
  return world.scope.signal.aborted ? EXIT.interrupted : await watchRun(session, id);
}

/** True when it shall end: it was cancelled, or given up. A server that does not answer does not end it. */
async function isStopped({ api }: Session, run: string, progress: Json): Promise<boolean> {
  try {
    const body = progress as JsonObject; // of `progressCounter`, or of the API
    return at(await api.ask("runs.progress", { path: { run }, body }), "stop") === true;
  } catch (error) {
    return ![EXIT.unreachable, EXIT.interrupted].some((exit) => exit === exitOf(error));
  }
}

/** Also after a Ctrl-C: so it is known at once that nothing runs any more. */
async function tellEnd({ world, flags }: Session, run: string, end: RunEnd): Promise<void> {
  const { api } = await openSession({ ...world, scope: world.lastScope }, flags);
  await api.ask("runs.end", { path: { run }, body: JSON.parse(JSON.stringify(end)) });
}

function failed(reason: string): RunEnd {
  return { outcome: "failed", reason: reason.slice(0, REASON_CHARS_MAX), progress: null, result: null };
}

function report({ world, flags }: Session, result: RunResult, { withDiffs }: { withDiffs: boolean }): void {
  if (flags.json) return;
  world.stderr.write(runReport(result, { withDiffs, paint: paintOf(world, world.stderr) }));
}
