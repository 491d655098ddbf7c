/**
 * A node agent's change capture as a process of its own, to be killed: database → signed statements → NATS.
 * Arguments: one JSON file, `CaptureAgentConfig`.
 */
import { postgresCapture } from "../../agents/node/capture.ts";
import { changeFeed } from "../../agents/node/feed.ts";
import { lazySql } from "../../agents/node/sql.ts";
import { nodeTrust, type PinnedCluster } from "../../agents/node/trust.ts";
import { connectNats } from "../../lib/bus/nats.ts";
import { installNatsGuard } from "../../lib/bus/nats_errors.ts";
import { createLog } from "../../lib/log.ts";
import { realCrypt } from "../../lib/mesh/real_crypt.ts";
import { realDisk } from "../../lib/mesh/real_disk.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { identityFromSeed } from "../../lib/secure/keys.ts";
import { Secret } from "../../lib/secure/secret.ts";

export interface CaptureAgentConfig {
  database: { host: string; port: number; database: string; user: string; password: string };
  natsUrl: string;
  /** Of the origin; survives kills. */
  folder: string;
  /** Seed of the identity key, 32 bytes in hex. */
  identitySeed: string;
  cluster: PinnedCluster;
}

if (import.meta.main) {
  const config: CaptureAgentConfig = JSON.parse(await Deno.readTextFile(Deno.args[0] ?? ""));
  const write = (line: string) => void Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
  const log = createLog({ level: "info", nowMs: () => Date.now(), write });
  installNatsGuard(log);
  const scope = realScope({ name: "agent", log });
  const database = { ...config.database, password: new Secret(config.database.password), ca: null };
  const trust = nodeTrust(identityFromSeed(Uint8Array.fromHex(config.identitySeed)), realCrypt());
  const bus = await connectNats(scope, { servers: [config.natsUrl], replicas: 1, name: "agent", log });
  const source = postgresCapture({
    database,
    facts: lazySql(database, "salar-facts"),
    disk: realDisk(),
    originPath: `${config.folder}/origin.json`,
    log,
  });
  await source.run(scope, changeFeed({ bus, trust, cluster: config.cluster, log }));
}
