/**
 * A module library over files: state roots, collections and one `ansible` package.
 *
 * In: folders. Out: for the modules of a run, one archive with all Python that they need, and their other files.
 * L1 to L3 stand in library.ts.
 * L4. Folders are listed once in a library's life, files are read for each bundle: a changed module is seen at once, a new
 *     one by a new library. What was found out of a content is kept by the content's hash.
 */
import { createHash } from "node:crypto";
import type { WireAnsible, WireModuleFile } from "../agent/protocol.ts";
import { CONTENTS_REMEMBERED_MAX } from "../limits.ts";
import { partOf } from "./actions.ts";
import { type AnsiblePackage, readAnsible } from "./ansible_package.ts";
import { collectionsIn } from "./collections.ts";
import { type ModuleBundle, ModuleError, type ModuleLibrary } from "./library.ts";
import { type LibraryFiles, realFiles } from "./library_files.ts";
import { interpreterOf, latin1, moduleKind, pythonSource } from "./module_kind.ts";
import { type ModulePlaces, type Placed, placeOf } from "./module_places.ts";
import { pythonFiles, type PythonModule } from "./module_utils.ts";
import { importsOf, type PythonImport } from "./python_imports.ts";
import { type Platform, rootModules } from "./root_modules.ts";
import { zip, type ZipContent, zipContent } from "./zip.ts";

export interface LibraryOptions {
  /** State roots, first root first. Their modules are below `modules`. */
  roots: readonly string[];
  /** Folders that have `ansible_collections` in them. */
  collections: readonly string[];
  /** The folder of an `ansible` package; null for none: own modules and shell steps do not need one. */
  ansible: string | null;
  /** @default this machine's */
  files?: LibraryFiles;
}

/** @throws {ModuleError} when `ansible` is no folder of a package that is understood */
export function moduleLibrary(options: LibraryOptions): ModuleLibrary {
  const files = guarded(options.files ?? realFiles());
  const ansible = options.ansible === null ? null : readAnsible(options.ansible, files);
  const places: ModulePlaces = {
    roots: options.roots.map((root) => rootModules(root, files)),
    collection: collectionsIn(options.collections, files),
    ansible,
    files,
    searched: [...options.roots.map((root) => `${root}/modules`), ...options.collections].join(", ") ||
      "any root",
  };
  const pack = packer(places);
  return {
    action: (module) => orRefused(() => actionOf(module, places)),
    byPlatform: (modules) =>
      modules.some((module) =>
        [module, ...companionsOf(module)].some((each) => places.roots.some((root) => root.isNative(each)))
      ),
    bundle: (modules, host) => Promise.resolve().then(() => bundleOf(modules, host, places, pack)),
  };
}

function companionsOf(module: string): readonly string[] {
  const part = partOf(module);
  return "refused" in part ? [] : part.companions;
}

type Action = ReturnType<ModuleLibrary["action"]>;

function orRefused(work: () => Action): Action {
  try {
    return work();
  } catch (error) {
    if (error instanceof ModuleError) return { refused: error.message };
    throw error;
  }
}

/** @throws {ModuleError} a name that no module can have, a folder or collection that cannot be read */
function actionOf(module: string, places: ModulePlaces): Action {
  const place = placeOf(module, null, places);
  if (place.from === "collection") return collectionsPart(module, place.name, places) ?? { action: null };
  const part = partOf(place.from === null ? module : place.name);
  if (!("refused" in part)) return { action: part.action };
  return place.from === "root" ? { action: null } : part; // a root's own `debug` is not the one of Ansible's engine
}

/** Why a collection's module cannot be run; null when it can. */
function collectionsPart(
  module: string,
  name: string,
  { collection, files }: ModulePlaces,
): { refused: string } | null {
  const [namespace = "", coll = "", ...rest] = name.split(".");
  const found = collection(namespace, coll);
  const hasPart = found !== null &&
    (files.read(`${found.folder}/plugins/action/${rest.join("/")}.py`) !== null ||
      found.routing("action", rest.join(".")) !== null);
  if (!hasPart) return null;
  const reason = "its collection has a part for Ansible's own engine (plugins/action), which is not there";
  return { refused: `Cannot run ${module}: ${reason}; use shell steps, or another module` };
}

interface Packer {
  /** The archive of Python modules, with what the agent has to know of it. @throws {ModuleError} */
  (modules: readonly PythonModule[], ansible: AnsiblePackage): { wire: WireAnsible; bytes: Uint8Array };
}

