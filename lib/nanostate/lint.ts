/**
 * Everything wrong with some states that can be known without facts: all of it at once.
 *
 * L1. What the compiler would refuse for every host is found here; what depends on a function's answer is not.
 * L2. Looked at are the states given, those that they reach, and the function files of both.
 */
import { type Finding, type Place, placeText } from "./errors.ts";
import { HOST_FUNCTIONS, takenText } from "./functions.ts";
import type { FunctionName, Report, StatePath } from "./lines.ts";
import { library } from "./lua/library.ts";
import { Meter } from "./lua/values.ts";
import { groupNames } from "./names.ts";
import type { GroupLine, Line, StateFile, StepLine, ValueNode } from "./state.ts";
import { type FunctionFile, isLoaded, type StateIndex } from "./state_index.ts";

/** @param paths of the files to look at; of function files too. @returns sorted by place */
export function lintStates(index: StateIndex, paths: readonly string[]): Finding[] {
  const findings: Finding[] = [];
  const given = index.states.filter(({ path }) => paths.includes(path));
  const states = reached(index, given);
  for (const state of states) findings.push(...state.findings, ...new Linter(index, state).findings());
  findings.push(...ringsOf(index, states));
  const looked = new Set(states.map(({ path }) => path));
  findings.push(...index.findings.filter(({ place }) => looked.has(place.file)));
  const scripts = states.flatMap((state) => scriptsOf(index, state));
  const named = paths.map((path) => index.script(path));
  for (const script of new Set([...scripts, ...named])) findings.push(...loadFindings(script));
  return distinct(findings);
}

export function hasErrors(findings: readonly Finding[]): boolean {
  return findings.some(({ severity }) => severity === "error");
}

/** `web.st:7:3: error bad-line: …` */
export function findingText({ severity, code, place, reason }: Finding): string {
  return `${placeText(place)}: ${severity} ${code}: ${reason}`;
}

/** Where a state leads: includes, and states of dependencies. */
export function pathsOf(line: Line): { path: StatePath; optional: boolean }[] {
  if (line.kind === "include") return [{ path: line.path, optional: line.optional }];
  return line.depends.map((path) => ({ path, optional: false }));
}

function reached(index: StateIndex, given: readonly StateFile[]): StateFile[] {
  const found = new Set(given);
  for (const state of found) { // grows while it is walked
    for (const { path } of state.lines.flatMap(pathsOf)) {
      const other = index.state(path.state);
      if (other !== null) found.add(other);
    }
  }
  return [...found];
}

function scriptsOf(index: StateIndex, state: StateFile): (FunctionFile | null)[] {
  return [index.functions(state), ...(state.imports ?? []).map(({ name }) => index.library(name))];
}

function loadFindings(script: FunctionFile | null): Finding[] {
  if (script === null || isLoaded(script) || !("reason" in script.loaded)) return [];
  const { line, column, reason } = script.loaded;
  const place = { file: script.path, line, column };
  return [{ severity: "error", code: "bad-function-file", place, reason }];
}

class Linter {
  readonly #findings: Finding[] = [];
  readonly #own: FunctionFile | null;
  readonly #standard = new Set(library(new Meter()).globals.entries().map(([name]) => String(name)));

  constructor(readonly index: StateIndex, readonly state: StateFile) {
    this.#own = index.functions(state);
  }

  findings(): Finding[] {
    const names = new Set([...this.#standard, ...HOST_FUNCTIONS]);
    for (const { name, place } of this.state.imports ?? []) {
      if (names.has(name)) this.#report("bad-name", place, takenText(name));
      names.add(name);
      if (this.index.library(name) === null) {
        this.#report("unknown-library", place, `there is no function file ${name}.fn`);
      }
    }
    for (const line of this.state.lines) {
      for (const condition of line.conditions) this.#function(condition, "?");
      for (const { path, optional } of pathsOf(line)) this.#path(path, optional, line);
      if (line.kind === "group") { for (const step of line.steps) this.#step(step); }
    }
    return this.#findings;
  }

  #report: Report = (code, place, reason) => {
    this.#findings.push({ severity: "error", code, place, reason });
  };

  #path(path: StatePath, optional: boolean, line: Line): void {
    if (optional) return;
    if (path.state === this.state.id && line.kind === "group") return this.#above(path, line);
    if (this.index.state(path.state) === null) {
      return this.#report(
        "unknown-state",
        path.place,
        `there is no state "${path.state}" in the folders given`,
      );
    }
    const names = groupNames(this.index, path.state);
    for (const group of path.groups.filter((group) => !names.has(group))) {
      this.#report("unknown-group", path.place, `the state "${path.state}" has no group "${group}"`);
    }
  }

