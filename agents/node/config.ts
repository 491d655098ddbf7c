/** What the node agent can be told. Checked once, at start; the descriptions are its `--help`. */
import { z } from "zod";
import { NATS_KEYS } from "../../lib/bus/nats_config.ts";
import { MachineId } from "../../lib/cluster/types.ts";
import { NODE_CAPACITY } from "../../lib/limits.ts";
import { DirectorUrl } from "../../lib/config.ts";
import { LOG_LEVELS } from "../../lib/log.ts";

const Path = z.string().regex(/^\//, "an absolute path");

export const NodeConfig = z.object({
  folder: Path.default("/var/lib/salar-node").describe("Identity key and state of the agent; root only"),
  directorUrl: DirectorUrl.optional().describe("Base address of the director, needed to enrol"),
  caFile: Path.optional().describe("PEM of an authority that is trusted besides the system's own"),
  joinTokenFile: Path.default("/etc/salar/join-token").describe(
    "Holds the join token; read to enrol, never again",
  ),

  name: z.string().min(1).max(253).optional().describe("Name of the node; else its host name"),
  machineId: MachineId.optional().describe("Else what /etc/machine-id says"),
  capacity: z.int().min(0).max(1_000_000).default(NODE_CAPACITY).describe("Most systems that it may hold"),
  weight: z.number().min(0.01).max(100).default(1).describe(
    "Its share relative to the other nodes of its zone",
  ),

  natsServers: z.array(z.string().min(1)).min(1).describe("NATS servers, host:port"),
  ...NATS_KEYS,

  master: z.string().min(1).max(253).optional().describe(
    "Name by which minions reach this Salt master; else the node's name",
  ),
  pkiFolder: Path.default("/etc/salt/pki/master").describe("The Salt master's pki_dir"),
  uyuniUrl: z.url().default("https://localhost").describe(
    "Base of the local Uyuni server's API, as functions reach it too",
  ),
  uyuniUser: z.string().min(1).default("salar").describe("API user: organisation administrator"),
  uyuniPasswordFile: Path.default("/etc/salar/uyuni-password").describe("File with its password"),

  databaseHost: z.string().min(1).default("127.0.0.1").describe(
    "Host, or folder of the socket, of Uyuni's PostgreSQL",
  ),
  databasePort: z.int().min(1).max(65_535).default(5432).describe("Its port"),
  databaseName: z.string().min(1).default("susemanager").describe("Its database"),
  databaseUser: z.string().min(1).default("salar").describe(
    "Role for change capture: LOGIN REPLICATION and a few SELECTs",
  ),
  databasePasswordFile: Path.default("/etc/salar/database-password").describe("File with its password"),
  databaseCaFile: Path.optional().describe(
    "PEM of the authority of its certificate; without it no TLS, for loopback and sockets",
  ),
  setup: z.boolean().default(false).describe(
    "On run: prepare the database for change capture where that is missing",
  ),

  statesFolders: z.array(Path).min(1).default(["/etc/salar/states", "/usr/share/salar/states"]).describe(
    "Nanostates that the cluster may have it run, by their names; the first folder that has one wins",
  ),
  secretsFolder: Path.default("/etc/salar/secrets").describe("Their secrets: a file each, by its name"),
  ansibleFolder: Path.optional().describe("An installed `ansible` package, for states that use its modules"),
  stagingKeyFile: Path.optional().describe(
    "Private SSH key with which it stages other machines; without it, it stages none",
  ),
  stagingUser: z.string().regex(/^[a-z_][a-z0-9_-]{0,31}$/, "a user name").default("root").describe(
    "Whom it logs in as there, unless the host is named with a user",
  ),
  knownHostsFile: Path.default("/etc/salar/known_hosts").describe("Host keys of the machines that it stages"),

  logLevel: z.enum(LOG_LEVELS).default("info").describe(LOG_LEVELS.join(", ")),
});
export type NodeConfig = z.infer<typeof NodeConfig>;

/** For what speaks to the database only. */
export const DatabaseConfig = NodeConfig.partial({ natsServers: true }).extend({
  dryRun: z.boolean().default(false).describe("Print the SQL and run nothing"),
});
export type DatabaseConfig = z.infer<typeof DatabaseConfig>;