function bundleOf(
  wanted: readonly string[],
  host: Platform,
  places: ModulePlaces,
  pack: Packer,
): ModuleBundle {
  const modules: Record<string, WireModuleFile> = {};
  const blobs = new Map<string, Uint8Array>();
  const python = new Map<string, PythonModule>();
  for (const [module, isNeeded] of withCompanions(wanted, places)) {
    const place = placeOf(module, host, places);
    if (place.from === null) {
      if (isNeeded) throw new ModuleError(module, `Cannot find ${module}: ${place.why}`);
      continue; // an action takes the companion that the version and the host have
    }
    const bytes = places.files.read(place.path);
    if (bytes === null) {
      throw new ModuleError(module, `Cannot read ${module}: ${place.path} was removed meanwhile`);
    }
    const kind = kindOf(module, bytes, place);
    if (kind === "python") {
      python.set(place.entry, { module, entry: place.entry, bytes: pythonSource(bytes) });
      modules[module] = { kind, entry: place.entry };
    } else {
      const blob = hashOf(bytes);
      modules[module] = {
        kind,
        blob,
        interpreter: kind === "binary" ? null : shebangOf(module, bytes, place),
      };
      blobs.set(blob, bytes);
    }
  }
  const [first] = python.values();
  if (first === undefined) return { modules, ansible: null, blobs };
  if (places.ansible === null) {
    throw new ModuleError(first.module, `Cannot bundle ${first.module}: ${NO_ANSIBLE}`);
  }
  const { wire, bytes } = pack([...python.values()], places.ansible);
  return { modules, ansible: wire, blobs: blobs.set(wire.payload, bytes) };
}

const NO_ANSIBLE =
  "it imports ansible.module_utils; install ansible-core, or name its folder by --ansible or SALAR_ANSIBLE";

/** Whole names, and whether the run fails without. @throws {ModuleError} a module that cannot be run */
function withCompanions(wanted: readonly string[], places: ModulePlaces): Map<string, boolean> {
  const all = new Map<string, boolean>();
  for (const module of wanted) {
    const answer = actionOf(module, places);
    if ("refused" in answer) throw new ModuleError(module, answer.refused);
    const part = answer.action === null ? null : partOf(`ansible.builtin.${answer.action}`);
    if (part === null || "refused" in part) all.set(module, true);
    else for (const companion of part.companions) all.set(companion, all.get(companion) ?? false);
  }
  return all;
}

function packer(places: ModulePlaces): Packer {
  const imports = new Map<string, readonly PythonImport[]>();
  const contents = new Map<string, ZipContent>();
  return (modules, ansible) => {
    if (contents.size > CONTENTS_REMEMBERED_MAX) { // files have changed many times
      imports.clear();
      contents.clear();
    }
    const { folder, routing, always, synthesized, version, entry, internal, pythonMin } = ansible;
    const files = pythonFiles(modules, always, synthesized, {
      folder,
      routing,
      collection: places.collection,
      files: places.files,
      imports: (bytes) => remembered(imports, hashOf(bytes), () => importsOf(latin1(bytes))),
    });
    const packed = [...files].map(([path, bytes]): [string, ZipContent] => [
      path,
      remembered(contents, hashOf(bytes), () => zipContent(bytes)),
    ]);
    const bytes = zip(new Map(packed));
    return { wire: { payload: hashOf(bytes), version, entry, internal, pythonMin }, bytes };
  };
}

function kindOf(module: string, bytes: Uint8Array, { path }: Placed): WireModuleFile["kind"] {
  const kind = moduleKind(bytes);
  if (kind !== "powershell") return kind;
  throw new ModuleError(
    module,
    `Cannot use ${module}: ${path} is PowerShell, and hosts are run by their shell and Python`,
  );
}

function shebangOf(module: string, bytes: Uint8Array, { path }: Placed): string {
  const interpreter = interpreterOf(bytes);
  if (interpreter !== null) return interpreter;
  throw new ModuleError(
    module,
    `Cannot use ${module}: ${path} has no #! line, so nothing tells how to run it`,
  );
}

/** L4. Imports look into the same few folders some hundred times. What cannot be read is refused by its path. */
function guarded(files: LibraryFiles): LibraryFiles {
  const listed = new Map<string, ReturnType<LibraryFiles["list"]>>();
  const reading = <T>(path: string, work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ModuleError(path, `Cannot read ${path}: ${reason}`, { cause });
    }
  };
  return {
    read: (path) => reading(path, () => files.read(path)),
    list: (folder) => remembered(listed, folder, () => reading(folder, () => files.list(folder))),
  };
}

function remembered<T>(known: Map<string, T>, key: string, make: () => T): T {
  const found = known.get(key);
  if (found !== undefined) return found;
  const made = make();
  known.set(key, made);
  return made;
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