  /** Groups of the same state stand above. */
  #above({ groups, place }: StatePath, line: GroupLine): void {
    const lines = this.state.lines.slice(0, this.state.lines.indexOf(line));
    const names = new Set(lines.flatMap((each) => {
      if (each.kind === "group") return [each.name];
      return each.path.groups.length > 0 ? each.path.groups : [...groupNames(this.index, each.path.state)];
    }));
    for (const group of groups.filter((group) => !names.has(group))) {
      this.#report("unknown-group", place, `no group "${group}" stands above in this state`);
    }
  }

  #step(step: StepLine): void {
    for (const condition of step.conditions) this.#function(condition, "?");
    if (step.loop !== null) this.#function(step.loop, "[]");
    if (step.kind === "module") this.#value(step.args);
    else for (const { options } of step.commands) this.#value(options);
  }

  #value(node: ValueNode): void {
    if (node.kind === "map") { for (const { value } of node.entries) this.#value(value); }
    else if (node.kind === "list") { for (const item of node.items) this.#value(item); }
    else if (node.kind === "text") {
      for (const part of node.parts) {
        if (typeof part !== "string") {
          this.#function({ name: part.name, place: node.place }, "", this.#standard);
        }
      }
    }
  }

  #function({ name, place }: FunctionName, mark: string, others: ReadonlySet<string> = new Set()): void {
    const [first = "", second] = name.split(".");
    const imported = this.state.imports?.some((each) => each.name === first) ?? false;
    if (imported && second !== undefined) {
      const script = this.index.library(first);
      if (script === null || !isLoaded(script) || script.loaded.names.has(second)) return;
      return this.#report("unknown-function", place, `there is no function ${second} in ${script.path}`);
    }
    if (others.has(first) || mark === "" && HOST_FUNCTIONS.has(first)) return;
    if (this.#own === null) {
      return this.#report(
        "unknown-function",
        place,
        `there is no function ${mark}${name}: the state has no function file beside it`,
      );
    }
    if (isLoaded(this.#own) && !this.#own.loaded.names.has(first)) {
      this.#report("unknown-function", place, `there is no function ${mark}${name} in ${this.#own.path}`);
    }
  }
}

/** Each link that closes a ring. */
function ringsOf(index: StateIndex, states: readonly StateFile[]): Finding[] {
  const findings: Finding[] = [];
  const done = new Set<StateFile>();
  const trail: { state: StateFile; mark: string }[] = [];
  const close = (other: StateFile, first: number, place: Place): void => {
    const ring = trail.slice(first).map(({ state, mark }) => `${state.id} ${mark} `).join("");
    const reason = `states include each other in a ring: ${ring}${other.id}`;
    findings.push({ severity: "error", code: "cycle", place, reason });
  };
  const visit = (state: StateFile): void => {
    if (done.has(state)) return;
    for (const line of state.lines) {
      for (const { path } of pathsOf(line)) {
        const other = index.state(path.state);
        if (other === null || line.kind === "group" && path.state === state.id) continue;
        trail.push({ state, mark: path.text.slice(0, 1) });
        const first = trail.findIndex((link) => link.state === other);
        if (first >= 0) close(other, first, path.place);
        else visit(other);
        trail.pop();
      }
    }
    done.add(state);
  };
  for (const state of states) visit(state);
  return findings;
}

function distinct(findings: readonly Finding[]): Finding[] {
  const byText = new Map(findings.map((finding) => [findingText(finding), finding]));
  return [...byText.values()].sort(({ place: a }, { place: b }) =>
    a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1
  );
}
