/** The store of a host of functions, opened beside it. */
import { join } from "node:path";
import type { FunctionsConfig } from "../functions/config.ts";
import { SalarError } from "../lib/errors.ts";
import { silentLog } from "../lib/log.ts";
import type { Scope } from "../lib/seams.ts";
import type { PortableStore } from "../lib/store/portable.ts";
import { openStore } from "../lib/store/store_config.ts";

/** @throws {SalarError} `not-found` for a SQLite file that is not there, unless `create`; `unavailable` */
export async function realStore(
  scope: Scope,
  config: FunctionsConfig,
  { create }: { create: boolean },
): Promise<PortableStore> {
  const defaultPath = join(config.dataFolder, "salar.db");
  const path = config.storePath ?? defaultPath;
  if (config.tikvPd === undefined && !create && !await exists(path)) {
    throw new SalarError(
      "not-found",
      `Cannot open store: there is no file ${path}; name another by --config`,
    );
  }
  // Clearing old versions away is for those who stay.
  return await openStore(scope, { ...config, tikvGarbage: false }, {
    defaultPath,
    name: "salar",
    log: silentLog,
  });
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
