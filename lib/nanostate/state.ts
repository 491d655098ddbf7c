/**
 * One state file, read: `id`, `description`, `import`, and the lines of `state` in their order.
 *
 * In: bytes. Out: the state as far as it could be read, and every finding. A state with an error is never compiled.
 * S1. What stands in the file and is not understood is an error; a text at top level is only mentioned.
 */
import type { Finding, Place } from "./errors.ts";
import { ExpressionError, readText, type TextParts } from "./expressions.ts";
import {
  type FunctionName,
  type GroupHead,
  type IncludeHead,
  readGroupLine,
  readStepLine,
  type Report,
  STATE_ID,
} from "./lines.ts";
import { moduleName } from "./module_name.ts";
import { readYaml, type YamlEntry, type YamlMap, type YamlNode } from "./yaml.ts";

/** What somebody has surely meant as one. */
const LIKE_EXPRESSION = /(?<!\\)\{[^{}]*\b(?:fact|param|secret)\(/;

export interface StateFile {
  path: string;
  /** Null when the file has none that can be used. */
  id: string | null;
  description: string;
  /** Function files whose functions the state calls by `name.function`; null without `import:`. */
  imports: FunctionName[] | null;
  lines: Line[];
  findings: Finding[];
}

export type Line = GroupLine | IncludeLine;
export type IncludeLine = IncludeHead & { place: Place };
export type GroupLine = GroupHead & { place: Place; steps: StepLine[] };
export type StepLine = ShellLine | ModuleLine;

interface StepBase {
  place: Place;
  /** A function that gives commands, or arguments, instead of what would stand below the line. */
  loop: FunctionName | null;
  conditions: FunctionName[];
}
export interface ShellLine extends StepBase {
  kind: "shell";
  commands: CommandLine[];
}
export interface ModuleLine extends StepBase {
  kind: "module";
  module: string;
  args: ValueMap;
}
export interface CommandLine {
  name: string;
  place: Place;
  /** `run` and guards, see GUARDS. */
  options: ValueMap;
}

/** What stands below a line, with its texts read. */
export type ValueNode =
  | { kind: "plain"; value: null | boolean | number; place: Place }
  | { kind: "text"; parts: TextParts; place: Place }
  | { kind: "list"; items: ValueNode[]; place: Place }
  | ValueMap;
export interface ValueMap {
  kind: "map";
  entries: { key: string; place: Place; value: ValueNode }[];
  place: Place;
}

/** Besides `run`, what a command may have, and of which type. */
export const GUARDS = {
  /** Skip when this path or pattern exists. */
  creates: "text",
  /** Skip when it does not. */
  removes: "text",
  /** Skip when this command succeeds. */
  unless: "text",
  /** Skip when it fails. */
  onlyif: "text",
  /** `never`, or a regular expression: changed when the output matches. */
  changed: "text",
  /** Exit codes that are fine. @default [0] */
  ok: "codes",
  /** Run once a host, remembered there by this key. */
  once: "text",
} as const satisfies Record<string, "text" | "codes">;

/** The key under which a text with secrets lies in a plan. */
export const RESERVED_KEY = "$text";

const EMPTY_PLACE = { line: 1, column: 1 };

export function readState(path: string, bytes: Uint8Array): StateFile {
  const { root, findings } = readYaml(path, bytes);
  const reader = new StateReader(path, findings);
  if (path.endsWith(".nst")) {
    const reason = "the suffix .nst is of old; name the file .st";
    findings.push({ severity: "warning", code: "old-suffix", place: { file: path, ...EMPTY_PLACE }, reason });
  }
  return reader.read(root);
}

class StateReader {
  #hasExpressions = false;

  constructor(readonly path: string, readonly findings: Finding[]) {}

  read(root: YamlNode | null): StateFile {
    const state: StateFile = {
      path: this.path,
      id: null,
      description: "",
      imports: null,
      lines: [],
      findings: this.findings,
    };
    const start = { file: this.path, ...EMPTY_PLACE };
    if (root?.kind !== "map") {
      if (this.findings.every(({ severity }) => severity !== "error")) {
        this.#report(
          "bad-state",
          root?.place ?? start,
          "the file is no mapping; a state begins with `id: NAME`",
        );
      }
      return state;
    }
    const named = new Map(root.entries.map((entry) => [entry.key, entry]));
    state.id = this.#id(named.get("id"), root.place);
    state.description = this.#description(named.get("description"));
    state.imports = this.#imports(named.get("import"));
    this.#hasExpressions = state.imports !== null;
    state.lines = this.#lines(named.get("state"), root.place);
    for (const entry of root.entries) this.#ignored(entry);
    return state;
  }

  #report: Report = (code, place, reason, severity = "error") => {
    this.findings.push({ severity, code, place, reason });
  };

  #ignored({ key, place, value }: YamlEntry): void {
    if (["id", "description", "import", "state"].includes(key)) return;
    if (value.kind === "scalar" && (typeof value.value === "string" || value.value === null)) {
      const reason = `"${key}" is ignored; a state has id, description, import and state`;
      this.findings.push({ severity: "warning", code: "ignored-key", place, reason });
    } else {this.#report(
        "bad-state",
        place,
        `"${key}" is no part of a state; it has id, description, import and state`,
      );}
  }

  #id(entry: YamlEntry | undefined, place: Place): string | null {
    const node = entry?.value;
    const id = node?.kind === "scalar" ? node.value : null;
    if (typeof id === "string" && STATE_ID.test(id)) return id;
    const state = id === null ? "there is none" : "it is not one word of letters, digits and _ . -";
    this.#report(
      node === undefined ? "bad-state" : "bad-name",
      node?.place ?? place,
      `the state needs an id: ${state}`,
    );
    return null;
  }

  #description(entry: YamlEntry | undefined): string {
    const node = entry?.value;
    if (node === undefined) return "";
    if (node.kind === "scalar" && (typeof node.value === "string" || node.value === null)) {
      return node.value ?? "";
    }
    this.#report("bad-state", node.place, "the description is no text");
    return "";
  }

  #imports(entry: YamlEntry | undefined): FunctionName[] | null {
    if (entry === undefined) return null;
    const node = entry.value;
    const items = node.kind === "list"
      ? node.items
      : node.kind === "scalar" && node.value === null
      ? []
      : null;
    if (items === null) {
      this.#report("bad-state", node.place, "import is a list: the names of function files without .fn");
      return [];
    }
    return items.flatMap((item) => {
      if (item.kind === "scalar" && typeof item.value === "string" && /^[A-Za-z_]\w*$/.test(item.value)) {
        return [{ name: item.value, place: item.place }];
      }
      this.#report(
        "bad-name",
        item.place,
        "import takes names of function files: letters, digits and _, without .fn",
      );
      return [];
    });
  }

  #lines(entry: YamlEntry | undefined, place: Place): Line[] {
    const node = entry?.value;
    if (node?.kind === "scalar" && node.value === null) return [];
    if (node?.kind !== "map") {
      this.#report("bad-state", node?.place ?? place, "`state:` is a mapping of groups to lists of steps");
      return [];
    }
    return node.entries.flatMap((line): Line[] => {
      const head = readGroupLine(line.key, line.place, this.#report);
      if (head === null) return [];
      if (head.kind === "group") return [{ ...head, place: line.place, steps: this.#steps(line) }];
      if (line.value.kind !== "scalar" || line.value.value !== null) {
        this.#report(
          "bad-state",
          line.value.place,
          `${head.path.text} stands alone; it brings its own steps`,
        );
      }
      return [{ ...head, place: line.place }];
    });
  }

  #steps({ key, value }: YamlEntry): StepLine[] {
    if (value.kind === "scalar" && value.value === null) return []; // only what it depends on
    if (value.kind === "list") return value.items.flatMap((item) => this.#step(item));
    this.#report(
      "bad-state",
      value.place,
      `the group "${key}" is a list of steps: lines that begin with "- "`,
    );
    return [];
  }

  #step(item: YamlNode): StepLine[] {
    const [line, second] = item.kind === "map" ? item.entries : [];
    if (line === undefined) {
      this.#report("bad-state", item.place, "a step is a module and, below it, what the module is given");
      return [];
    }
    if (second !== undefined) {
      this.#report(
        "bad-state",
        second.place,
        `a step is one module; "${second.key}" needs a "- " of its own, or to stand deeper`,
      );
    }
    const head = readStepLine(line.key, line.place, this.#report);
    if (head === null) return [];
    const { module, loop, conditions } = head;
    const base = { place: line.place, loop, conditions };
    if (module === "shell") return [{ kind: "shell", ...base, commands: this.#commands(line, loop) }];
    const name = moduleName(module);
    if (name === null) {
      this.#report("bad-line", line.place, `"${module}" is no module; for Ansible's write ansible.${module}`);
      return [];
    }
    if (name.oddFolder !== undefined) {
      const reason = `Ansible has no folder "${name.oddFolder}"; taken as ${name.name}`;
      this.findings.push({ severity: "warning", code: "unknown-folder", place: line.place, reason });
    }
    return [{ kind: "module", ...base, module: name.name, args: this.#args(line, loop) }];
  }

  #args({ value }: YamlEntry, loop: FunctionName | null): ValueMap {
    const none: ValueMap = { kind: "map", entries: [], place: value.place };
    if (value.kind === "scalar" && value.value === null) return none;
    if (loop !== null) {
      this.#report("bad-state", value.place, `[]${loop.name} gives the arguments; nothing stands below it`);
    } else if (value.kind === "map") return this.#map(value);
    else this.#report("bad-state", value.place, "a module is given a mapping of arguments");
    return none;
  }

  #commands({ value }: YamlEntry, loop: FunctionName | null): CommandLine[] {
    if (loop !== null) {
      if (value.kind === "scalar" && value.value === null) return [];
      this.#report("bad-state", value.place, `[]${loop.name} gives the commands; nothing stands below it`);
      return [];
    }
    if (value.kind !== "list" || value.items.length === 0) {
      this.#report(
        "bad-state",
        value.place,
        "shell is given a list of commands, each with a name: `- uptime: uptime`",
      );
      return [];
    }
    const seen = new Set<string>();
    return value.items.flatMap((item) => this.#command(item, seen));
  }

  #command(item: YamlNode, seen: Set<string>): CommandLine[] {
    const [entry, second] = item.kind === "map" ? item.entries : [];
    if (entry === undefined || second !== undefined) {
      this.#report("bad-state", second?.place ?? item.place, "a command has one name: `- uptime: uptime`");
      return [];
    }
    const { key: name, place, value } = entry;
    const wrong = commandNameProblem(name, seen);
    if (wrong !== null) this.#report("bad-name", place, wrong);
    seen.add(name);
    const options = value.kind === "map" ? this.#map(value) : this.#map({
      kind: "map",
      entries: [{ key: "run", place: value.place, value }],
      place: value.place,
    });
    this.#checkOptions(options, place);
    return [{ name, place, options }];
  }

  /** Types that are known before expressions are evaluated; the compiler looks at the others. */
  #checkOptions({ entries }: ValueMap, place: Place): void {
    if (!entries.some(({ key }) => key === "run")) {
      this.#report("bad-state", place, "a command needs what it runs: `run: …`");
    }
    for (const { key, place, value } of entries) {
      if (key !== "run" && !Object.hasOwn(GUARDS, key)) {
        this.#report(
          "bad-state",
          place,
          `"${key}" is no part of a command; it has run, ${Object.keys(GUARDS).join(", ")}`,
        );
      } else if (key !== "ok" && value.kind !== "text") {
        this.#report("bad-value", value.place, `${key} is a text; quote it`);
      } else if (key === "ok" && !isCodes(value)) {
        this.#report("bad-value", value.place, "ok is a list of exit codes: [0, 2]");
      }
    }
  }

  #map({ entries, place }: YamlMap): ValueMap {
    for (const { key, place } of entries) {
      if (key === RESERVED_KEY) this.#report("bad-value", place, `the name "${RESERVED_KEY}" is reserved`);
    }
    return {
      kind: "map",
      entries: entries.map((entry) => ({ ...entry, value: this.#value(entry.value) })),
      place,
    };
  }

  #value(node: YamlNode): ValueNode {
    const { place } = node;
    if (node.kind === "map") return this.#map(node);
    if (node.kind === "list") {
      return {
        kind: "list",
        items: node.items.map((item) => this.#value(item)),
        place,
      };
    }
    if (typeof node.value !== "string") return { kind: "plain", value: node.value, place };
    return { kind: "text", parts: this.#text(node.value, place), place };
  }

  #text(text: string, place: Place): TextParts {
    let parts: TextParts = [text];
    try {
      if (this.#hasExpressions) parts = readText(text, place);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      this.#report("bad-value", place, error.message);
    }
    const unread = parts.reduce<string>(
      (rest, part) => typeof part === "string" ? rest : rest.replace(`{${part.text}}`, ""),
      text,
    );
    if (LIKE_EXPRESSION.test(unread)) {
      const reason = this.#hasExpressions
        ? "this stays as it is: an expression is `{call(args)}`, and texts are joined outside the braces"
        : "this stays as it is: expressions are read in states with `import:`; `import: []` is enough";
      this.findings.push({ severity: "warning", code: "unread-expression", place, reason });
    }
    return parts;
  }
}

/** Why a command cannot be called so; null when it can. */
export function commandNameProblem(name: string, seen: ReadonlySet<string>): string | null {
  if (name === "") return "a command needs a name";
  // Results are a mapping by name, and JavaScript would put such names first.
  if (/^(0|[1-9]\d*)$/.test(name)) return `a command's name cannot be a number: "${name}"`;
  return seen.has(name) ? `two commands of one step are called "${name}"` : null;
}

function isCodes(value: ValueNode): boolean {
  return value.kind === "list" && value.items.length > 0 &&
    value.items.every((item) =>
      item.kind === "plain" && typeof item.value === "number" && Number.isInteger(item.value) &&
      item.value >= 0 &&
      item.value <= 255
    );
}
