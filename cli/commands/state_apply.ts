/**
 * `salar state apply`: runs a state on this machine or on hosts over SSH; with `--check` says what it would do.
 *
 * A1. Everything that can be known before is known before the first host is connected to: the state, the inventory,
 *     secrets, the stored plan.
 * A2. The exit code says it all: 0 fine, 1 something failed or a host was not reached, 2 `--check` and something would
 *     change or cannot be told, 130 ended by Ctrl-C, which ends everything on all hosts.
 */
import { messageOf, SalarError } from "../../lib/errors.ts";
import type { RunResult } from "../../lib/nanostate/run/result.ts";
import type { RunOptions } from "../../lib/nanostate/run/run.ts";
import { readStoredPlan, type StoredPlan, storedPlan } from "../../lib/nanostate/run/stored_plan.ts";
import { type Command, count, type Given } from "../command.ts";
import { EXIT, type Exit } from "../exit.ts";
import { paintOf, say } from "../session.ts";
import { absolute } from "../settings.ts";
import { eventLine, summaryLine } from "../state_events.ts";
import { listOf, paramsOf } from "../state_inputs.ts";
import { runReport } from "../state_report.ts";
import { optionOf, prepareWork, WORK_INPUTS } from "../state_work.ts";
import { durationMs } from "../times.ts";
import type { World } from "../world.ts";

const ON_FAILURE = ["end-group", "end-run", "go-on"] as const;

export const apply: Command = {
  name: "apply",
  purpose: "Run a state on hosts, or with --check show what it would change",
  inputs: [
    { as: "<state>", about: "A .st file, or the id of a state in --root folders or of one that ships" },
    {
      as: "--host <name...>",
      about: "Hosts by SSH, `local` for this machine; with an inventory its hosts or groups",
    },
    { as: "--inventory <file>", about: "Hosts and their settings, as YAML" },
    { as: "--check", about: "Change nothing; exit code 2 when something would change" },
    { as: "--diff", about: "Show the text of changes; --check does so anyway" },
    { as: "--param <name=value...>", about: "Parameters that the state's functions ask for" },
    ...WORK_INPUTS,
    { as: "--jobs <n>", about: "Hosts at once; 50 without it" },
    {
      as: "--on-failure <rule>",
      about: "What a failed step ends; its group without it",
      choices: ON_FAILURE,
    },
    { as: "--step-timeout <time>", about: "For one step, such as 90s or 2h; 30m without it" },
    { as: "--out <file>", about: "With --check: store what was found, for --plan" },
    { as: "--plan <file>", about: "Apply only on hosts where just what was stored would still happen" },
  ],
  examples: [
    "state apply web.st --host web-1 --check",
    "state apply web.st --inventory hosts.yaml --host web --param zone=berlin",
    "state apply node-identify --host local --json",
  ],
  routes: [],
  async run({ world, given, flags }) {
    const isCheck = given["check"] === true;
    const { options, end, out } = await prepared(world, given, { json: flags.json === true, isCheck });
    const result = await options.run();
    end();
    const exit = exitOf(result, world.scope.signal.aborted);
    if (flags.json) world.stdout.write(summaryLine(result, exit));
    else {
      const withDiffs = isCheck || given["diff"] === true;
      world.stdout.write(runReport(result, { withDiffs, paint: paintOf(world, world.stdout) }));
    }
    if (out !== null) await out(result);
    if (exit === EXIT.interrupted) say(world, leftText(result));
    return exit;
  },
};

interface Prepared {
  options: { run(): Promise<RunResult> };
  /** Of the progress that is shown. */
  end(): void;
  out: ((result: RunResult) => Promise<void>) | null;
}

