/**
 * A host as SSH reaches it: what people called it, ssh_config and what is said for this run put together.
 *
 * In: a name, the configuration's files, overrides. Out: one value that says all about the way there.
 * W1. Overrides come first, then the user's file, then the system's: the first value wins (ssh_config.ts).
 * W2. Nothing is weaker than was asked for: a host whose key is not known is refused, unless the configuration says
 *     `accept-new` for it, or the run says `on-first-use`. `StrictHostKeyChecking no` is not offered.
 * W3. What was said for the host is not said for the machines on the way to it; trust and known hosts are for all.
 */
import { type Algorithms, algorithmsFrom } from "./ssh_algorithms.ts";
import { type ConfigLine, type Setting, settingsFor, SshConfigError } from "./ssh_config.ts";
import { readSshConfig } from "./ssh_include.ts";

export interface SshHost {
  /** As people called it, without user and port. */
  name: string;
  /** Where to connect to. */
  hostName: string;
  port: number;
  user: string;
  /** What known_hosts calls it, without a port; null for its host name and port. */
  hostKeyAlias: string | null;
  /** Whether a host of which no key is known may say which one it has. */
  trust: "known-only" | "on-first-use";
  /** Files of known hosts. */
  knownHosts: string[];
  /** Where a key goes that was trusted on first use; null for nowhere. */
  newKnownHosts: string | null;
  hashKnownHosts: boolean;
  identityFiles: string[];
  /** Certificates of those keys, beside `IDENTITY-cert.pub`. */
  certificateFiles: string[];
  identitiesOnly: boolean;
  /** Socket of ssh-agent. */
  agent: string | null;
  algorithms: Algorithms;
  bindAddress: string | null;
  /** 0 is either. */
  family: 0 | 4 | 6;
  /** For the connection and for the login, each; null for the caller's own. */
  connectMs: number | null;
  /** A sign of life is asked for after this time; null for the caller's own. */
  keepaliveMs: number | null;
  /** So many unanswered ones end the connection. */
  keepaliveCountMax: number;
  /** Machines on the way, the nearest to us first. */
  jumps: SshHost[];
}

export interface Overrides {
  hostName?: string;
  port?: number;
  user?: string;
  identityFiles?: readonly string[];
  identitiesOnly?: boolean;
  /** As in ssh_config: `ann@gate:22,inner`, or `none`. */
  proxyJump?: string;
  /** Also for the machines on the way. */
  trust?: SshHost["trust"];
  /** In place of the configured files. Also for the machines on the way. */
  knownHosts?: readonly string[];
}

export interface ResolveOptions {
  /** Files, which may be absent. @default `~/.ssh/config`, `/etc/ssh/ssh_config` */
  config?: readonly string[];
  overrides?: Overrides;
  /** HOME, USER or LOGNAME, SSH_AUTH_SOCK, and what `${NAME}` in the configuration asks for. */
  environment: Readonly<Record<string, string | undefined>>;
}

const JUMPS_MAX = 8;
const KEEPALIVE_COUNT_MAX = 3; // OpenSSH's own default

/**
 * All about the way to a host. @param name `web-1`, `ann@web-1`, `ann@web-1:2222`, `[::1]:22`, `ssh://…`
 * @throws {SshConfigError} that names the line
 */
export async function resolveHost(name: string, options: ResolveOptions): Promise<SshHost> {
  const home = options.environment["HOME"];
  const localUser = options.environment["USER"] ?? options.environment["LOGNAME"];
  if (!home || !localUser) {
    throw new SshConfigError("Cannot resolve a host: HOME and USER are not set; set them");
  }
  const files = options.config ?? [`${home}/.ssh/config`, "/etc/ssh/ssh_config"];
  const lines = await readSshConfig(files, home);
  return resolve(name, { lines, home, localUser, environment: options.environment }, options.overrides ?? {});
}

interface Context {
  lines: readonly ConfigLine[];
  home: string;
  localUser: string;
  environment: ResolveOptions["environment"];
}

