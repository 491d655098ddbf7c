/** What the client agent can be told. Checked once, at start; the descriptions are its `--help`. */
import { z } from "zod";
import { MINION_VERIFY_MS_MAX, MOVE_MS_MAX } from "../../lib/limits.ts";
import { MasterName } from "../../lib/cluster/types.ts";
import { DirectorUrl } from "../../lib/config.ts";
import { LOG_LEVELS } from "../../lib/log.ts";

const Path = z.string().regex(/^\//, "an absolute path");
const Argv = z.array(z.string().min(1)).min(1).max(50);

export const ClientConfig = z.object({
  folder: Path.default("/var/lib/salar-client").describe(
    "Identity key, state, journal and backup; root only",
  ),
  root: z.literal("").or(Path).default("").describe("What stands for / where the minion's files are"),
  restart: Argv.optional().describe(
    "Program and arguments that restart the minion; else a transient systemd unit",
  ),
  saltCall: Argv.optional().describe("Program and arguments of salt-call; else that of the installation"),
  // Forward and back, each with a restart, must fit into a move.
  verifyMs: z.int().min(1_000).max(MOVE_MS_MAX / 4).default(MINION_VERIFY_MS_MAX)
    .describe("How long after a restart the minion may take to be seen with its master"),
  directorUrl: DirectorUrl
    .describe("Base address of the director"),
  caFile: Path.optional().describe("PEM of a certificate authority that is trusted besides the system's own"),
  joinTokenFile: Path.default("/etc/salar/join-token").describe(
    "Holds the join token; read to enrol, never again",
  ),
  name: z.string().min(1).max(253).optional().describe("Name of this system for people; else its host name"),
  logLevel: z.enum(LOG_LEVELS).default("info").describe(LOG_LEVELS.join(", ")),
});
export type ClientConfig = z.infer<typeof ClientConfig>;

/** For what does not speak to the director; keys that it does not need may stand in the shared file. */
export const LocalConfig = ClientConfig.partial({ directorUrl: true });
export type LocalConfig = z.infer<typeof LocalConfig>;

/** For `move --dry-run`. */
export const PreviewConfig = LocalConfig.extend({
  dryRun: z.literal(
    true,
    "is needed: the director orders moves, here one can only look at what they would change",
  ),
  to: MasterName.describe("The new master"),
  key: Path.describe("File with the new master's public key, PEM"),
});
