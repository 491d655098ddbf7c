/**
 * All Python files that a set of modules imports from `ansible.module_utils` and from collections.
 *
 * In: modules with their whole Python names, and how a name is found. Out: files by their paths in the archive.
 * U1. Exactly what the engine packs for each of the modules (tests/nanostate/modules_files_test.ts compares). Imports of
 *     other packages are the host's own.
 * U2. An import inside anything (`try`, `if`, a function) may be missing; one at the top level may not.
 * Source: ansible-core, `executor/module_common.py`, `recursive_finder` and `ModuleDepFinder`.
 */
import { IMPORTS_MAX } from "../limits.ts";
import type { Collection, FindCollection } from "./collections.ts";
import { ModuleError } from "./library.ts";
import type { LibraryFiles } from "./library_files.ts";
import type { PythonImport } from "./python_imports.ts";
import type { Routing } from "./routing.ts";

export interface PythonModule {
  /** Of the state language, for errors. */
  module: string;
  /** `ansible.modules.apt` */
  entry: string;
  bytes: Uint8Array;
}

export interface PythonPlaces {
  /** Of the `ansible` package. */
  folder: string;
  routing: Routing;
  collection: FindCollection;
  files: LibraryFiles;
  /** The imports of a content; remembered by the caller. */
  imports(bytes: Uint8Array): readonly PythonImport[];
}

interface Located {
  bytes: Uint8Array;
  isPackage: boolean;
  /** It only says where it is now. Packages above it may exist nowhere. */
  isRedirect: boolean;
}

/** A name that has to be found. */
interface Wanted {
  name: string;
  /** The last part may be a name in the module instead of a module. */
  isAmbiguous: boolean;
  isRequired: boolean;
  /** Above a redirected one: an empty package will do. */
  isAboveRedirect: boolean;
}

const UTILS = "ansible.module_utils";
const COLLECTIONS = "ansible_collections";
/** `ansible_collections.NS.COLL.plugins.module_utils` */
const COLLECTION_UTILS_PARTS = 5;
const EMPTY = new Uint8Array();

/**
 * @param always names that are added in any case. @param synthesized paths that are there already
 * @throws {ModuleError} an import at the top level that is nowhere
 */
export function pythonFiles(
  modules: readonly PythonModule[],
  always: readonly string[],
  synthesized: ReadonlyMap<string, string>,
  places: PythonPlaces,
): Map<string, Uint8Array> {
  const packed = new Map<string, Uint8Array>();
  for (const [path, text] of synthesized) packed.set(path, new TextEncoder().encode(text));
  const done = new Set<string>([UTILS]);
  for (const { module, entry, bytes } of modules) {
    packed.set(`${entry.replaceAll(".", "/")}.py`, bytes);
    for (const above of ancestorsOf(entry)) {
      addAbsent(packed, `${above.replaceAll(".", "/")}/__init__.py`, EMPTY);
    }

    const exact = { isAmbiguous: false, isRequired: true, isAboveRedirect: false };
    const queue = [
      ...always.map((name) => ({ name, ...exact })),
      ...wantedBy(entry, false, bytes, true, places),
    ];
    addImports(module, queue, done, packed, places);
  }
  return packed;
}

function addImports(
  module: string,
  queue: Wanted[],
  done: Set<string>,
  packed: Map<string, Uint8Array>,
  places: PythonPlaces,
): void {
  for (let wanted = queue.pop(); wanted !== undefined; wanted = queue.pop()) {
    if (done.has(wanted.name)) continue;
    const found = locate(module, wanted, places);
    if (found === null) {
      if (wanted.isRequired) throw new ModuleError(module, notFound(module, wanted.name, places));
      continue;
    }
    const { name, located } = found;
    done.add(wanted.name);
    if (name !== wanted.name && done.has(name)) continue;
    done.add(name);
    addAbsent(
      packed,
      `${name.replaceAll(".", "/")}${located.isPackage ? "/__init__" : ""}.py`,
      located.bytes,
    );
    if (packed.size > IMPORTS_MAX) {
      throw new ModuleError(module, `Cannot bundle ${module}: it imports more than ${IMPORTS_MAX} files`);
    }

    // What an optional redirect points to is optional, too.
    const isStrict = wanted.isRequired || !located.isRedirect;
    queue.push(...wantedBy(name, located.isPackage, located.bytes, isStrict, places));
    for (const above of ancestorsOf(name)) {
      const isAboveRedirect = located.isRedirect;
      queue.push({ name: above, isAmbiguous: false, isRequired: wanted.isRequired, isAboveRedirect });
    }
  }
}

function locate(
  module: string,
  wanted: Wanted,
  places: PythonPlaces,
): { name: string; located: Located } | null {
  const candidates = candidatesOf(wanted);
  for (const name of candidates) {
    const located = name.startsWith(COLLECTIONS)
      ? locateInCollection(module, name, places)
      : locateBuiltin(module, name, places);
    if (located !== null) return { name, located };
  }
  const last = candidates.at(-1);
  if (!wanted.isAboveRedirect || last === undefined) return null;
  return { name: last, located: { bytes: EMPTY, isPackage: true, isRedirect: false } };
}

