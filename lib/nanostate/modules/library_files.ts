/**
 * The files that a module library reads.
 *
 * Synchronous: a bundle reads some sixty small files, which one after another take 2 ms so and 20 ms with promises, and
 * a library is asked what does a module while states are compiled.
 */
import { type Dirent, readdirSync, readFileSync, statSync } from "node:fs";
import { MODULE_BYTES_MAX } from "../limits.ts";

export interface FolderEntry {
  name: string;
  isFolder: boolean;
}

export interface LibraryFiles {
  /** Null when there is no such file. @throws what the system says of a file that is there and cannot be read */
  read(path: string): Uint8Array | null;
  /** Sorted by name, links followed; null when there is no such folder. */
  list(folder: string): readonly FolderEntry[] | null;
}

const ABSENT = new Set(["ENOENT", "ENOTDIR", "EISDIR"]);

export function realFiles(): LibraryFiles {
  return {
    read: (path) => orNull(() => readBounded(path)),
    list: (folder) => orNull(() => listFolder(folder)),
  };
}

function readBounded(path: string): Uint8Array {
  const { size } = statSync(path);
  if (size <= MODULE_BYTES_MAX) return readFileSync(path);
  throw new RangeError(`${path} has ${size} bytes; at most ${MODULE_BYTES_MAX} are read`);
}

function listFolder(folder: string): FolderEntry[] {
  const entries = readdirSync(folder, { withFileTypes: true }).map((entry) => toEntry(folder, entry));
  return entries.sort((a, b) => a.name < b.name ? -1 : 1);
}

function toEntry(folder: string, entry: Dirent): FolderEntry {
  const { name } = entry;
  if (!entry.isSymbolicLink()) return { name, isFolder: entry.isDirectory() };
  const isFolder = orNull(() => statSync(`${folder}/${name}`).isDirectory()) ?? false; // null: a link to nothing
  return { name, isFolder };
}

function orNull<T>(work: () => T): T | null {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error && "code" in error && ABSENT.has(String(error.code))) return null;
    throw error;
  }
}
