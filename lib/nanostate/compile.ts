/**
 * A state and what is known of a host → the plan for that host.
 *
 * Pure: no clock, chance or I/O; the same index and inputs give the same plan, or the same error.
 * C1. Groups come in the order of their lines. An include puts the other state's compiled groups in its place. A name
 *     that comes again takes the new content and keeps the first place.
 * C2. A dependency puts the other group's steps, once each, before the own ones. The own steps come once, however many
 *     dependencies there are.
 * C3. Several conditions of one line are joined by "or". A group or step without a true one is as if not written.
 * C4. A step that came by a dependency does not run again when the same step stands above it in the plan.
 */
import { type Link, type NanostateCode, NanostateError, type Place, placeText } from "./errors.ts";
import { Functions, type Inputs } from "./functions.ts";
import { isObject, type Json, type JsonObject, setOwn } from "./json.ts";
import { CHAIN_MAX, GROUPS_MAX, STEPS_MAX } from "./limits.ts";
import type { FunctionName, StatePath } from "./lines.ts";
import type { Plan, PlanCommand, PlanGroup, PlanStep, ShellStep } from "./plan.ts";
import { textOrSecrets } from "./secrets.ts";
import {
  commandNameProblem,
  type GroupLine,
  GUARDS,
  type IncludeLine,
  RESERVED_KEY,
  type ShellLine,
  type StateFile,
  type StepLine,
  type ValueMap,
  type ValueNode,
} from "./state.ts";
import { groupNames } from "./names.ts";
import type { StateIndex } from "./state_index.ts";

interface Group {
  from: string;
  steps: Step[];
}
/** A step that has no place in a plan yet. */
interface Step {
  /** Of which line, and which round of its loop: equal for copies. */
  origin: string;
  isDependency: boolean;
  content: PlanStep;
}
type Groups = Map<string, Group>;

/** @param id of the root state. @throws {NanostateError} */
export function compileState(index: StateIndex, id: string, inputs: Inputs = {}): Plan {
  const functions = new Functions(index, inputs);
  const root = index.state(id);
  if (root === null) {
    throw new NanostateError(
      "unknown-state",
      { file: id, line: 1, column: 1 },
      `there is no state "${id}" in the folders given`,
    );
  }
  const groups = new Compiler(index, functions).state(root, []);
  return {
    version: 1,
    id,
    description: root.description,
    groups: planned(groups),
    uses: functions.uses,
  };
}

/** C4, and a name for each step. */
function planned(groups: Groups): PlanGroup[] {
  const above = new Map<string, string>();
  return [...groups].map(([name, { from, steps }]) => ({
    name,
    from,
    steps: steps.map(({ origin, isDependency, content }, n) => {
      const id = `${name}/${n}`;
      const first = above.get(origin);
      if (first === undefined) above.set(origin, id);
      return { ...content, id, ...(isDependency && first !== undefined ? { ranAbove: first } : {}) };
    }),
  }));
}

class Compiler {
  readonly #compiled = new Map<string, Groups>();
  #steps = 0;

  constructor(readonly index: StateIndex, readonly functions: Functions) {}