function candidatesOf({ name, isAmbiguous }: Wanted): string[] {
  // six makes its submodules while it runs: all of them are in one file.
  if (name.startsWith(`${UTILS}.six.`)) return [`${UTILS}.six`];
  const parts = name.split(".");
  const rest = parts.length - (parts[0] === COLLECTIONS ? COLLECTION_UTILS_PARTS : UTILS.split(".").length);
  return isAmbiguous && rest > 1 ? [name, parts.slice(0, -1).join(".")] : [name];
}

/** Own files first: what a version still has is not looked for elsewhere. */
function locateBuiltin(module: string, name: string, places: PythonPlaces): Located | null {
  const below = name.split(".").slice(2);
  return readPython(`${places.folder}/module_utils`, below, places.files) ??
    redirected(module, name, below, places.routing);
}

/** Redirects first. */
function locateInCollection(module: string, name: string, places: PythonPlaces): Located | null {
  const parts = name.split(".");
  // Packages down to module_utils have to be there; what is in them is the controller's.
  if (parts.length <= COLLECTION_UTILS_PARTS) return { bytes: EMPTY, isPackage: true, isRedirect: false };
  const collection = collectionOf(parts, places);
  if (collection === null) return null;
  const below = parts.slice(COLLECTION_UTILS_PARTS);
  return redirected(module, name, below, collection.routing) ??
    readPython(`${collection.folder}/plugins/module_utils`, below, places.files);
}

function readPython(folder: string, below: readonly string[], files: LibraryFiles): Located | null {
  const parent = [folder, ...below.slice(0, -1)].join("/");
  const last = below.at(-1);
  const entries = last === undefined ? null : files.list(parent);
  if (entries === null) return null;
  if (entries.some(({ name, isFolder }) => isFolder && name === last)) {
    const bytes = files.read(`${parent}/${last}/__init__.py`);
    if (bytes !== null) return { bytes, isPackage: true, isRedirect: false };
  }
  if (!entries.some(({ name }) => name === `${last}.py`)) return null;
  const bytes = files.read(`${parent}/${last}.py`);
  return bytes === null ? null : { bytes, isPackage: false, isRedirect: false };
}

function redirected(
  module: string,
  name: string,
  below: readonly string[],
  routing: Routing,
): Located | null {
  const route = routing("module_utils", below.join("."));
  if (route === null) return null;
  if (route.removed !== null) {
    throw new ModuleError(
      module,
      `Cannot bundle ${module}: ${name}, which it imports, was removed: ${route.removed}`,
    );
  }
  if (route.redirect === null) return null;
  const [namespace, collection, ...rest] = route.redirect.split(".");
  const target = namespace === COLLECTIONS
    ? route.redirect
    : [COLLECTIONS, namespace, collection, "plugins.module_utils", ...rest].join(".");
  const shim = `import sys\nimport ${target} as mod\n\nsys.modules['${name}'] = mod\n`;
  return { bytes: new TextEncoder().encode(shim), isPackage: true, isRedirect: true };
}

/** What a file imports of these two roots. */
function wantedBy(
  name: string,
  isPackage: boolean,
  bytes: Uint8Array,
  isStrict: boolean,
  places: PythonPlaces,
): Wanted[] {
  return places.imports(bytes).flatMap((statement) =>
    namesOf(statement, name, isPackage).map((wanted) => ({
      name: wanted,
      isAmbiguous: true,
      isRequired: statement.required && isStrict,
      isAboveRedirect: false,
    }))
  );
}

function namesOf({ from, level, names }: PythonImport, importer: string, isPackage: boolean): string[] {
  if (from === null) return names.filter(isOurs);
  if (names[0] === "_six") return []; // as the engine: an old name of six's inside
  const parts = importer.split(".");
  const base = level === 0 ? [] : parts.slice(0, Math.max(0, parts.length - level + (isPackage ? 1 : 0)));
  const module = [...base, ...(from === "" ? [] : [from])].join(".");
  return names.map((name) => `${module}.${name}`).filter(isOurs);
}

function isOurs(name: string): boolean {
  if (name.startsWith(`${UTILS}.`)) return true;
  const [first, , , plugins, kind, ...rest] = name.split(".");
  return first === COLLECTIONS && plugins === "plugins" && kind === "module_utils" && rest.length > 0;
}

function ancestorsOf(name: string): string[] {
  const parts = name.split(".");
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join(".")).filter((above) =>
    above !== "ansible"
  );
}

function collectionOf(
  [, namespace = "", name = ""]: readonly string[],
  { collection }: PythonPlaces,
): Collection | null {
  return collection(namespace, name);
}

function addAbsent(packed: Map<string, Uint8Array>, path: string, bytes: Uint8Array): void {
  if (!packed.has(path)) packed.set(path, bytes);
}

function notFound(module: string, name: string, places: PythonPlaces): string {
  const parts = name.split(".");
  if (parts[0] !== COLLECTIONS) {
    return `Cannot bundle ${module}: it imports ${name}, which ${places.folder} has not; use the version that it is made for`;
  }
  const collection = parts.slice(1, 3).join(".");
  const state = collectionOf(parts, places) === null
    ? `the collection ${collection} is in no path`
    : "it is not there";
  return `Cannot bundle ${module}: it imports ${name}, and ${state}; install ${collection}`;
}
