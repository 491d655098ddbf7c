/**
 * Where modules come from: state roots, collection paths, an installed `ansible` as files; and what goes to a host.
 *
 * L1. The first that has a module wins: roots in their order (`x/y.py` anywhere below `modules`, binaries `x/y` below `modules/bin/SYSTEM/MACHINE`),
 *     then collections, then the `ansible` package. Nothing of the package is run here, it is only read.
 * L2. The same modules of the same files give the same bytes, so a host's cache holds across runs and controllers.
 * L3. A module whose work an engine does (`add_host`, `template`, …) is refused with what to use instead.
 */
import type { AgentInfo, Hash, WireAnsible, WireModuleFile } from "../agent/protocol.ts";
import type { JsonObject } from "../json.ts";

/** What a run needs of modules, for one kind of host. */
export interface ModuleBundle {
  modules: Readonly<Record<string, WireModuleFile>>;
  ansible: WireAnsible | null;
  /** The zip and the modules that are files of their own. */
  blobs: ReadonlyMap<Hash, Uint8Array>;
}

export interface ModuleLibrary {
  /**
   * The action that does a module with these arguments, null when it is only run, or why it cannot be used.
   * Knows the names of table 3 of the brief, and the action parts of collections.
   */
  action(module: string): { action: string | null } | { refused: string };
  /** Whether what these modules need differs by the host's platform: one of them is a binary of a state root. */
  byPlatform(modules: readonly string[]): boolean;
  /**
   * Everything that these modules need on such a host, companions of their actions included (`copy` calls `file`).
   * @throws {ModuleError} a module that is nowhere, or cannot be read
   */
  bundle(modules: readonly string[], host: Pick<AgentInfo, "system" | "machine">): Promise<ModuleBundle>;
}

export class ModuleError extends Error {
  override readonly name = "ModuleError";

  /** @param message what, where it was looked for, what to do */
  constructor(readonly module: string, message: string, options: { cause?: unknown } = {}) {
    super(message, options);
  }
}

/** Arguments as a module gets them: free-form text of `command` and its kin taken apart. */
export type ReadArgs = (module: string, args: JsonObject) => JsonObject;
