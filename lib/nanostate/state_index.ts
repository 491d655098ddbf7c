/**
 * Where states and function files are found: files of some roots, read once and kept.
 *
 * In: files, in the order of their roots. Nothing is read from a disk here.
 * I1. Two files of one folder with the same id are an error. Of several roots the first wins, which is mentioned.
 * I2. `NAME.fn` beside `NAME.st` holds the state's own functions; by its name it is a library for all states.
 */
import { type Finding, placeText } from "./errors.ts";
import { isFailure, type LoadFailure, loadProgram, type Program } from "./lua/program.ts";
import { readState, type StateFile } from "./state.ts";

export interface SourceFile {
  path: string;
  bytes: Uint8Array;
}

export interface FunctionFile {
  path: string;
  loaded: Program | LoadFailure;
}

export interface StateIndex {
  /** Every file that is a state, in the order given. */
  readonly states: readonly StateFile[];
  /** Findings that concern more than one file. */
  readonly findings: readonly Finding[];
  state(id: string): StateFile | null;
  /** Why it is not clear which state an id means; null when it is. */
  clash(id: string): Finding | null;
  /** A function file by its path. */
  script(path: string): FunctionFile | null;
  /** The functions that lie beside a state. */
  functions(state: StateFile): FunctionFile | null;
  library(name: string): FunctionFile | null;
}

export const STATE_SUFFIXES = [".st", ".nst"] as const;
export const FUNCTION_SUFFIX = ".fn";

/** @param files of all roots, first root first; files of other suffixes are passed over */
export function indexStates(files: readonly SourceFile[]): StateIndex {
  const states = files.filter(({ path }) => STATE_SUFFIXES.some((suffix) => path.endsWith(suffix)))
    .map(({ path, bytes }) => readState(path, bytes));
  const scripts = new Map(
    files.filter(({ path }) => path.endsWith(FUNCTION_SUFFIX)).map((file) => [file.path, file]),
  );
  const libraries = new Map([...scripts.keys()].reverse().map((path) => [baseOf(path), path])); // the first wins
  const loaded = new Map<string, FunctionFile>();
  const script = (path: string): FunctionFile | null => {
    const file = scripts.get(path);
    if (file === undefined) return null;
    const known = loaded.get(path) ?? { path, loaded: loadBytes(file) };
    loaded.set(path, known);
    return known;
  };
  const { byId, clashes, findings } = sorted(states);
  return {
    states,
    findings,
    state: (id) => byId.get(id) ?? null,
    clash: (id) => clashes.get(id) ?? null,
    script,
    functions: ({ path }) => script(withoutSuffix(path) + FUNCTION_SUFFIX),
    library: (name) => script(libraries.get(name) ?? ""),
  };
}

function loadBytes({ path, bytes }: SourceFile): Program | LoadFailure {
  try {
    return loadProgram(path, new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { line: 1, column: 1, reason: "the file is not UTF-8; store it so" };
  }
}

interface Sorted {
  byId: Map<string, StateFile>;
  clashes: Map<string, Finding>;
  findings: Finding[];
}

function sorted(states: readonly StateFile[]): Sorted {
  const byId = new Map<string, StateFile>();
  const clashes = new Map<string, Finding>();
  const findings: Finding[] = [];
  for (const state of states) {
    if (state.id === null) continue;
    const first = byId.get(state.id);
    const place = { file: state.path, line: 1, column: 1 };
    if (first === undefined) byId.set(state.id, state);
    else if (folderOf(first.path) === folderOf(state.path)) { // I1
      const reason = `the id "${state.id}" is taken by ${
        placeText({ ...place, file: first.path })
      }; change one of them`;
      const finding: Finding = { severity: "error", code: "duplicate-id", place, reason };
      clashes.set(state.id, finding);
      findings.push(finding);
    } else {
      const reason =
        `the id "${state.id}" is that of ${first.path}, which comes first; this file is not used`;
      findings.push({ severity: "warning", code: "shadowed-id", place, reason });
    }
  }
  return { byId, clashes, findings };
}

export function isLoaded(file: FunctionFile): file is FunctionFile & { loaded: Program } {
  return !isFailure(file.loaded);
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/") + 1);
}

function withoutSuffix(path: string): string {
  return path.replace(/\.[^./]+$/, "");
}

function baseOf(path: string): string {
  return withoutSuffix(path.slice(path.lastIndexOf("/") + 1));
}