/** A1 */
async function prepared(
  world: World,
  given: Given,
  { json, isCheck }: { json: boolean; isCheck: boolean },
): Promise<Prepared> {
  refuseMixed(given, isCheck);
  const { options: work, shown } = await prepareWork(world, given, {
    state: optionOf(given, "state") ?? "",
    hosts: listOf(given, "host"),
    inventory: optionOf(given, "inventory"),
    params: paramsOf(given),
  });
  const stored = await storedOf(world, given, work.id);
  const stepMs = optionOf(given, "stepTimeout");
  const jobs = optionOf(given, "jobs");
  const options: RunOptions = {
    ...work,
    mode: isCheck ? "check" : "apply",
    diff: isCheck || given["diff"] === true,
    ...(stored === null ? {} : { stored }),
    onFailure: ON_FAILURE.find((rule) => rule === given["onFailure"]) ?? "end-group",
    ...(jobs === null ? {} : { jobs: count(jobs) }),
    ...(stepMs === null ? {} : { limits: { stepMs: durationMs(stepMs) } }),
    signal: world.scope.signal,
    onEvent: json ? (event) => world.stdout.write(eventLine(event)) : (event) => shown.onEvent(event),
  };
  const file = optionOf(given, "out");
  return {
    options: { run: () => world.nanostates.run(options) },
    end: () => shown.end(),
    out: file === null ? null : (result) => store(world, file, storedPlan(work.id, result)),
  };
}

/** @throws {SalarError} `bad-input` */
function refuseMixed(given: Given, isCheck: boolean): void {
  const refuse = (reason: string) => {
    throw new SalarError("bad-input", `Cannot run the state: ${reason}`);
  };
  if (isCheck && given["plan"] !== undefined) {
    refuse("--plan is for an apply, --check makes a new one; leave one of them");
  }
  if (!isCheck && given["out"] !== undefined) refuse("--out stores what --check finds; give --check, too");
}

/** @throws {SalarError} `not-found`, `bad-input` */
async function storedOf(world: World, given: Given, id: string): Promise<StoredPlan | null> {
  const file = optionOf(given, "plan");
  if (file === null) return null;
  const bytes = await world.disk.read(absolute(world, file));
  if (bytes === null) throw new SalarError("not-found", `Cannot read ${file}: there is no such file`);
  try {
    const stored = readStoredPlan(new TextDecoder().decode(bytes));
    if (stored.id === id) return stored;
    throw new SalarError("bad-input", `Cannot use the plan ${file}: it is of the state "${stored.id}"`);
  } catch (cause) {
    if (cause instanceof SalarError) throw cause;
    throw new SalarError("bad-input", `Cannot use the plan ${file}: ${messageOf(cause)}`, { cause });
  }
}

async function store(world: World, file: string, plan: StoredPlan): Promise<void> {
  const text = JSON.stringify(plan, null, 2) + "\n";
  await world.disk.replace(absolute(world, file), new TextEncoder().encode(text));
  say(
    world,
    `Stored the plan of ${
      Object.keys(plan.hosts).length
    } hosts in ${file}; carry it out with --plan ${file}.`,
  );
}

/** A2 */
function exitOf({ mode, code, counts }: RunResult, isCancelled: boolean): Exit {
  if (isCancelled) return EXIT.interrupted;
  if (code !== 0) return EXIT.failed;
  return mode === "check" && counts.changed + counts.unknown > 0 ? EXIT.changesPending : EXIT.ok;
}

/** What a Ctrl-C left undone, host by host. */
function leftText({ hosts }: RunResult): string {
  const left = hosts.flatMap(({ host, groups }) => {
    const steps = groups.flatMap(({ steps }) => steps);
    const cut = steps.find(({ responses }) =>
      responses.some(({ outcome, code }) => outcome === "unknown" && code !== 0)
    );
    const notRun = steps.filter(({ responses }) =>
      responses.some(({ outcome }) => outcome === "not-run")
    ).length;
    if (cut === undefined && notRun === 0) return [];
    const parts = [
      cut && `${cut.id} was cut off, its outcome is unknown`,
      notRun > 0 && `${notRun} steps did not run`,
    ];
    return [`  ${host}: ${parts.filter(Boolean).join("; ")}`];
  });
  if (left.length === 0) return "Ended by you; everything was done already.";
  return ["Ended by you; nothing of it runs on any host any more. Left undone:", ...left].join("\n");
}