  /** @param chain how it was reached */
  state(state: StateFile, chain: readonly Link[]): Groups {
    const known = this.#compiled.get(state.path);
    if (known !== undefined) return known;
    const broken = this.index.clash(state.id ?? "") ??
      state.findings.find(({ severity }) => severity === "error");
    if (broken !== undefined) {
      throw new NanostateError(broken.code as NanostateCode, broken.place, broken.reason, chain);
    }
    const groups: Groups = new Map();
    for (const line of state.lines) {
      if (!this.#holds(state, line.conditions, chain)) continue;
      if (line.kind === "group") groups.set(line.name, this.#group(state, line, groups, chain));
      else for (const [name, group] of this.#included(state, line, chain)) groups.set(name, group);
      if (groups.size > GROUPS_MAX) {
        throw new NanostateError(
          "limit",
          line.place,
          `the state comes to more than ${GROUPS_MAX} groups`,
          chain,
        );
      }
    }
    this.#compiled.set(state.path, groups);
    return groups;
  }

  #included(state: StateFile, { path, optional }: IncludeLine, chain: readonly Link[]): [string, Group][] {
    const other = this.index.state(path.state);
    if (other === null && optional) return [];
    const groups = this.#other(state, path, chain);
    if (path.groups.length === 0) return [...groups];
    return path.groups.flatMap((name): [string, Group][] => {
      const group = groups.get(name);
      if (group !== undefined) return [[name, group]];
      if (!optional) this.#refuseUnknown(path, name, chain);
      return [];
    });
  }

  #group(state: StateFile, line: GroupLine, above: Groups, chain: readonly Link[]): Group {
    const from = `${state.id}/${line.name}`;
    const steps: Step[] = [];
    const met = new Set<string>();
    for (const path of line.depends) {
      const groups = path.state === state.id ? above : this.#other(state, path, chain);
      for (const name of path.groups) {
        const group = groups.get(name);
        if (group === undefined) {
          if (path.state === state.id) this.#refuseBelow(state, path, name, chain);
          else this.#refuseUnknown(path, name, chain);
        }
        for (const step of group?.steps ?? []) {
          if (met.has(step.origin)) continue; // C2
          met.add(step.origin);
          steps.push({ ...step, isDependency: true });
        }
      }
    }
    for (const [n, step] of line.steps.entries()) {
      steps.push(...this.#step(state, step, `${from}/${n}`, from, chain));
    }
    this.#steps += steps.length;
    if (this.#steps > STEPS_MAX) {
      throw new NanostateError("limit", line.place, `the state comes to more than ${STEPS_MAX} steps`, chain);
    }
    return { from, steps };
  }

  #other(state: StateFile, path: StatePath, chain: readonly Link[]): Groups {
    const other = this.index.state(path.state);
    if (other === null) {
      const reason = `there is no state "${path.state}" in the folders given`;
      throw new NanostateError("unknown-state", path.place, reason, chain);
    }
    const way = [...chain, { place: path.place, text: path.text }];
    this.#refuseRing(state, other, way);
    return this.state(other, way);
  }

  /** `a ~ b ~ a`: a state on the way to itself. */
  #refuseRing(state: StateFile, other: StateFile, way: readonly Link[]): void {
    const files = [...way.map(({ place }) => place.file), other.path];
    const first = files.indexOf(other.path);
    const last = way.at(-1) ?? { place: { file: state.path, line: 1, column: 1 }, text: "" };
    if (first < files.length - 1) {
      const ring = way.slice(first).map(({ place, text }) => `${this.#idOf(place.file)} ${text.slice(0, 1)} `)
        .join("");
      const reason = `states include each other in a ring: ${ring}${other.id}`;
      throw new NanostateError("cycle", last.place, reason, way.slice(0, -1));
    }
    if (way.length > CHAIN_MAX) {
      throw new NanostateError(
        "limit",
        last.place,
        `more than ${CHAIN_MAX} states include each other in one chain`,
      );
    }
  }

  #idOf(path: string): string {
    return this.index.states.find((state) => state.path === path)?.id ?? path;
  }

  /** A group that a condition dropped adds nothing; one that was never written is an error. */
  #refuseUnknown(path: StatePath, name: string, chain: readonly Link[]): void {
    if (groupNames(this.index, path.state).has(name)) return;
    throw new NanostateError(
      "unknown-group",
      path.place,
      `the state "${path.state}" has no group "${name}"`,
      chain,
    );
  }

  #refuseBelow(state: StateFile, path: StatePath, name: string, chain: readonly Link[]): void {
    const isBelow = state.lines.some((line) =>
      line.kind === "group" && line.name === name && isAfter(line.place, path.place)
    );
    if (!isBelow && groupNames(this.index, path.state).has(name)) return;
    const reason = isBelow
      ? `the group "${name}" stands below; a group depends on those above it`
      : `this state has no group "${name}"`;
    throw new NanostateError("unknown-group", path.place, reason, chain);
  }

  #holds(state: StateFile, conditions: readonly FunctionName[], chain: readonly Link[]): boolean {
    if (conditions.length === 0) return true;
    return conditions.some((condition) => {
      const answer = this.functions.call(state, condition, "?", chain);
      if (typeof answer === "boolean" || answer === null) return answer === true;
      const reason = `?${condition.name} returned ${kindOf(answer)}; a condition returns true or false`;
      throw new NanostateError("bad-result", condition.place, reason, chain);
    });
  }

  #step(state: StateFile, line: StepLine, origin: string, from: string, chain: readonly Link[]): Step[] {
    if (!this.#holds(state, line.conditions, chain)) return [];
    const base = { id: "", from, at: placeText(line.place) };
    const values = new Values(state, this.functions, chain);
    const step = (content: PlanStep, n = 0): Step => ({
      origin: `${origin}/${n}`,
      isDependency: false,
      content,
    });
    if (line.loop !== null) {
      const { loop } = line;
      return this.#items(state, loop, chain).map((item, n) =>
        step(
          line.kind === "module"
            ? { kind: "module", ...base, module: line.module, args: values.sealedMap(item, loop.place) }
            : { kind: "shell", ...base, commands: values.loopCommands(item, loop) },
          n,
        )
      );
    }
    if (line.kind === "module") {
      return [step({ kind: "module", ...base, module: line.module, args: values.map(line.args) })];
    }
    return [step({ kind: "shell", ...base, commands: values.commands(line) })];
  }

  #items(state: StateFile, loop: FunctionName, chain: readonly Link[]): JsonObject[] {
    const answer = this.functions.call(state, loop, "[]", chain);
    const items = Array.isArray(answer) ? answer : null;
    if (items === null || !items.every((item): item is JsonObject => isObject(item))) {
      const wrong = items?.find((item) => !isObject(item));
      const found = items === null ? kindOf(answer) : `a list with ${kindOf(wrong ?? null)} in it`;
      const reason = `[]${loop.name} returned ${found}; a loop returns a list of tables with names as keys`;
      throw new NanostateError("bad-result", loop.place, reason, chain);
    }
    return items;
  }
}

