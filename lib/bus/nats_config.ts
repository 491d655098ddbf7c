/**
 * How a program is told its way to NATS: the keys of its configuration, and the connection that they mean.
 *
 * K1. One way to prove itself, or none: user and password, token, seed of an nkey, or a credentials file.
 * K2. Every file is looked at before the first connect, and all problems are told together.
 */
import { nkeys } from "nats";
import { z } from "zod";
import { readSecret } from "../config.ts";
import { type Problem, SalarError } from "../errors.ts";
import type { Disk } from "../seams.ts";
import type { NatsCredentials } from "./nats_credentials.ts";
import type { NatsLinkOptions } from "./nats_link.ts";

const Text = z.string().min(1);

/** Beside `natsServers`, which a program may need or not. */
export const NATS_KEYS = {
  natsUser: Text.optional().describe("User at NATS"),
  natsPasswordFile: Text.optional().describe("File with its password"),
  natsTokenFile: Text.optional().describe("File with a token, instead of a user"),
  natsSeedFile: Text.optional().describe("File with the seed (SU…) of a user nkey, instead of a user"),
  natsCredentialsFile: Text.optional().describe(
    "File with a user JWT and its seed as `nsc` writes it, instead of a user; read at each connect",
  ),
  natsCaFile: Text.optional().describe("PEM of the authority that signed the servers' certificates"),
  natsCertFile: Text.optional().describe("PEM of this client's certificate, for mutual TLS"),
  natsKeyFile: Text.optional().describe("PEM of its private key"),
};

const FILE_KEYS = [
  "natsPasswordFile",
  "natsTokenFile",
  "natsSeedFile",
  "natsCredentialsFile",
  "natsCaFile",
  "natsCertFile",
  "natsKeyFile",
] as const satisfies (keyof typeof NATS_KEYS)[];

const NatsConfig = z.object(NATS_KEYS);
export type NatsConfig = z.infer<typeof NatsConfig>;

/** Keys that do not go together, for the check of a whole configuration. */
export function natsProblems(config: NatsConfig): Problem[] {
  const { natsUser, natsPasswordFile, natsCertFile, natsKeyFile } = config;
  const problems: Problem[] = [];
  if ((natsCertFile === undefined) !== (natsKeyFile === undefined)) {
    problems.push({ field: "natsCertFile", reason: "goes with natsKeyFile" });
  }
  if ((natsUser === undefined) !== (natsPasswordFile === undefined)) {
    problems.push({ field: "natsUser", reason: "goes with natsPasswordFile" });
  }
  const ways = (["natsUser", "natsTokenFile", "natsSeedFile", "natsCredentialsFile"] as const)
    .filter((key) => config[key] !== undefined);
  for (const key of ways.slice(1)) {
    problems.push({ field: key, reason: `cannot be used with ${ways[0]}: one way to prove itself` });
  }
  return problems;
}

/** TLS and credentials. @throws {SalarError} `bad-config` (K1, K2). */
export async function natsAccess(
  disk: Pick<Disk, "read">,
  config: NatsConfig,
): Promise<Pick<NatsLinkOptions, "tls" | "credentials">> {
  const { natsCaFile, natsCertFile, natsKeyFile } = config;
  const problems = [...natsProblems(config), ...await fileProblems(disk, config)];
  if (problems.length > 0) {
    const lines = problems.map(({ field, reason }) => `  ${field}: ${reason}`);
    throw new SalarError("bad-config", `Cannot start: the way to NATS has problems\n${lines.join("\n")}`, {
      detail: { problems },
    });
  }
  const tls = {
    ...(natsCaFile === undefined ? {} : { caFile: natsCaFile }),
    ...(natsCertFile === undefined || natsKeyFile === undefined
      ? {}
      : { certFile: natsCertFile, keyFile: natsKeyFile }),
  };
  const credentials = await credentialsOf(disk, config);
  return {
    ...(Object.keys(tls).length === 0 ? {} : { tls }),
    ...(credentials === null ? {} : { credentials }),
  };
}

/** Files that are not there, or hold nothing of the kind. */
async function fileProblems(disk: Pick<Disk, "read">, config: NatsConfig): Promise<Problem[]> {
  const problems: Problem[] = [];
  for (const field of FILE_KEYS) {
    const path = config[field];
    if (path === undefined) continue;
    const bytes = await disk.read(path);
    const kind = KINDS.get(field);
    if (bytes === null) problems.push({ field, reason: `${path} is not there` });
    else if (kind && !kind.holds(new TextDecoder().decode(bytes).trim())) {
      problems.push({ field, reason: `${path} holds no ${kind.name}` });
    }
  }
  return problems;
}

const KINDS: ReadonlyMap<string, { name: string; holds(text: string): boolean }> = new Map([
  ["natsSeedFile", { name: "seed of a user nkey (SU…)", holds: isUserSeed }],
  ["natsCredentialsFile", {
    name: "user JWT with its seed",
    holds: (text) => /BEGIN NATS USER JWT[^]*BEGIN USER NKEY SEED/.test(text),
  }],
]);

function isUserSeed(text: string): boolean {
  try {
    return nkeys.fromSeed(new TextEncoder().encode(text)).getPublicKey().startsWith("U");
  } catch {
    return false;
  }
}

async function credentialsOf(disk: Pick<Disk, "read">, config: NatsConfig): Promise<NatsCredentials | null> {
  const { natsUser, natsPasswordFile, natsTokenFile, natsSeedFile, natsCredentialsFile } = config;
  if (natsUser !== undefined && natsPasswordFile !== undefined) {
    return { user: natsUser, password: await readSecret(disk, "natsPasswordFile", natsPasswordFile) };
  }
  if (natsTokenFile !== undefined) {
    return { token: await readSecret(disk, "natsTokenFile", natsTokenFile) };
  }
  if (natsSeedFile !== undefined) {
    return { nkeySeed: await readSecret(disk, "natsSeedFile", natsSeedFile) };
  }
  return natsCredentialsFile === undefined ? null : { credsFile: natsCredentialsFile };
}
