/**
 * `salar state`: nanostates from the files of this machine; nothing else of Salar is needed. Running them is `state_apply.ts`.
 *
 * The folder of each file given is a root, and so is each `--root`: states include each other by id, found there.
 */
import { normalize } from "node:path";
import { messageOf, SalarError } from "../../lib/errors.ts";
import { compileState } from "../../lib/nanostate/compile.ts";
import { NanostateError } from "../../lib/nanostate/errors.ts";
import { explainPlan } from "../../lib/nanostate/explain.ts";
import type { Inputs } from "../../lib/nanostate/functions.ts";
import { graphDot, graphText, stateGraph } from "../../lib/nanostate/graph.ts";
import { isObject, type JsonObject } from "../../lib/nanostate/json.ts";
import { findingText, hasErrors, lintStates } from "../../lib/nanostate/lint.ts";
import { planJson } from "../../lib/nanostate/plan.ts";
import type { Command, Given, Group, Input } from "../command.ts";
import { EXIT } from "../exit.ts";
import type { Json } from "../json.ts";
import { printJson } from "../session.ts";
import { absolute } from "../settings.ts";
import { readIndex, readStateFile, rootsOf } from "../state_files.ts";
import { printable } from "../table.ts";
import { listOf, paramsOf } from "../state_inputs.ts";
import type { World } from "../world.ts";
import { apply } from "./state_apply.ts";

const FILE: Input = { as: "<file>", about: "The state, a .st file" };
const ROOT: Input = {
  as: "--root <folder...>",
  about: "Where else states and function files are, after the file; the first wins",
};

const lint: Command = {
  name: "lint",
  purpose: "Find everything wrong with states and function files, before they run",
  inputs: [{ as: "<files...>", about: "States (.st) and function files (.fn)" }, ROOT],
  examples: ["state lint web.st", "state lint states/*.st states/*.fn --root /usr/share/salar/states"],
  routes: [],
  async run({ world, given, flags }) {
    const paths = listOf(given, "files").map(normalize);
    const findings = lintStates(await readIndex(world, paths, rootsOf(given)), paths);
    if (flags.json) {
      printJson(world, {
        findings: findings.map((finding) => ({ ...finding, place: { ...finding.place } })),
      });
    } else printLines(world, findings.map(findingText));
    return hasErrors(findings) ? EXIT.failed : EXIT.ok;
  },
};

const graph: Command = {
  name: "graph",
  purpose: "Show which states a state includes, and what its groups depend on",
  inputs: [FILE, ROOT, { as: "--dot", about: "For Graphviz" }],
  examples: ["state graph web.st", "state graph web.st --dot | dot -Tsvg > web.svg"],
  routes: [],
  async run({ world, given, flags }) {
    const { index, id } = await readStateFile(world, String(given["file"]), rootsOf(given));
    const found = stateGraph(index, id);
    if (flags.json) printJson(world, JSON.parse(JSON.stringify(found)));
    else {printLines(
        world,
        (given["dot"] === true ? graphDot(found) : graphText(found)).trimEnd().split("\n"),
      );}
    return EXIT.ok;
  },
};

const explain: Command = {
  name: "explain",
  purpose:
    "Show what a state comes to on a host: its groups and steps in order, or the plan itself with --json",
  inputs: [
    FILE,
    ROOT,
    { as: "--facts <file>", about: "What is known of the host, as JSON; Ansible's `setup` prints such" },
    { as: "--param <name=value...>", about: "Parameters that the state's functions ask for, after the file" },
  ],
  examples: ["state explain web.st", "state explain web.st --facts host.json --param zone=berlin"],
  routes: [],
  async run({ world, given, flags }) {
    const { index, id } = await readStateFile(world, String(given["file"]), rootsOf(given));
    const inputs = { ...await readFacts(world, given), params: paramsOf(given) };
    const plan = orRefuse(() => compileState(index, id, inputs));
    if (flags.json) printJson(world, planJson(plan) as Json);
    else printLines(world, explainPlan(plan).trimEnd().split("\n"));
    return EXIT.ok;
  },
};

export const state: Group = {
  name: "state",
  purpose: "Nanostates: run them on hosts, check them, and show what they come to",
  commands: [apply, lint, graph, explain],
};

/** @throws {SalarError} `bad-input` */
async function readFacts(world: World, given: Given): Promise<Pick<Inputs, "facts">> {
  const path = given["facts"];
  if (typeof path !== "string") return {};
  const bytes = await world.disk.read(absolute(world, path));
  if (bytes === null) throw new SalarError("not-found", `Cannot read ${path}: there is no such file`);
  const facts = parseFacts(path, new TextDecoder().decode(bytes));
  const inner = facts["ansible_facts"];
  return { facts: isObject(inner) ? inner as JsonObject : facts };
}

function parseFacts(path: string, text: string): JsonObject {
  try {
    const facts: unknown = JSON.parse(text);
    if (isObject(facts)) return facts as JsonObject; // of JSON.parse
  } catch (cause) {
    throw new SalarError("bad-input", `Cannot use ${path} as facts: it is no JSON (${messageOf(cause)})`, {
      cause,
    });
  }
  throw new SalarError("bad-input", `Cannot use ${path} as facts: it is no JSON object`);
}

function orRefuse<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof NanostateError)) throw error;
    const hint = error.code === "needs-facts"
      ? "Give them: --facts FILE, a JSON object as Ansible's `setup` prints it."
      : undefined;
    throw new SalarError("bad-input", `Cannot compile: ${error.message}`, {
      cause: error,
      detail: hint === undefined ? {} : { hint },
    });
  }
}

function printLines({ stdout }: World, lines: readonly string[]): void {
  for (const line of lines) stdout.write(printable(line) + "\n");
}
