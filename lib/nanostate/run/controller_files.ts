/**
 * The files of this machine, for `copy` and its kin, and for what `fetch` brings.
 *
 * C1. Contents are read in pieces; nothing holds a whole file.
 * C2. A fetched file is written beside its place and renamed over it: there is the old one or the new one.
 * C3. A walk is bounded, also where links make a ring.
 */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, open, readdir, readlink, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { LOCAL_FILES_MAX } from "../limits.ts";
import type { ControllerFiles, LocalFile, Received } from "./run.ts";

const PERMISSION_BITS = 0o7777;
const MODE = 0o600;

export function controllerFiles(): ControllerFiles {
  return { walk, receive };
}

async function walk(root: string, { follow }: { follow: boolean }): Promise<LocalFile[] | null> {
  const found: LocalFile[] = [];
  /** @param above real paths of the folders that it is in */
  const visit = async (path: string, below: string, above: readonly string[]): Promise<void> => {
    if (found.length >= LOCAL_FILES_MAX) {
      throw new RangeError(
        `Cannot send ${root}: it has more than ${LOCAL_FILES_MAX} files; pack it, and use unarchive`,
      );
    }
    const isFollowed = follow || below === "";
    const info = await (isFollowed ? stat(path) : lstat(path));
    const basics = { path: below, mode: info.mode & PERMISSION_BITS, size: info.size };
    if (info.isSymbolicLink()) {
      found.push({ ...basics, type: "link", target: await readlink(path), read: () => readPieces(path) });
    } else if (info.isFile()) {
      found.push({ ...basics, type: "file", read: () => readPieces(path) });
    } else if (info.isDirectory()) {
      const real = await realpath(path);
      if (above.includes(real)) throw new RangeError(`Cannot send ${root}: ${below} links back to ${real}`);
      found.push({ ...basics, type: "folder", read: () => readPieces(path) });
      for (const name of (await readdir(path)).sort()) {
        await visit(join(path, name), below === "" ? name : `${below}/${name}`, [...above, real]);
      }
    } // sockets, pipes and devices are not sent
  };
  if (await missing(root)) return null;
  await visit(root, "", []);
  return found;
}

async function missing(path: string): Promise<boolean> {
  try {
    await stat(path);
    return false;
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return true;
    throw error;
  }
}

async function* readPieces(path: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path) as AsyncIterable<Uint8Array>;
}

async function receive(near: string, pieces: AsyncIterable<Uint8Array>): Promise<Received> {
  const folder = near.endsWith("/") ? near : dirname(near);
  await mkdir(folder, { recursive: true });
  const beside = join(folder, `.${basename(near)}.${randomUUID()}.new`);
  const drop = () => rm(beside, { force: true });
  try {
    const sha1 = await write(beside, pieces);
    return { sha1, drop, keep: (path) => keep(beside, sha1, path).finally(drop) };
  } catch (error) {
    await drop();
    throw error;
  }
}

async function write(path: string, pieces: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash("sha1");
  const file = await open(path, "wx", MODE);
  try {
    for await (const piece of pieces) {
      hash.update(piece);
      for (let at = 0; at < piece.length;) {
        at += (await file.write(piece, at)).bytesWritten;
      }
    }
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}

/** C2 */
async function keep(beside: string, sha1: string, path: string): Promise<boolean> {
  if (await sha1Of(path) === sha1) return false;
  await mkdir(dirname(path), { recursive: true });
  await rename(beside, path);
  return true;
}

/** Null when there is no such file. */
async function sha1Of(path: string): Promise<string | null> {
  const hash = createHash("sha1");
  try {
    for await (const piece of readPieces(path)) hash.update(piece);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return null;
    throw error;
  }
  return hash.digest("hex");
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
