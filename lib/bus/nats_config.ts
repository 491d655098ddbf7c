/** How a program is told its way to NATS: the keys of its configuration, and the connection that they mean. */
import { z } from "zod";
import { readSecret } from "../config.ts";
import type { Disk } from "../seams.ts";
import type { NatsLinkOptions } from "./nats_link.ts";

const Text = z.string().min(1);

/** Beside `natsServers`, which a program may need or not. */
export const NATS_KEYS = {
  natsUser: Text.optional().describe("User at NATS"),
  natsPasswordFile: Text.optional().describe("File with its password"),
  natsCaFile: Text.optional().describe("PEM of the authority that signed the servers' certificates"),
  natsCertFile: Text.optional().describe("PEM of this client's certificate, for mutual TLS"),
  natsKeyFile: Text.optional().describe("PEM of its private key"),
};

const NatsConfig = z.object(NATS_KEYS);

/** TLS and credentials. @throws {SalarError} `bad-config` for a password file that cannot be read. */
export async function natsAccess(
  disk: Disk,
  config: z.infer<typeof NatsConfig>,
): Promise<Pick<NatsLinkOptions, "tls" | "credentials">> {
  const { natsUser, natsPasswordFile, natsCaFile, natsCertFile, natsKeyFile } = config;
  const tls = {
    ...(natsCaFile === undefined ? {} : { caFile: natsCaFile }),
    ...(natsCertFile === undefined || natsKeyFile === undefined
      ? {}
      : { certFile: natsCertFile, keyFile: natsKeyFile }),
  };
  return {
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
    ...(natsUser === undefined || natsPasswordFile === undefined ? {} : {
      credentials: { user: natsUser, password: await readSecret(disk, "natsPasswordFile", natsPasswordFile) },
    }),
  };
}
