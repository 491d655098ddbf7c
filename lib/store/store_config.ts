/** How a program is told where its store is: the keys of its configuration, and the store that they mean. */
import { z } from "zod";
import { SalarError } from "../errors.ts";
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
  tikvKeyspace: Text.optional().describe("Keyspace of a TiKV cluster with API version 2"),
  tikvCaFile: Text.optional().describe("PEM of the authority that signed TiKV's certificates"),
  tikvCertFile: Text.optional().describe("PEM of this client's certificate, for mutual TLS"),
  tikvKeyFile: Text.optional().describe("PEM of its private key"),
};

const StoreConfig = z.object(STORE_KEYS);
export type StoreConfig = z.infer<typeof StoreConfig>;

/** @throws {SalarError} `bad-config`, `unavailable` */
export async function openStore(
  scope: Scope,
  config: StoreConfig,
  { name, defaultPath }: { name: string; defaultPath: string },
): Promise<PortableStore> {
  const { storePath, tikvPd, tikvPrefix, tikvKeyspace, tikvCaFile, tikvCertFile, tikvKeyFile } = config;
  if (tikvPd === undefined) return openSqliteStore({ path: storePath ?? defaultPath });
  if (storePath !== undefined) throw wrong("storePath", "goes without tikvPd: the store is one or the other");
  if ((tikvCertFile === undefined) !== (tikvKeyFile === undefined)) {
    throw wrong("tikvCertFile", "goes with tikvKeyFile");
  }
  const tls = { ca: tikvCaFile, cert: tikvCertFile, key: tikvKeyFile };
  return await connectTikvStore(scope, {
    pd: tikvPd,
    prefix: tikvPrefix,
    keyspace: tikvKeyspace,
    name,
    ...(Object.values(tls).every((file) => file === undefined) ? {} : { tls }),
  });
}

function wrong(field: string, reason: string): SalarError {
  return new SalarError("bad-config", `Cannot open store: ${field} ${reason}`, {
    detail: { problems: [{ field, reason }] },
  });
}
