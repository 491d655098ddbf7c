/**
 * Which files of this machine a state is read from: the folder of the file that was named, `--root` folders in their order,
 * and for states that are run the folder of those that ship.
 */
import { basename, dirname, join, normalize } from "node:path";
import { SalarError } from "../lib/errors.ts";
import { findingText } from "../lib/nanostate/lint.ts";
import {
  FUNCTION_SUFFIX,
  indexStates,
  type SourceFile,
  STATE_SUFFIXES,
  type StateIndex,
} from "../lib/nanostate/state_index.ts";
import type { Given } from "./command.ts";
import { absolute } from "./settings.ts";
import type { World } from "./world.ts";

export interface NamedState {
  index: StateIndex;
  id: string;
  /** Folders that were looked at, first root first. */
  roots: readonly string[];
}

/** @throws {SalarError} `bad-input` for a file that is no state, `not-found` */
export async function readStateFile(
  world: World,
  file: string,
  roots: readonly string[],
): Promise<NamedState> {
  const path = normalize(file);
  const index = await readIndex(world, [path], roots);
  const found = index.states.find((state) => state.path === path);
  if (found === undefined) throw new SalarError("bad-input", `Cannot read ${path}: a state is a .st file`);
  const problem = found.findings.find(({ severity }) => severity === "error") ?? index.clash(found.id ?? "");
  if (found.id !== null && problem === null) {
    return { index, id: found.id, roots: foldersOf([path], roots) };
  }
  const reason = problem === null ? `${path}: it has no id` : findingText(problem);
  throw new SalarError("bad-input", `Cannot use this state: ${reason}`, {
    detail: { hint: `See everything that is wrong: salar state lint ${path}` },
  });
}

/** A path of a .st file, or an id. @throws {SalarError} `bad-input`, `not-found` */
export async function readState(world: World, name: string, roots: readonly string[]): Promise<NamedState> {
  const isPath = name.includes("/") || STATE_SUFFIXES.some((suffix) => name.endsWith(suffix));
  if (isPath) return await readStateFile(world, name, roots);
  const index = await readIndex(world, [], roots);
  if (index.state(name) !== null) return { index, id: name, roots };
  const ids = index.states.flatMap(({ id }) => id ?? []).sort().join(", ") || "none";
  throw new SalarError(
    "not-found",
    `Cannot find the state "${name}" in ${roots.join(", ")}; there are: ${ids}`,
  );
}

/** @param paths files that must be there @param roots further folders @throws {SalarError} `bad-input`, `not-found` */
export async function readIndex(
  world: World,
  paths: readonly string[],
  roots: readonly string[],
): Promise<StateIndex> {
  const files: SourceFile[] = [];
  for (const folder of foldersOf(paths, roots)) files.push(...await readFolder(world, folder));
  const missing = paths.find((path) => !files.some((file) => file.path === path));
  if (missing === undefined) return indexStates(files);
  if (await world.disk.read(absolute(world, missing)) === null) {
    throw new SalarError("not-found", `Cannot read ${missing}: there is no such file`);
  }
  const suffixes = [...STATE_SUFFIXES, FUNCTION_SUFFIX].join(", ");
  throw new SalarError("bad-input", `Cannot read ${basename(missing)}: names of states end in ${suffixes}`);
}

export function rootsOf(given: Given): readonly string[] {
  const roots = given["root"];
  return Array.isArray(roots) ? roots.map((root) => normalize(String(root))) : [];
}

function foldersOf(paths: readonly string[], roots: readonly string[]): string[] {
  return [...new Set([...paths.map((path) => dirname(path)), ...roots])];
}

async function readFolder(world: World, folder: string): Promise<SourceFile[]> {
  const suffixes = [...STATE_SUFFIXES, FUNCTION_SUFFIX];
  const names = (await world.disk.list(absolute(world, folder))).filter((name) =>
    suffixes.some((suffix) => name.endsWith(suffix))
  );
  const files = await Promise.all(names.map(async (name) => {
    const path = join(folder, name);
    return { path, bytes: await world.disk.read(absolute(world, path)) };
  }));
  return files.flatMap(({ path, bytes }) => bytes === null ? [] : [{ path, bytes }]); // null: removed meanwhile
}
