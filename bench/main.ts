/**
 * `deno task bench [NAME …] [--seconds S] [--json]`: measures, and prints figures for people and for programs.
 *
 * Several benchmarks run each in a process of its own, so that none works in the heap that another has left.
 * B1. A missed goal is no failure: figures depend on the machine. Exit codes: 0 measured, 1 a benchmark broke, 2 usage.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { messageOf } from "../lib/errors.ts";
import { print, printError } from "../lib/mesh/real_program.ts";
import type { BenchOptions, Figure, Report } from "./figure.ts";
import { row, tableHead } from "./table.ts";

interface Bench {
  name: string;
  about: string;
  /** Loads the benchmark only when it is wanted: each brings servers and libraries of its own. */
  load(): Promise<{ run(report: Report, options: BenchOptions): Promise<void> }>;
}

const BENCHES: readonly Bench[] = [
  { name: "bus", about: "round trips and throughput of both bus adapters", load: () => import("./bus.ts") },
  { name: "store", about: "transactions of the embedded store", load: () => import("./store.ts") },
  {
    name: "heartbeats",
    about: "heartbeats that one replica takes",
    load: () => import("./heartbeats.ts"),
  },
  {
    name: "registrations",
    about: "enrolments of client agents over HTTP",
    load: () => import("./registrations.ts"),
  },
  {
    name: "placement",
    about: "planning among 1,000 nodes and 1,000,000 systems",
    load: () => import("./placement.ts"),
  },
  {
    name: "capture",
    about: "from a database row to its event on the bus",
    load: () => import("./capture.ts"),
  },
  {
    name: "tikv",
    about: "the TiKV client beside the official Go client",
    load: () => import("./tikv.ts"),
  },
  {
    name: "nanostate",
    about: "a state on 1, 10 and 50 hosts beside Ansible, Mitogen and pyinfra",
    load: () => import("./nanostate.ts"),
  },
];
const SECONDS = 5;
const SECONDS_MAX = 3_600;

const HELP = `Measure Salar on this machine.

Usage: deno task bench [NAME ...] [--seconds S] [--json]

  --seconds S   how long to measure each case (default ${SECONDS})
  --json        only the lines for programs

${BENCHES.map(({ name, about }) => `  ${name.padEnd(14)}${about}`).join("\n")}

Without a name all of them. What the figures mean: bench/README.md
`;

interface Options extends BenchOptions {
  benches: readonly Bench[];
  json: boolean;
  help: boolean;
}

/** @throws {Error} saying what is wrong with them. */
function optionsOf(args: string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      seconds: { type: "string", default: String(SECONDS) },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  const seconds = Number(values.seconds);
  if (!(seconds > 0 && seconds <= SECONDS_MAX)) {
    throw new Error(`--seconds takes more than 0 and at most ${SECONDS_MAX}, not "${values.seconds}"`);
  }
  const unknown = positionals.find((name) => !BENCHES.some((bench) => bench.name === name));
  if (unknown !== undefined) throw new Error(`there is no benchmark "${unknown}"`);
  const benches = BENCHES.filter(({ name }) => positionals.length === 0 || positionals.includes(name));
  return { benches, seconds, json: values.json, help: values.help };
}

/** Rows as they come and all lines at the end; with `json` the lines as they come. */
async function measure({ benches, seconds, json }: Options): Promise<void> {
  const figures: Figure[] = [];
  const report = (figure: Figure) => {
    figures.push(figure);
    print(json ? JSON.stringify(figure) : row(figure));
  };
  if (!json) print(tableHead());
  const runBench = benches.length === 1 ? runHere : runApart;
  for (const bench of benches) await runBench(bench, report, { seconds });
  if (!json) print(["", ...figures.map((figure) => JSON.stringify(figure))].join("\n"));
}

async function runHere({ load }: Bench, report: Report, options: BenchOptions): Promise<void> {
  const { run } = await load();
  await run(report, options);
}

/** In a process of its own, which prints its lines as they come. */
async function runApart({ name }: Bench, report: Report, { seconds }: BenchOptions): Promise<void> {
  const args = ["run", "-A", fileURLToPath(import.meta.url), name, "--json", "--seconds", String(seconds)];
  const child = spawn(Deno.execPath(), args, { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  for await (const line of createInterface({ input: child.stdout })) report(JSON.parse(line));
  const [code] = await closed;
  if (code !== 0) throw new Error(`Cannot measure ${name}: its process ended with ${code}`);
}

async function main(args: string[]): Promise<number> {
  let options: Options;
  try {
    options = optionsOf(args);
  } catch (error) {
    printError(`Cannot measure: ${messageOf(error)}; see deno task bench --help`);
    return 2;
  }
  if (options.help) {
    print(HELP);
    return 0;
  }
  try {
    await measure(options);
    return 0;
  } catch (error) {
    printError(messageOf(error));
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