function resolve(name: string, context: Context, overrides: Overrides, depth = 0): SshHost {
  const { home, localUser, environment } = context;
  const asked = parseDestination(name);
  const lines = [...overrideLines(asked, overrides), ...context.lines];
  const found = settingsFor(lines, { originalHost: asked.host, localUser });
  const value = new Values(found);

  const hostName =
    value.text("hostname")?.replace(/%([%h])/g, (_, token) => token === "%" ? "%" : asked.host) ??
      asked.host;
  const port = value.integer("port", 1, 65_535) ?? 22;
  const user = value.text("user") ?? localUser;
  const hostKeyAlias = value.text("hostkeyalias");
  const tokens: Record<string, string> = {
    "%": "%",
    d: home,
    h: hostName,
    k: hostKeyAlias ?? asked.host,
    n: asked.host,
    p: String(port),
    r: user,
    u: localUser,
  };
  const expand = (setting: Setting): string[] => {
    return setting.args.filter((each) => each !== "none").map((each) =>
      expandPath(each, setting.place, tokens, context)
    );
  };
  const paths = (keyword: string, defaults: readonly string[]) =>
    expand(found.get(keyword) ?? { args: [...defaults], place: "default" });

  const userKnown = paths("userknownhostsfile", ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]);
  const globalKnown = paths("globalknownhostsfile", [
    "/etc/ssh/ssh_known_hosts",
    "/etc/ssh/ssh_known_hosts2",
  ]);
  const connectS = value.seconds("connecttimeout");
  const aliveS = value.seconds("serveraliveinterval");
  return {
    name: asked.host,
    hostName,
    port,
    user,
    hostKeyAlias,
    trust: overrides.trust ?? trustOf(found.get("stricthostkeychecking")),
    knownHosts: [...overrides.knownHosts ?? [...userKnown, ...globalKnown]],
    newKnownHosts: (overrides.knownHosts ?? userKnown)[0] ?? null,
    hashKnownHosts: value.yes("hashknownhosts"),
    identityFiles: paths("identityfile", ["~/.ssh/id_rsa", "~/.ssh/id_ecdsa", "~/.ssh/id_ed25519"]),
    certificateFiles: paths("certificatefile", []),
    identitiesOnly: value.yes("identitiesonly"),
    agent: agentOf(found.get("identityagent"), expand, environment),
    algorithms: algorithmsFrom(found),
    bindAddress: value.text("bindaddress"),
    family: FAMILIES[value.text("addressfamily")?.toLowerCase() ?? "any"] ?? 0,
    connectMs: connectS ? connectS * 1000 : null,
    keepaliveMs: aliveS ? aliveS * 1000 : null,
    keepaliveCountMax: value.integer("serveralivecountmax", 1, 1000) ?? KEEPALIVE_COUNT_MAX,
    jumps: jumpsOf(found.get("proxyjump"), context, overrides, depth),
  };
}

const FAMILIES: Readonly<Record<string, 0 | 4 | 6>> = { any: 0, inet: 4, inet6: 6 };

/** `ann@gate,inner`: the first by its own way, each other through the one before it. */
function jumpsOf(
  setting: Setting | undefined,
  context: Context,
  overrides: Overrides,
  depth: number,
): SshHost[] {
  if (setting === undefined || setting.args[0] === "none") return [];
  if (depth >= JUMPS_MAX) {
    throw new SshConfigError(
      `${setting.place}: ProxyJump leads through more than ${JUMPS_MAX} hosts: a ring?`,
    );
  }
  const { trust, knownHosts } = overrides;
  const forAll = { ...(trust && { trust }), ...(knownHosts && { knownHosts }) };
  return setting.args.join("").split(",").flatMap((name, n) => {
    const jump = resolve(name, context, n === 0 ? forAll : { ...forAll, proxyJump: "none" }, depth + 1);
    return [...jump.jumps, { ...jump, jumps: [] }];
  });
}

function trustOf(setting: Setting | undefined): SshHost["trust"] {
  const value = setting?.args[0]?.toLowerCase() ?? "ask";
  if (["yes", "true", "ask"].includes(value)) return "known-only";
  if (value === "accept-new") return "on-first-use";
  throw new SshConfigError(
    `${setting?.place}: StrictHostKeyChecking ${value} is not offered, since anybody could then be the host: use accept-new`,
  );
}

function agentOf(
  setting: Setting | undefined,
  expand: (setting: Setting) => string[],
  environment: ResolveOptions["environment"],
): string | null {
  const value = setting?.args[0] ?? "SSH_AUTH_SOCK";
  if (value === "SSH_AUTH_SOCK") return environment["SSH_AUTH_SOCK"] || null;
  if (value.startsWith("$") && !value.startsWith("${")) return environment[value.slice(1)] || null;
  return setting === undefined ? null : expand(setting)[0] ?? null;
}

