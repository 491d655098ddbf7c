/**
 * What this machine has of Ansible: an installed package and paths of collections. Only files are looked at; no Python
 * is started, since a controller may have none.
 *
 * Order: the folder that was named, else SALAR_ANSIBLE, else $VIRTUAL_ENV, else the newest version of the usual places.
 */
import { readAnsible } from "./ansible_package.ts";
import { ModuleError, type ModuleLibrary } from "./library.ts";
import { type LibraryFiles, realFiles } from "./library_files.ts";
import { moduleLibrary } from "./module_library.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** Folders that have `pythonX.Y/{site,dist}-packages`, or a `venvs/*` of pipx with them; ~ is the home. */
const PREFIXES = [
  "/usr/lib",
  "/usr/lib64",
  "/usr/local/lib",
  "/usr/local/lib64",
  "~/.local/lib",
  "/opt/ansible/lib",
];
const PIPX = ["~/.local/share/pipx/venvs", "~/.local/pipx/venvs", "/opt/pipx/venvs"];
const PACKAGES = ["site-packages", "dist-packages"];

/**
 * The library of this machine.
 * @param named a folder: a virtual environment, its `site-packages`, or the package itself
 * @throws {ModuleError} when the folder that was named, or SALAR_ANSIBLE, has no ansible
 */
export function installedLibrary(
  { roots, named, env }: { roots: readonly string[]; named?: string | undefined; env: Environment },
): ModuleLibrary {
  const files = realFiles();
  const ansible = findAnsible({ named, env, files });
  return moduleLibrary({ roots, collections: collectionPaths(ansible, env), ansible, files });
}

/** The folder of a package `ansible`; null when there is none. @throws {ModuleError} see above */
export function findAnsible(
  { named, env, files }: { named?: string | undefined; env: Environment; files: LibraryFiles },
): string | null {
  const wanted = named ?? env["SALAR_ANSIBLE"];
  if (wanted !== undefined && wanted !== "") {
    const [found] = packagesIn(wanted, files);
    if (found !== undefined) return found;
    const advice = "name a virtual environment, its site-packages, or the folder of the package";
    throw new ModuleError("ansible", `Cannot find ansible at ${wanted}: there is no release.py; ${advice}`);
  }
  return searched(env, readable(files));
}

function searched(env: Environment, files: LibraryFiles): string | null {
  const home = env["HOME"] ?? "/root";
  const atHome = (path: string) => path.replace(/^~/, home);
  const [ofEnvironment] = env["VIRTUAL_ENV"] === undefined ? [] : packagesIn(env["VIRTUAL_ENV"], files);
  if (ofEnvironment !== undefined) return ofEnvironment;

  const environments = PIPX.map(atHome).flatMap((venvs) =>
    (files.list(venvs) ?? []).map(({ name }) => `${venvs}/${name}/lib`)
  );
  const found = [...PREFIXES.map(atHome), ...environments].flatMap((lib) => packagesBelow(lib, files));
  const known = found.flatMap((folder) => versionOf(folder, files)).sort((a, b) =>
    newerFirst(a.version, b.version)
  );
  return known[0]?.folder ?? null;
}

/** Folders that may have `ansible_collections` in them, in Ansible's order. */
export function collectionPaths(ansible: string | null, env: Environment): string[] {
  const home = env["HOME"] ?? "/root";
  const set = env["ANSIBLE_COLLECTIONS_PATH"] ?? env["ANSIBLE_COLLECTIONS_PATHS"];
  const paths = set === undefined || set === ""
    ? [`${home}/.ansible/collections`, "/usr/share/ansible/collections"]
    : set.split(":").filter((path) => path !== "").map((path) => path.replace(/^~(?=\/|$)/, home));
  return ansible === null ? paths : [...paths, ansible.replace(/\/ansible\/?$/, "")];
}

function packagesIn(folder: string, files: LibraryFiles): string[] {
  const direct = [folder, `${folder}/ansible`].filter((path) => files.read(`${path}/release.py`) !== null);
  return [...direct, ...packagesBelow(`${folder}/lib`, files), ...packagesBelow(`${folder}/lib64`, files)];
}

function packagesBelow(lib: string, files: LibraryFiles): string[] {
  const pythons = (files.list(lib) ?? []).filter(({ name }) => /^python3(?:\.\d+)?$/.test(name));
  return pythons.flatMap(({ name }) => PACKAGES.map((packages) => `${lib}/${name}/${packages}/ansible`))
    .filter((path) => files.read(`${path}/release.py`) !== null);
}

/** One that is not understood is passed over: another may do. */
function versionOf(folder: string, files: LibraryFiles): { folder: string; version: number[] }[] {
  try {
    return [{
      folder,
      version: readAnsible(folder, files).version.split(".").map((part) => parseInt(part) || 0),
    }];
  } catch (error) {
    if (error instanceof ModuleError) return [];
    throw error;
  }
}

/** A search looks into folders that may be somebody else's. */
function readable(files: LibraryFiles): LibraryFiles {
  const orNull = <T>(work: () => T | null): T | null => {
    try {
      return work();
    } catch {
      return null;
    }
  };
  return {
    read: (path) => orNull(() => files.read(path)),
    list: (folder) => orNull(() => files.list(folder)),
  };
}

function newerFirst(a: readonly number[], b: readonly number[]): number {
  const index = a.findIndex((part, at) => part !== b[at]);
  return index < 0 ? 0 : (b[index] ?? 0) - (a[index] ?? 0);
}
