/**
 * `deno task test [STEP|PATH...]`: sets up what is needed and runs every test, from a clean clone on a machine
 * with Node and root and nothing else.
 *
 * Prints each step under a heading with its duration, at the end once more what failed, since a log may be cut
 * to its end, and last the plain line `N passed, N failed`.
 * T1. Nothing is skipped silently: an ignored test, a group without a test and a crash count as failures.
 * T2. Every step has a limit; an interrupt ends everything that was started.
 */
import { type ChildOptions, runDeno } from "./child.ts";
import { print } from "./print.ts";
import { type Counts, explained, judge, readSummary } from "./summary.ts";

const HELP = `Usage: deno task test [STEP|PATH...]

Without arguments: every step. Else only those named, by step or by the path of a test file or folder.

Steps:
  fmt, lint, check    the whole tree
  install             parts that the tests use (PostgreSQL, NATS, Salt, ...), kept in
                      \${XDG_CACHE_HOME:-~/.cache}/salar for the next run
  unit                tests that stand beside their file
  NAME                tests under tests/NAME, such as parts, integration, simulation

Ends with what failed, said once more, and "N passed, N failed"; exit code 1 when anything failed.
`;

const MINUTE_MS = 60_000;
const UNIT_ROOTS = ["lib", "functions", "agents", "cli", "tasks"];

interface Step {
  name: string;
  run(options: { signal: AbortSignal }): Promise<Outcome>;
}

interface Outcome extends Counts {
  /** Why it failed, where its own output does not say so. */
  reason?: string;
  /** What its own output said of failures, to be repeated at the end. */
  said?: string[];
}

async function main(args: string[]): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    print(HELP.trimEnd());
    return 0;
  }
  const steps = await chosenSteps(args);
  if (steps === null) return 2;

  const interrupt = new AbortController();
  const stop = () => interrupt.abort();
  Deno.addSignalListener("SIGINT", stop);
  Deno.addSignalListener("SIGTERM", stop);

  const total: Counts = { passed: 0, failed: 0 };
  const failures: string[] = [];
  for (const step of steps) {
    if (interrupt.signal.aborted) break;
    const startMs = performance.now();
    print(`\n## ${step.name}`);
    const { passed, failed, reason, said = [] } = await step.run({ signal: interrupt.signal });
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    print(
      `## ${step.name}: ${passed} passed, ${failed} failed in ${seconds} s${reason ? ` (${reason})` : ""}`,
    );
    total.passed += passed;
    total.failed += failed;
    if (failed > 0) failures.push(...said, `## ${step.name}: ${reason ?? `${failed} failed`}`, "");
  }
  if (interrupt.signal.aborted) {
    total.failed++;
    failures.push("interrupted");
  }
  print(["", ...failures, `${total.passed} passed, ${total.failed} failed`].join("\n"));
  return total.failed === 0 ? 0 : 1;
}

/** Null when an argument is neither a step nor a path; that is said on standard output. */
async function chosenSteps(names: string[]): Promise<Step[] | null> {
  const all = await allSteps();
  if (names.length === 0) return all;
  const chosen: Step[] = [];
  for (const name of names) {
    const step = all.find((step) => step.name === name) ??
      (await isPath(name) ? testGroup(name, [name]) : null);
    if (step === null) {
      print(`Unknown step or path "${name}". Steps: ${all.map((step) => step.name).join(", ")}`);
      return null;
    }
    chosen.push(step);
  }
  return chosen;
}

async function allSteps(): Promise<Step[]> {
  return [
    denoStep("fmt", ["fmt", "--check"], 2 * MINUTE_MS),
    denoStep("lint", ["lint", "--quiet"], 5 * MINUTE_MS),
    denoStep("check", ["check", "--quiet", "."], 10 * MINUTE_MS),
    denoStep("install", ["run", "-A", "--quiet", "tests/parts/install.ts"], 30 * MINUTE_MS),
    testGroup("unit", await existing(UNIT_ROOTS), ["--parallel"]),
    // Read from the disk, so that no folder of tests can be forgotten here.
    ...(await testFolders()).map((name) => testGroup(name, [`tests/${name}`])),
  ];
}

/** One command that is a pass or a failure as a whole. */
function denoStep(name: string, args: string[], limitMs: number): Step {
  return {
    name,
    async run(options) {
      const { code, output, errors, timedOut } = await runDeno(args, { ...options, limitMs });
      if (code === 0) return { passed: 1, failed: 0 };
      const said = explained(output + errors);
      return { passed: 0, failed: 1, said, ...timedOut && { reason: `not done within ${limitMs} ms` } };
    },
  };
}

function testGroup(name: string, paths: string[], flags: string[] = []): Step {
  const limitMs = 20 * MINUTE_MS;
  return {
    name,
    async run(options) {
      const limits: ChildOptions = { ...options, limitMs };
      const { code, output, timedOut } = await runDeno(["test", "-A", "--quiet", ...flags, ...paths], limits);
      const said = code === 0 ? [] : explained(output);
      if (timedOut) return { passed: 0, failed: 1, said, reason: `not done within ${limitMs} ms` };
      return { ...judge(readSummary(output), code), said };
    },
  };
}

/** Folders under tests/ that hold a test, sorted. */
async function testFolders(): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir("tests")) {
    if (entry.isDirectory && await holdsTest(`tests/${entry.name}`)) found.push(entry.name);
  }
  return found.sort();
}

async function holdsTest(folder: string): Promise<boolean> {
  for await (const entry of Deno.readDir(folder)) {
    if (entry.isDirectory ? await holdsTest(`${folder}/${entry.name}`) : entry.name.endsWith("_test.ts")) {
      return true;
    }
  }
  return false;
}

async function existing(paths: string[]): Promise<string[]> {
  const found = await Promise.all(paths.map(isPath));
  return paths.filter((_, index) => found[index]);
}

async function isPath(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

if (import.meta.main) Deno.exit(await main(Deno.args));
