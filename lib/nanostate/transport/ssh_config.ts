/**
 * ssh_config: the lines of OpenSSH's client configuration that hold for one host.
 *
 * In: text of files (`Include`d ones too), what the host was called. Out: each keyword's arguments, with their place.
 * G1. The first value of a keyword wins; only lists of keys grow.
 * G2. A keyword that we do not know is passed over. One that changes the way to the host or whom it trusts, and that
 *     we do not do, is an error that names it: nothing is done otherwise than was configured.
 * Source: ssh_config(5), OpenSSH 9.2.
 */
import { matchesHost } from "./known_hosts.ts";

export interface ConfigLine {
  /** Lower case. */
  keyword: string;
  args: string[];
  /** `/home/ann/.ssh/config:7` */
  place: string;
  /** Of `Include`: the lines of its files, in order. */
  included?: ConfigLine[];
}

export interface Setting {
  args: string[];
  place: string;
}

export class SshConfigError extends Error {
  override readonly name = "SshConfigError";
}

/** Keywords whose every line counts. */
const GROWING = new Set(["identityfile", "certificatefile"]);

/** Keyword → the values of it that change nothing. Any other value is refused (G2). */
const UNSUPPORTED: Readonly<Record<string, { harmless: readonly string[]; instead: string }>> = {
  proxycommand: { harmless: ["none"], instead: "use ProxyJump" },
  proxyusefdpass: { harmless: ["no"], instead: "use ProxyJump" },
  canonicalizehostname: { harmless: ["no"], instead: "give the whole name" },
  bindinterface: { harmless: ["none"], instead: "use BindAddress" },
  revokedhostkeys: { harmless: ["none"], instead: "use @revoked lines in known_hosts" },
};

/** @param file for places. @throws {SshConfigError} for a quote that does not end and a line without arguments */
export function parseSshConfig(text: string, file: string): ConfigLine[] {
  return text.split("\n").flatMap((line, n) => {
    const place = `${file}:${n + 1}`;
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#")) return [];
    const [, keyword = "", rest = ""] = /^"?([^\s="]+)"?(?:\s*=\s*|\s+|$)(.*)$/.exec(trimmed) ?? [];
    const args = words(rest, place);
    if (keyword === "" || args.length === 0) {
      throw new SshConfigError(`${place}: "${trimmed}" has no value: give it one or remove the line`);
    }
    return [{ keyword: keyword.toLowerCase(), args, place }];
  });
}

/** What the host is called, for `Host` and `Match`. */
export interface ConfigQuery {
  originalHost: string;
  localUser: string;
}

/** The settings for one host. @throws {SshConfigError} (G2) */
export function settingsFor(lines: readonly ConfigLine[], query: ConfigQuery): Map<string, Setting> {
  const found = new Map<string, Setting>();
  collect(lines, true, found, query);
  for (const [keyword, { harmless, instead }] of Object.entries(UNSUPPORTED)) {
    const setting = found.get(keyword);
    if (setting === undefined || harmless.includes(setting.args.join(" ").toLowerCase())) continue;
    throw new SshConfigError(
      `${setting.place}: ${keyword} is not supported: ${instead}, or set it to "${
        harmless[0]
      }" for this host`,
    );
  }
  return found;
}

/** @param isActive whether the block around the lines holds for the host */
function collect(
  lines: readonly ConfigLine[],
  isActive: boolean,
  found: Map<string, Setting>,
  query: ConfigQuery,
): void {
  const outside = isActive;
  let active = isActive;
  for (const { keyword, args, place, included } of lines) {
    if (keyword === "host") {
      active = outside && isHost(args, query.originalHost);
    } else if (keyword === "match") {
      active = outside && isMatch(args, place, found, query);
    } else if (active && included !== undefined) {
      collect(included, active, found, query);
    } else if (active) {
      const before = found.get(keyword);
      if (before === undefined) found.set(keyword, { args, place });
      else if (GROWING.has(keyword)) found.set(keyword, { place, args: [...before.args, ...args] });
    }
  }
}

function isHost(patterns: readonly string[], host: string): boolean {
  const matches = (negated: boolean) =>
    patterns.some((each) =>
      each.startsWith("!") === negated && matchesHost(each.slice(negated ? 1 : 0), host)
    );
  return matches(false) && !matches(true);
}

function isMatch(
  args: readonly string[],
  place: string,
  found: ReadonlyMap<string, Setting>,
  { originalHost, localUser }: ConfigQuery,
): boolean {
  const host = found.get("hostname")?.args[0]?.replaceAll("%h", originalHost) ?? originalHost;
  const user = found.get("user")?.args[0] ?? localUser;
  const subjects: Record<string, string> = { host, originalhost: originalHost, user, localuser: localUser };

  let matches = true;
  for (let n = 0; n < args.length; n++) {
    const word = args[n]?.toLowerCase() ?? "";
    const isNegated = word.startsWith("!");
    const [criterion = "", inline] = word.slice(isNegated ? 1 : 0).split("=", 2);
    if (criterion === "all" && args.length === 1) return !isNegated;
    const subject = Object.hasOwn(subjects, criterion) ? subjects[criterion] : undefined;
    if (subject === undefined) {
      throw new SshConfigError(
        `${place}: Match ${criterion} is not supported: use host, originalhost, user, localuser, or all alone`,
      );
    }
    const patterns = inline ?? args[++n];
    if (patterns === undefined) throw new SshConfigError(`${place}: Match ${criterion} has no pattern`);
    if (isHost(patterns.split(","), subject) === isNegated) matches = false;
  }
  return matches;
}

/** Arguments of a line: blanks part them, quotes keep them together, a `#` before one ends the line. */
function words(rest: string, place: string): string[] {
  const found: string[] = [];
  for (let at = 0; at < rest.length;) {
    if (/\s/.test(rest.charAt(at))) {
      at++;
      continue;
    }
    if (rest[at] === "#") break;
    let word = "";
    let quote = "";
    for (; at < rest.length; at++) {
      const char = rest.charAt(at);
      if (quote === "" && /\s/.test(char)) break;
      if (char === "\\" && /["'\\]|\s/.test(rest.charAt(at + 1))) word += rest.charAt(++at);
      else if (quote === "" && (char === '"' || char === "'")) quote = char;
      else if (char === quote) quote = "";
      else word += char;
    }
    if (quote !== "") throw new SshConfigError(`${place}: a ${quote} does not end: close it`);
    found.push(word);
  }
  return found;
}
