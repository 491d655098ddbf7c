/**
 * An installed `ansible` package, read as files: its version, and what its `module_utils` ask of the wrapper.
 *
 * N1. The ways of the wrapper are those of the `module_utils` that are sent, never those of the newest version known.
 * Source: ansible-core 2.14 to 2.19: `release.py`, `module_utils/basic.py`, `module_utils/common/parameters.py`,
 *     `executor/module_common.py`.
 */
import type { WireAnsible } from "../agent/protocol.ts";
import { ModuleError } from "./library.ts";
import type { LibraryFiles } from "./library_files.ts";
import { latin1 } from "./module_kind.ts";
import { builtinRouting, NO_ROUTING, type Routing } from "./routing.ts";

export interface AnsiblePackage extends Omit<WireAnsible, "payload"> {
  /** Of the package itself: it has `release.py` and `module_utils`. */
  folder: string;
  routing: Routing;
  /** Python modules that are packed with every module, by their whole names. */
  always: readonly string[];
  /** Files that the engine writes in place of the package's own: those would import the controller's side. */
  synthesized: ReadonlyMap<string, string>;
}

const UTILS = "ansible.module_utils";
const LOADER = `${UTILS}._internal._ansiballz._loader`;
const PROFILES = `${UTILS}._internal._json._profiles._module_legacy`;
const EXTENDED = "from pkgutil import extend_path\n__path__=extend_path(__path__,__name__)\n";

/** @throws {ModuleError} when the folder has no such package, or one that is laid out in a way that is not known */
export function readAnsible(folder: string, files: LibraryFiles): AnsiblePackage {
  const text = (path: string): string => {
    const bytes = files.read(`${folder}/${path}`);
    if (bytes !== null) return latin1(bytes);
    throw new ModuleError(
      "ansible",
      `Cannot read ansible at ${folder}: it has no ${path}; name another folder`,
    );
  };
  const part = (path: string, pattern: RegExp): string => {
    const found = pattern.exec(text(path))?.[1];
    if (found !== undefined) return found;
    const reason = `${path} is not as it was from 2.14 to 2.19`;
    throw new ModuleError(
      "ansible",
      `Cannot read ansible at ${folder}: ${reason}; use a version between these`,
    );
  };

  const version = part("release.py", /^__version__ = ['"]([\w.]+)['"]/m);
  const author = part("release.py", /^__author__ = ['"]([^'"\n]*)['"]/m);
  const passed = part("module_utils/common/parameters.py", /^PASS_VARS[^={]*= *\{([^}]*)\}/m);
  const python = part("module_utils/basic.py", /^_PY3?_MIN = (?:sys\.version_info >= )?\((\d+, *\d+)\)/m);
  const [major = 3, minor = 0] = python.split(",").map(Number);
  const hasLoader = files.read(`${folder}/${pathOf(LOADER)}`) !== null;
  const routing = files.read(`${folder}/config/ansible_builtin_runtime.yml`);
  return {
    folder,
    version,
    entry: hasLoader ? "loader" : "basic",
    internal: [...passed.matchAll(/^ *'(\w+)':/gm)].flatMap(([, name]) => name ?? []),
    pythonMin: [major, minor],
    routing: routing === null ? NO_ROUTING : builtinRouting(latin1(routing)),
    always: [`${UTILS}.basic`, ...(hasLoader ? [LOADER, `${PROFILES}_c2m`, `${PROFILES}_m2c`] : [])],
    synthesized: new Map([
      ["ansible/__init__.py", `${EXTENDED}__version__="${version}"\n__author__="${author}"\n`],
      ["ansible/module_utils/__init__.py", EXTENDED],
    ]),
  };
}

/** Below the package's folder. */
function pathOf(name: string): string {
  return `${name.split(".").slice(1).join("/")}.py`;
}
