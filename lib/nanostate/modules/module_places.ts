/**
 * Which file a module is: state roots, then its collection, then the `ansible` package.
 *
 * M1. The first that has a module wins (L1 of library.ts). A name that moved is followed to where it is now.
 * Source: ansible-core, `plugins/loader.py`. Redirects of builtin modules are read only where the package has no file of
 *     that name: no version has both.
 */
import { REDIRECTS_MAX } from "../limits.ts";
import type { AnsiblePackage } from "./ansible_package.ts";
import type { FindCollection } from "./collections.ts";
import { ModuleError } from "./library.ts";
import type { LibraryFiles } from "./library_files.ts";
import type { Platform, RootModules } from "./root_modules.ts";
import type { Route } from "./routing.ts";

export interface ModulePlaces {
  roots: readonly RootModules[];
  collection: FindCollection;
  ansible: AnsiblePackage | null;
  files: LibraryFiles;
  /** For errors. */
  searched: string;
}

/** Where a module is. */
export interface Placed {
  from: "root" | "collection" | "ansible";
  /** Whole name, of where its name led to. */
  name: string;
  path: string;
  /** Its name for Python's `import`: `ansible.modules.apt`. */
  entry: string;
}
/** `why`: for people, with what to do. */
export type ModulePlace = Placed | { from: null; why: string };

/** @param host null: only whether there is one. @throws {ModuleError} a name that no module can have */
export function placeOf(module: string, host: Platform | null, places: ModulePlaces): ModulePlace {
  let name = module;
  for (let moves = 0; moves <= REDIRECTS_MAX; moves++) {
    const step = lookAt(name, host, places);
    if (!("redirect" in step)) return step;
    name = step.redirect;
  }
  return {
    from: null,
    why: `its name was moved more than ${REDIRECTS_MAX} times; install its collection again`,
  };
}

function lookAt(
  name: string,
  host: Platform | null,
  places: ModulePlaces,
): ModulePlace | { redirect: string } {
  if (!/^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*){2,}$/.test(name)) {
    throw new ModuleError(name, `Cannot use ${name}: modules have names like ansible.builtin.copy`);
  }
  const [namespace = "", collection = "", ...rest] = name.split(".");
  const isBuiltin = namespace === "ansible" && (collection === "builtin" || collection === "legacy");
  const entry = isBuiltin
    ? `ansible.modules.${rest.join(".")}`
    : `ansible_collections.${namespace}.${collection}.plugins.modules.${rest.join(".")}`;
  for (const root of places.roots) {
    const path = root.find(name, host);
    if (path !== null) return { from: "root", name, path, entry };
  }
  return isBuiltin
    ? inPackage(name, rest.join("/"), entry, places)
    : inCollection(name, `${namespace}.${collection}`, rest, entry, places);
}

function inPackage(
  name: string,
  file: string,
  entry: string,
  { ansible, files, searched }: ModulePlaces,
): ModulePlace | { redirect: string } {
  if (ansible === null) {
    const advice = "install ansible-core, or name its folder by --ansible or SALAR_ANSIBLE";
    return {
      from: null,
      why: `it is not in ${searched}, and there is no ansible to take it from; ${advice}`,
    };
  }
  const path = findFile(`${ansible.folder}/modules`, file, files);
  if (path !== null) return { from: "ansible", name, path, entry };
  return routed(ansible.routing("modules", file)) ??
    { from: null, why: `it is neither in ${searched} nor in ansible ${ansible.version}` };
}

function inCollection(
  name: string,
  collection: string,
  rest: readonly string[],
  entry: string,
  places: ModulePlaces,
): ModulePlace | { redirect: string } {
  const [namespace = "", coll = ""] = collection.split(".");
  const found = places.collection(namespace, coll);
  if (found === null) {
    return { from: null, why: `${name} is not in ${places.searched}; install the collection ${collection}` };
  }
  const move = routed(found.routing("modules", rest.join(".")));
  if (move !== null) return move;
  const path = findFile(`${found.folder}/plugins/modules`, rest.join("/"), places.files);
  if (path !== null) return { from: "collection", name, path, entry };
  return { from: null, why: `the collection at ${found.folder} has no module ${rest.join(".")}` };
}

function routed(route: Route | null): ModulePlace | { redirect: string } | null {
  if (route === null) return null;
  if (route.removed !== null) return { from: null, why: `it was removed: ${route.removed}` };
  return route.redirect === null ? null : { redirect: route.redirect };
}

/** Python first; else the first of any other suffix. */
function findFile(folder: string, file: string, files: LibraryFiles): string | null {
  const parts = file.split("/");
  const last = parts.pop();
  const parent = [folder, ...parts].join("/");
  const names = (files.list(parent) ?? []).filter(({ isFolder }) => !isFolder).map(({ name }) => name)
    .filter((name) => name === last || name.replace(/\.\w+$/, "") === last)
    .filter((name) => !/\.(?:pyc|pyo|md|rst|ya?ml)$/.test(name));
  const chosen = names.find((name) => name === `${last}.py`) ?? names[0];
  return chosen === undefined ? null : `${parent}/${chosen}`;
}
