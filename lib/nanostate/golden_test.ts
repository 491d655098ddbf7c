/**
 * Transcripts: testdata/*.txt, one for each rule and each error; to be read as the language's manual by example.
 *
 * A transcript is words, files (`>>> web.st`), and commands (`>>> explain web {...}`) with what they print below.
 * `deno test -A lib/nanostate/golden_test.ts -- --write` writes what is printed now; the difference is then reviewed.
 */
import assert from "node:assert/strict";
import { compileState } from "./compile.ts";
import { NANOSTATE_CODES, NanostateError } from "./errors.ts";
import { explainPlan } from "./explain.ts";
import { graphText, stateGraph } from "./graph.ts";
import type { Inputs } from "./functions.ts";
import { findingText, lintStates } from "./lint.ts";
import { planJson } from "./plan.ts";
import { indexStates, type SourceFile, type StateIndex } from "./state_index.ts";

const FOLDER = new URL("testdata/", import.meta.url);
const PARTS = /^>>> (.*)\n((?:(?!>>> ).*\n)*)/gm;

const names = [...Deno.readDirSync(FOLDER)].map(({ name }) => name).filter((name) => name.endsWith(".txt"))
  .sort();

for (const name of names) {
  Deno.test(`transcript ${name.replace(".txt", "")}`, () => {
    const path = new URL(name, FOLDER);
    const text = Deno.readTextFileSync(path);
    const printed = replay(text);
    if (Deno.args.includes("--write")) Deno.writeTextFileSync(path, printed);
    else assert.equal(printed, text);
  });
}

Deno.test("transcripts show every error code", () => {
  const all = names.map((name) => Deno.readTextFileSync(new URL(name, FOLDER))).join("\n");
  for (const code of Object.keys(NANOSTATE_CODES)) assert.match(all, new RegExp(`error ${code}: `), code);
});

function replay(text: string): string {
  const files: SourceFile[] = [];
  return text.replace(PARTS, (_all, head: string, body: string) => {
    const [command = "", id = "", ...rest] = head.split(" ");
    if (!["explain", "lint", "graph", "plan"].includes(command)) {
      files.push({ path: head, bytes: new TextEncoder().encode(body) });
      return `>>> ${head}\n${body}`;
    }
    const index = indexStates(files);
    const output = command === "lint"
      ? lintText(index, files)
      : outcome(() => run(command, index, id, rest.join(" ")));
    return `>>> ${head}\n${output}`;
  });
}

function run(command: string, index: StateIndex, id: string, inputs: string): string {
  if (command === "graph") return graphText(stateGraph(index, id));
  const plan = compileState(index, id, inputsOf(inputs));
  if (command === "plan") return JSON.stringify(planJson(plan), null, 1) + "\n";
  return explainPlan(plan);
}

function inputsOf(text: string): Inputs {
  const { facts, params, secrets } = text === "" ? {} as Record<string, undefined> : JSON.parse(text);
  return {
    ...(facts === undefined ? {} : { facts }),
    ...(params === undefined ? {} : { params }),
    ...(secrets === undefined ? {} : { secrets: new Set<string>(secrets) }),
  };
}

function outcome(work: () => string): string {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof NanostateError)) throw error;
    return `error ${error.code}: ${error.message}\n`;
  }
}

function lintText(index: StateIndex, files: readonly SourceFile[]): string {
  const findings = lintStates(index, files.map(({ path }) => path));
  return findings.map((finding) => findingText(finding) + "\n").join("") || "nothing found\n";
}
