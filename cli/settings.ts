/**
 * Which server, and by which token: flags, then environment, then the file that `salar login` wrote, then what
 * `deno task dev` leaves in the current folder.
 *
 * S1. A token is only ever read from a file: an argument would stand in the process list, a variable in logs.
 * S2. A token goes to the server that it was given for: the login's to the login's server, the demo's to this machine.
 * S3. A token crosses a network under TLS only.
 */
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import { readSecret } from "../lib/config.ts";
import { SalarError } from "../lib/errors.ts";
import { isLoopback } from "../lib/loopback.ts";
import type { Secret } from "../lib/secure/secret.ts";
import type { World } from "./world.ts";

const DEFAULT_SERVER = "http://127.0.0.1:8480";
const DEV_TOKEN_FILE = ".salar/admin.token";

const Login = z.strictObject({ server: z.string(), tokenFile: z.string(), caFile: z.string().optional() });
export type Login = z.infer<typeof Login>;

/** What it takes from the environment, as programs name keys. */
export const SETTINGS_KEYS: readonly (keyof SettingsFlags)[] = ["server", "tokenFile", "caFile"];

export interface SettingsFlags {
  server?: string;
  tokenFile?: string;
  caFile?: string;
}

export interface Settings {
  server: string;
  /** Null when there is none: the server says what it thinks of that. */
  token: Secret | null;
  caPem?: string;
}

/** @throws {SalarError} `bad-input` for an address, `bad-config` for a file */
export async function readSettings(world: World, flags: SettingsFlags): Promise<Settings> {
  const { env, disk } = world;
  const login = await readLogin(world);
  const server = serverUrl(flags.server ?? env["SALAR_SERVER"] ?? login?.server ?? DEFAULT_SERVER);
  const ofLogin = login !== null && server === serverUrl(login.server) ? login : null; // S2
  const tokenFile = flags.tokenFile ?? env["SALAR_TOKEN_FILE"] ?? ofLogin?.tokenFile ??
    await devTokenFile(world, server);
  const caFile = flags.caFile ?? env["SALAR_CA_FILE"] ?? ofLogin?.caFile;
  return {
    server,
    token: tokenFile === null ? null : await readToken(world, tokenFile),
    ...(caFile === undefined
      ? {}
      : { caPem: (await readSecret(disk, "caFile", absolute(world, caFile))).reveal() }),
  };
}

/** Keeps the address and where the token lies; the token itself stays in its file. @returns the path written */
export async function writeLogin(world: World, login: Login): Promise<string> {
  const path = loginPath(world);
  await world.disk.replace(path, new TextEncoder().encode(JSON.stringify(login, null, 2) + "\n"), {
    mode: 0o600,
  });
  return path;
}

async function readLogin(world: World): Promise<Login | null> {
  const path = loginPath(world);
  const bytes = await world.disk.read(path);
  if (bytes === null) return null;
  try {
    return Login.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    const state = "it is not what `salar login` writes; log in again or remove it";
    throw new SalarError("bad-config", `Cannot read ${path}: ${state}`, { cause });
  }
}

function loginPath({ env }: World): string {
  return join(env["XDG_CONFIG_HOME"] || join(env["HOME"] ?? "/", ".config"), "salar", "cli.json");
}

async function devTokenFile({ disk, folder }: World, server: string): Promise<string | null> {
  const path = join(folder, DEV_TOKEN_FILE);
  return isLoopback(new URL(server).hostname) && await disk.read(path) !== null ? path : null;
}

async function readToken(world: World, path: string): Promise<Secret> {
  const token = await readSecret(world.disk, "tokenFile", absolute(world, path));
  if (/^[\x21-\x7e]+$/.test(token.reveal())) return token;
  throw new SalarError("bad-config", `Cannot use ${path}: it holds more than one token, or none`);
}

export function absolute({ folder }: Pick<World, "folder">, path: string): string {
  return isAbsolute(path) ? path : join(folder, path);
}

function serverUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.search !== "") {
    const hint = "Give an address such as https://salar.example.org.";
    throw new SalarError("bad-input", `Cannot use server "${text}": it is no address`, { detail: { hint } });
  }
  if (url.protocol === "http:" && !isLoopback(url.hostname)) { // S3
    throw new SalarError("bad-input", `Cannot use server "${text}": https:// is needed beyond this machine`);
  }
  return (url.origin + url.pathname).replace(/\/+$/, "");
}
