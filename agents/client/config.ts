/** What the client agent can be told; see docs/client-agent.md. Checked once, at start. */
import { z } from "zod";
import { MINION_VERIFY_MS_MAX, MOVE_MS_MAX } from "../../lib/limits.ts";
import { LOG_LEVELS } from "../../lib/log.ts";
import { MasterName } from "./journal.ts";

const Path = z.string().regex(/^\//, "an absolute path");
const Argv = z.array(z.string().min(1)).min(1).max(50);

export const ClientConfig = z.strictObject({
  /** Base address of the director. Plain HTTP is for a director on this very machine only. */
  directorUrl: z.url().refine(isSafeAddress, "https://… (http:// only for a loopback address)"),
  /** PEM of the authority that the director's certificate comes from; without it, the system's own are trusted. */
  caFile: Path.optional(),
  /** Holds the join token; read only while the agent is not enrolled. */
  joinTokenFile: Path.default("/etc/salar/join-token"),
  /** Identity key, state, journal and backup; root only. */
  folder: Path.default("/var/lib/salar-client"),
  /** Name of this system for people; the host name unless given. */
  name: z.string().min(1).max(253).optional(),
  /** Where `/etc` of the system is, for a minion in a folder of its own. */
  root: z.literal("").or(Path).default(""),
  /** Program and arguments that restart the minion; a transient systemd unit unless given. */
  restart: Argv.optional(),
  /** Program and arguments of salt-call; the one of the installation unless given. */
  saltCall: Argv.optional(),
  /** How long a minion may take to be seen with its master after a restart. Both ways must fit into a move. */
  verifyMs: z.coerce.number().int().min(1_000).max(MOVE_MS_MAX / 4).default(MINION_VERIFY_MS_MAX),
  logLevel: z.enum(LOG_LEVELS).default("info"),
});
export type ClientConfig = z.infer<typeof ClientConfig>;

/** What `move --dry-run` takes besides: the new master and a file with its public key. */
export const PreviewConfig = ClientConfig.partial({ directorUrl: true }).extend({
  dryRun: z.literal(true, "only a preview can be asked for here: the director orders moves"),
  to: MasterName,
  key: Path,
});

function isSafeAddress(url: string): boolean {
  const { protocol, hostname } = new URL(url);
  return protocol === "https:" || protocol === "http:" && /^(127\.|localhost$|\[::1\]$)/.test(hostname);
}
