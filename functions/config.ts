/** What a process of functions can be told. Checked once, at start; the descriptions are its `--help`. */
import { z } from "zod";
import { NATS_KEYS, natsProblems } from "../lib/bus/nats_config.ts";
import { isLoopback } from "../lib/loopback.ts";
import { LOG_LEVELS } from "../lib/log.ts";
import { STORE_KEYS, storeProblems } from "../lib/store/store_config.ts";

/** Names of the functions that exist; the process runs the chosen ones. */
export const FUNCTION_NAMES = ["director", "node-events", "client-bind", "gateway"] as const;

export const FunctionsConfig = z.object({
  functions: z.array(z.enum(FUNCTION_NAMES)).min(1).default([...FUNCTION_NAMES])
    .describe("Functions that this process runs"),
  cluster: z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/).default("salar")
    .describe("Name of the cluster, part of every signed statement"),
  replica: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/).optional()
    .describe(
      "Name of this replica, unique in the cluster and stable over restarts; else host name and functions",
    ),
  dataFolder: z.string().min(1).default("/var/lib/salar").describe("Where files of this process are kept"),
  ...STORE_KEYS,
  clusterKeyFile: z.string().min(1).optional()
    .describe(
      "The cluster's key, the same for all replicas; else cluster.key in the data folder, made when missing",
    ),
  adminTokenFile: z.string().min(1).optional()
    .describe("Where the first administrator's token is written; else admin.token in the data folder"),
  natsServers: z.array(z.string().min(1)).min(1).optional().describe(
    "NATS servers, host:port; else a bus of this process alone",
  ),
  natsReplicas: z.union([z.literal(1), z.literal(3)]).default(1).describe(
    "Copies of each stream: 1, or 3 on a cluster",
  ),
  ...NATS_KEYS,
  httpHost: z.string().min(1).default("127.0.0.1").describe("Address to listen on"),
  httpPort: z.int().min(0).max(65_535).default(8480).describe("Port to listen on; 0 takes a free one"),
  httpCertFile: z.string().min(1).optional().describe(
    "PEM of the server's certificate and its chain, read at start; without it plain HTTP, for loopback only",
  ),
  httpKeyFile: z.string().min(1).optional().describe("PEM of its private key"),
  metricsRole: z.enum(["viewer", "public"]).default("viewer").describe("Who may read /metrics"),
  nodeCaFile: z.string().min(1).optional().describe(
    "PEM of an authority that is trusted for nodes besides the system's own",
  ),
  logLevel: z.enum(LOG_LEVELS).default("info").describe(LOG_LEVELS.join(", ")),
}).check(({ value, issues }) => {
  const report = (path: string, message: string) =>
    issues.push({ code: "custom", path: [path], message, input: value });
  const { httpCertFile, httpKeyFile, httpHost } = value;
  if ((httpCertFile === undefined) !== (httpKeyFile === undefined)) {
    report("httpCertFile", "goes with httpKeyFile");
  }
  for (const { field, reason } of [...natsProblems(value), ...storeProblems(value)]) report(field, reason);
  if (httpCertFile === undefined && !isLoopback(httpHost)) {
    report("httpHost", "is not loopback, so httpCertFile and httpKeyFile are needed");
  }
});
export type FunctionsConfig = z.infer<typeof FunctionsConfig>;
