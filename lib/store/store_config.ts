/** How a program is told where its store is: the keys of its configuration, and the store that they mean. */
import { z } from "zod";
import type { Problem } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Scope } from "../seams.ts";
import type { PortableStore } from "./portable.ts";
import { openSqliteStore } from "./sqlite.ts";
import { connectTikvStore } from "./tikv.ts";

const Text = z.string().min(1);

export const STORE_KEYS = {
  storePath: Text.optional().describe("SQLite file of the store; else salar.db in the data folder"),
  tikvPd: z.array(Text).min(1).optional().describe(
    "Placement drivers of a TiKV cluster, host:port; else the store is the SQLite file",
  ),
  tikvPrefix: z.string().regex(/^[a-z0-9][a-z0-9/_-]{0,62}$/).default("salar/").describe(
    "What all keys in TiKV begin with; nobody else may write below it",
  ),
  tikvKeyspace: Text.optional().describe("Keyspace, for a TiKV cluster with API version 2"),
  tikvGarbage: z.boolean().default(true).describe(
    "Have one of the replicas clear old versions away; not where TiDB runs on the same cluster and does it",
  ),
  tikvCaFile: Text.optional().describe("PEM of the authority that signed TiKV's certificates"),
  tikvCertFile: Text.optional().describe("PEM of this client's certificate, for mutual TLS"),
  tikvKeyFile: Text.optional().describe("PEM of its private key"),
};

const StoreConfig = z.object(STORE_KEYS);
export type StoreConfig = z.infer<typeof StoreConfig>;

/** Keys that do not go together, for the check of a whole configuration. */
export function storeProblems({ storePath, tikvPd, tikvCertFile, tikvKeyFile }: StoreConfig): Problem[] {
  const problems: Problem[] = [];
  if (storePath !== undefined && tikvPd !== undefined) {
    problems.push({
      field: "storePath",
      reason: "cannot be used with tikvPd: the store is one or the other",
    });
  }
  if ((tikvCertFile === undefined) !== (tikvKeyFile === undefined)) {
    problems.push({ field: "tikvCertFile", reason: "goes with tikvKeyFile" });
  }
  return problems;
}

export interface OpenStoreOptions {
  /** The SQLite file when the configuration names no store. */
  defaultPath: string;
  /** Of this process, unique in the cluster. */
  name: string;
  log: Log;
}

/** @throws {SalarError} `unavailable`, `bad-input` for wrong addresses */
export async function openStore(
  scope: Scope,
  config: StoreConfig,
  { defaultPath, name, log }: OpenStoreOptions,
): Promise<PortableStore> {
  const { storePath, tikvPd, tikvPrefix, tikvKeyspace, tikvGarbage } = config;
  if (tikvPd === undefined) return openSqliteStore({ path: storePath ?? defaultPath });
  const tls = { ca: config.tikvCaFile, cert: config.tikvCertFile, key: config.tikvKeyFile };
  return await connectTikvStore(scope, {
    pd: tikvPd,
    prefix: tikvPrefix,
    keyspace: tikvKeyspace,
    tls: Object.values(tls).some((file) => file !== undefined) ? tls : undefined,
    name,
    collectsGarbage: tikvGarbage,
    log,
  });
}
