/** Installed collections of Ansible: the first path that has one wins. */
import { ModuleError } from "./library.ts";
import type { LibraryFiles } from "./library_files.ts";
import { NO_ROUTING, type Routing, routingOf } from "./routing.ts";

export interface Collection {
  /** `ns.coll` */
  name: string;
  folder: string;
  routing: Routing;
}

/** By namespace and name; null when no path has it. @throws {ModuleError} when its `meta/runtime.yml` is no YAML */
export type FindCollection = (namespace: string, name: string) => Collection | null;

/** @param paths folders that have `ansible_collections` in them, or are called so */
export function collectionsIn(paths: readonly string[], files: LibraryFiles): FindCollection {
  const roots = paths.map((path) =>
    /\/ansible_collections\/?$/.test(path) ? path : `${path}/ansible_collections`
  );
  const known = new Map<string, Collection | null>();
  return (namespace, name) => {
    const key = `${namespace}.${name}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    const folder = roots.map((root) => `${root}/${namespace}/${name}`).find((path) =>
      files.list(path) !== null
    );
    const collection = folder === undefined
      ? null
      : { name: key, folder, routing: readRouting(key, folder, files) };
    known.set(key, collection);
    return collection;
  };
}

function readRouting(collection: string, folder: string, files: LibraryFiles): Routing {
  const path = `${folder}/meta/runtime.yml`;
  const bytes = files.read(path);
  if (bytes === null) return NO_ROUTING;
  try {
    return routingOf(new TextDecoder().decode(bytes));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message =
      `Cannot use the collection ${collection}: ${path} cannot be read: ${reason}; install it again`;
    throw new ModuleError(collection, message, { cause });
  }
}
