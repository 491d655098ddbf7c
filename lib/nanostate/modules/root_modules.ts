/**
 * Own modules of a state root: `modules/bin/SYSTEM/MACHINE/…/NAME` for one platform, else `modules/…/NAME.*` for all.
 *
 * R1. Within a root a platform's own file wins; folders between are for people, and a collection's name: `ns.coll.x` is
 *     `…/ns/coll/x.*`, every other name is the file's alone.
 * R2. Folders are listed once; contents are read whenever they are asked for.
 */
import type { AgentInfo } from "../agent/protocol.ts";
import { MODULE_DEPTH_MAX, MODULE_FILES_MAX } from "../limits.ts";
import { ModuleError } from "./library.ts";
import type { LibraryFiles } from "./library_files.ts";

export type Platform = Pick<AgentInfo, "system" | "machine">;

export interface RootModules {
  /** Its path, or null. `host` null: of any platform. @throws {ModuleError} two files of one root that it could be */
  find(module: string, host: Platform | null): string | null;
  /** Whether some platform has its own. @throws {ModuleError} */
  isNative(module: string): boolean;
}

export function rootModules(root: string, files: LibraryFiles): RootModules {
  const folder = `${root}/modules`;
  let listed: readonly string[] | null = null;
  const named = (module: string) =>
    (listed ??= listAll(folder, files)).filter((path) => isNamed(path, module));
  return {
    isNative: (module) => named(module).some(isNative),
    find(module, host) {
      const paths = named(module);
      const native = paths.filter((path) =>
        isNative(path) && (host === null || path.startsWith(`bin/${host.system}/${host.machine}/`))
      );
      const shared = paths.filter((path) => !isNative(path));
      const [first, second] = host !== null && native.length > 0 ? native : [...shared, ...native];
      if (first === undefined) return null;
      if (second === undefined || host === null) return `${folder}/${first}`;
      const reason = `${folder} has it twice, as ${first} and as ${second}`;
      throw new ModuleError(module, `Cannot use ${module}: ${reason}; rename or remove one`);
    },
  };
}

function isNative(path: string): boolean {
  return path.startsWith("bin/");
}

function isNamed(path: string, module: string): boolean {
  const parts = path.split("/");
  const file = (parts.pop() ?? "").replace(/\.\w+$/, "");
  const [namespace, collection, ...rest] = module.split(".");
  const name = rest.pop();
  if (namespace === "ansible" && collection === "builtin") return file === name;
  const folders = [namespace, collection, ...rest].join("/");
  return file === name && (parts.join("/") === folders || parts.join("/").endsWith(`/${folders}`));
}

/** Paths below a folder. Compiled Python is not a module. */
function listAll(folder: string, files: LibraryFiles): string[] {
  const found: string[] = [];
  const walk = (below: string, depth: number) => {
    for (const { name, isFolder } of files.list(`${folder}/${below}`) ?? []) {
      if (name === "__pycache__" || name.startsWith(".") || name === "__init__.py") continue;
      if (!isFolder) found.push(`${below}${name}`);
      else if (depth < MODULE_DEPTH_MAX) walk(`${below}${name}/`, depth + 1);
      if (found.length > MODULE_FILES_MAX) {
        const message =
          `Cannot use ${folder}: it has more than ${MODULE_FILES_MAX} files; keep modules alone there`;
        throw new ModuleError(folder, message);
      }
    }
  };
  walk("", 0);
  return found;
}
