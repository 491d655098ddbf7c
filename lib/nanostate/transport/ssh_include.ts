/**
 * Reads the files of ssh_config and what they `Include`.
 *
 * In: paths, which may be absent. Out: their lines. Each `Include` has its files' lines with it.
 * I1. Bounded: INCLUDE_DEPTH_MAX files inside each other, CONFIG_BYTES_MAX a file, CONFIG_FILES_MAX in all.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { type ConfigLine, parseSshConfig, SshConfigError } from "./ssh_config.ts";

const INCLUDE_DEPTH_MAX = 16;
const CONFIG_FILES_MAX = 500;
const CONFIG_BYTES_MAX = 1024 * 1024;
const SYSTEM = "/etc/ssh";

/** @throws {SshConfigError} also for a file that is there and cannot be read */
export async function readSshConfig(paths: readonly string[], home: string): Promise<ConfigLine[]> {
  const budget = { files: CONFIG_FILES_MAX };
  const lines: ConfigLine[] = [];
  for (const path of paths) lines.push(...await linesOf(path, { home, depth: 0, budget }));
  return lines;
}

interface Reading {
  home: string;
  depth: number;
  budget: { files: number };
}

async function linesOf(path: string, reading: Reading): Promise<ConfigLine[]> {
  const { home, depth, budget } = reading;
  const text = await textOf(path);
  if (text === null) return [];
  if (budget.files-- === 0 || depth > INCLUDE_DEPTH_MAX) {
    throw new SshConfigError(`${path}: too many files include each other: is there a ring?`);
  }
  const lines = parseSshConfig(text, path);
  for (const line of lines) {
    if (line.keyword !== "include") continue;
    line.included = [];
    const folder = path.startsWith(`${SYSTEM}/`) ? SYSTEM : `${home}/.ssh`;
    for (const pattern of line.args) {
      const whole = pattern.replace(/^~(?=\/)/, home).replace(/^(?!\/)/, `${folder}/`);
      for (const file of await filesOf(whole)) {
        line.included.push(...await linesOf(file, { home, depth: depth + 1, budget }));
      }
    }
  }
  return lines;
}

async function textOf(path: string): Promise<string | null> {
  try {
    const { size } = await stat(path);
    if (size > CONFIG_BYTES_MAX) {
      throw new SshConfigError(`${path}: ${size} bytes are more than ${CONFIG_BYTES_MAX}`);
    }
    return await readFile(path, "utf8");
  } catch (error) {
    if (isAbsent(error)) return null;
    if (error instanceof SshConfigError) throw error;
    throw new SshConfigError(`${path}: it cannot be read: make it readable for you`, { cause: error });
  }
}

/** Paths that a pattern with `*`, `?` and `[…]` stands for, sorted as the shell does. */
async function filesOf(pattern: string): Promise<string[]> {
  let found = [""];
  for (const part of pattern.split("/").slice(1)) {
    if (!/[*?[]/.test(part)) {
      found = found.map((folder) => `${folder}/${part}`);
      continue;
    }
    const next: string[] = [];
    for (const folder of found) {
      const names = await readdir(folder === "" ? "/" : folder).catch(() => []); // no such folder: no such files
      const shown = names.filter((name) => glob(part).test(name) && !name.startsWith("."));
      next.push(...shown.toSorted().map((name) => `${folder}/${name}`));
    }
    found = next;
  }
  return found;
}

function glob(part: string): RegExp {
  const source = part.replace(/[.+^${}()|\\]/g, "\\$&").replaceAll("*", "[^/]*").replaceAll("?", "[^/]");
  try {
    return new RegExp(`^${source.replaceAll("[!", "[^")}$`);
  } catch {
    return /^(?!)/; // a "[" that does not end matches nothing
  }
}

export function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