/** @throws {SshConfigError} for a token, user or variable that is not there */
function expandPath(
  path: string,
  place: string,
  tokens: Readonly<Record<string, string>>,
  { home, environment }: Context,
): string {
  const fail = (what: string) => {
    throw new SshConfigError(`${place}: ${what} in "${path}" is not supported: write it out`);
  };
  const filled = path
    .replace(/%(.?)/gs, (whole, token) => Object.hasOwn(tokens, token) ? tokens[token] ?? "" : fail(whole))
    .replace(/\$\{([^}]*)\}/g, (whole, name) => environment[name] ?? fail(whole))
    .replace(/^~(?=\/|$)/, home);
  return filled.startsWith("~") ? fail("~user") : filled;
}

interface Destination {
  host: string;
  user: string | null;
  port: number | null;
}

/** @throws {SshConfigError} when it is none */
export function parseDestination(text: string): Destination {
  const bare = text.trim().replace(/^ssh:\/\//, "").replace(/\/$/, "");
  const [, user = null, bracketed, plain, portText] =
    /^(?:(.+)@)?(?:\[([^\]\s]+)\]|([^\s@[\]]+?))(?::(\d+))?$/.exec(bare) ?? [];
  // Two colons and no brackets: an IPv6 address, whose last part is no port.
  const isBareIpv6 = plain?.includes(":") === true;
  const host = bracketed ?? (isBareIpv6 && portText !== undefined ? `${plain}:${portText}` : plain);
  const port = portText === undefined || isBareIpv6 ? null : Number(portText);
  if (host === undefined || host.startsWith("-") || port !== null && (port < 1 || port > 65_535)) {
    throw new SshConfigError(`"${text}" is no host: write it as user@host:port, user and port as needed`);
  }
  return { host, user, port };
}

/** Overrides as lines before all others (W1). */
function overrideLines(asked: Destination, overrides: Overrides): ConfigLine[] {
  const { identityFiles, identitiesOnly } = overrides;
  const values: Record<string, readonly string[] | undefined> = {
    hostname: list(overrides.hostName),
    port: list(asked.port ?? overrides.port),
    user: list(asked.user ?? overrides.user),
    identityfile: identityFiles,
    identitiesonly: list(identitiesOnly === undefined ? undefined : identitiesOnly ? "yes" : "no"),
    proxyjump: list(overrides.proxyJump),
  };
  return Object.entries(values).flatMap(([keyword, args]) =>
    args === undefined ? [] : [{ keyword, args: [...args], place: `given for ${asked.host}` }]
  );
}

function list(value: string | number | null | undefined): string[] | undefined {
  return value === undefined || value === null ? undefined : [String(value)];
}

/** Reads settings as what they have to be. */
class Values {
  constructor(private readonly found: ReadonlyMap<string, Setting>) {}

  text(keyword: string): string | null {
    return this.found.get(keyword)?.args[0] ?? null;
  }

  yes(keyword: string): boolean {
    return this.#read(keyword, "yes or no", (text) => {
      if (/^(yes|true)$/i.test(text)) return true;
      return /^(no|false)$/i.test(text) ? false : null;
    }) ?? false;
  }

  integer(keyword: string, min: number, max: number): number | null {
    return this.#read(keyword, `a number from ${min} to ${max}`, (text) => {
      const value = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
      return value >= min && value <= max ? value : null;
    });
  }

  /** `90`, `1m30s` */
  seconds(keyword: string): number | null {
    return this.#read(keyword, "a time such as 90 or 1m30s", (text) => {
      if (!/^(\d{1,6}[smhdw])*\d{1,6}[smhdw]?$/i.test(text)) return text.toLowerCase() === "none" ? 0 : null;
      const parts = text.toLowerCase().matchAll(/(\d+)([smhdw]?)/g);
      return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (UNITS_S[unit ?? ""] ?? 1), 0);
    });
  }

  #read<T>(keyword: string, what: string, read: (text: string) => T | null): T | null {
    const setting = this.found.get(keyword);
    if (setting === undefined) return null;
    const value = read(setting.args[0] ?? "");
    if (value !== null) return value;
    throw new SshConfigError(`${setting.place}: ${keyword} has to be ${what}, not "${setting.args[0]}"`);
  }
}

const UNITS_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