/** What stands below a line, evaluated. */
class Values {
  constructor(readonly state: StateFile, readonly functions: Functions, readonly chain: readonly Link[]) {}

  map({ entries }: ValueMap): JsonObject {
    const object: JsonObject = {};
    for (const { key, value } of entries) setOwn(object, key, this.#value(value));
    return object;
  }

  commands({ commands }: ShellLine): ShellStep["commands"] {
    return commands.map(({ name, place, options }) => this.#command(name, this.map(options), place));
  }

  loopCommands(item: JsonObject, { name: loop, place }: FunctionName): ShellStep["commands"] {
    const seen = new Set<string>();
    return Object.entries(this.sealedMap(item, place)).map(([name, value]) => {
      const problem = commandNameProblem(name, seen);
      if (problem !== null) this.#refuse("bad-result", place, `[]${loop}: ${problem}`);
      const isText = typeof value === "string" || isObject(value) && Object.hasOwn(value, RESERVED_KEY);
      if (!isText && !isObject(value)) {
        this.#refuse("bad-result", place, `[]${loop}: the command "${name}" is ${kindOf(value)}`);
      }
      return this.#command(name, isText ? { run: value } : value as JsonObject, place);
    });
  }

  /** A mapping that a function returned, its secrets by name. */
  sealedMap(item: JsonObject, place: Place): JsonObject {
    return this.#sealed(item, place) as JsonObject;
  }

  #command(name: string, options: JsonObject, place: Place): PlanCommand {
    const problem = optionProblem(options);
    if (problem !== null) this.#refuse("bad-value", place, `the command "${name}": ${problem}`);
    return { name, ...options } as unknown as PlanCommand; // as `optionProblem` makes sure
  }

  #value(node: ValueNode): Json {
    if (node.kind === "map") return this.map(node);
    if (node.kind === "list") return node.items.map((item) => this.#value(item));
    if (node.kind === "plain") return node.value;
    const { parts, place } = node;
    const [only] = parts;
    if (parts.length === 1 && only !== undefined && typeof only !== "string") { // X2
      return this.#sealed(this.functions.evaluate(this.state, only, place, this.chain), place);
    }
    const texts = parts.map((part) => {
      if (typeof part === "string") return part;
      const value = this.functions.evaluate(this.state, part, place, this.chain);
      if (["string", "number", "boolean"].includes(typeof value)) return String(value);
      return this.#refuse(
        "bad-result",
        place,
        `{${part.text}} is ${kindOf(value)}, which does not fit in a text`,
      );
    });
    return this.#sealed(texts.join(""), place);
  }

  #sealed(value: Json, place: Place): Json {
    if (typeof value === "string") {
      return textOrSecrets(value, this.functions.secrets) as Json ??
        this.#refuse("bad-result", place, "a function cut a secret apart; pass it on whole");
    }
    if (Array.isArray(value)) return value.map((each) => this.#sealed(each, place));
    if (value === null || typeof value !== "object") return value;
    const object: JsonObject = {};
    for (const [key, each] of Object.entries(value)) {
      if (key === RESERVED_KEY) this.#refuse("bad-result", place, `the name "${RESERVED_KEY}" is reserved`);
      if (textOrSecrets(key, this.functions.secrets) !== key) {
        this.#refuse("bad-result", place, "a secret stands as a name");
      }
      setOwn(object, key, this.#sealed(each, place));
    }
    return object;
  }

  #refuse(code: NanostateCode, place: Place, reason: string): never {
    throw new NanostateError(code, place, reason, this.chain);
  }
}

/** Why these are no options of a command; null when they are. */
function optionProblem(options: JsonObject): string | null {
  if (!Object.hasOwn(options, "run")) return "it needs what it runs: run";
  for (const [key, value] of Object.entries(options)) {
    if (key === "ok") {
      const isCodes = Array.isArray(value) && value.length > 0 &&
        value.every((code) => typeof code === "number" && Number.isInteger(code) && code >= 0 && code <= 255);
      if (!isCodes) return "ok is a list of exit codes";
    } else if (key !== "run" && !Object.hasOwn(GUARDS, key)) return `"${key}" is no part of a command`;
    else if (typeof value !== "string" && !(isObject(value) && Object.hasOwn(value, RESERVED_KEY))) {
      return `${key} is ${kindOf(value)}; it is a text`;
    }
  }
  return null;
}

function isAfter(place: Place, other: Place): boolean {
  return place.line > other.line || place.line === other.line && place.column > other.column;
}

function kindOf(value: Json): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a mapping";
  return typeof value === "string" ? "a text" : `a ${typeof value}`;
}
