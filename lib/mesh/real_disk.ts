/**
 * The disk of a real process: small files, replaced whole (lib/seams.ts, `Disk`).
 *
 * K1. `replace` writes beside, syncs the file, renames over it, syncs the folder: after a crash it is old or new.
 * K2. The mode is given at creation: no moment in which a secret can be read by others.
 * K3. What a crash leaves beside (`.<name>.<random>.new`) is never listed; a later `replace` of the same file removes
 *     it once it is an hour old, when no writer can still be at it.
 */
import { basename, dirname, join } from "node:path";
import { isSalarError, messageOf, SalarError } from "../errors.ts";
import type { Disk, Random } from "../seams.ts";
import { realRandom } from "./real_scope.ts";

const MODE = 0o600;
const LEFTOVER_MS = 3_600_000;

export function realDisk(random: Random = realRandom()): Disk {
  return {
    read: (path) => orNull("read", path, () => Deno.readFile(path)),

    async replace(path, bytes, { mode = MODE } = {}) {
      const folder = dirname(path);
      await act("write", path, async () => {
        await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
        await removeLeftovers(folder, basename(path));
        const beside = join(folder, `.${basename(path)}.${random.id()}.new`);
        try {
          await writeSynced(beside, bytes, mode);
          await Deno.rename(beside, path);
        } catch (error) {
          await Deno.remove(beside).catch(() => {}); // the first error is the one that matters
          throw error;
        }
        await syncFolder(folder);
      });
    },

    async remove(path) {
      const removed = await orNull("remove", path, () => Deno.remove(path).then(() => true));
      if (removed) await act("remove", path, () => syncFolder(dirname(path)));
    },

    async list(folder) {
      const names = await orNull("list", folder, () => filesIn(folder));
      return (names ?? []).filter((name) => !isLeftover(name)).sort();
    },
  };
}

async function writeSynced(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true, mode });
  for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
  await file.sync();
  await Deno.chmod(path, mode); // the umask may have taken bits away; it never added any
}

async function syncFolder(folder: string): Promise<void> {
  using handle = await Deno.open(folder, { read: true });
  await handle.sync();
}

async function filesIn(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(folder)) if (!entry.isDirectory) names.push(entry.name);
  return names;
}

function isLeftover(name: string): boolean {
  return /^\..+\.[a-z2-7]{26}\.new$/.test(name);
}

async function removeLeftovers(folder: string, name: string): Promise<void> {
  for (const found of await filesIn(folder)) {
    if (!isLeftover(found) || !found.startsWith(`.${name}.`)) continue;
    const path = join(folder, found);
    // Null: another writer has just renamed it.
    const mtimeMs = await orNull(
      "inspect",
      path,
      async () => (await Deno.stat(path)).mtime?.getTime() ?? null,
    );
    if (mtimeMs === null || Date.now() - mtimeMs <= LEFTOVER_MS) continue;
    await orNull("remove", path, () => Deno.remove(path));
  }
}

async function orNull<T>(action: string, path: string, work: () => Promise<T>): Promise<T | null> {
  return await act(action, path, () =>
    work().catch((error) => {
      if (error instanceof Deno.errors.NotFound) return null;
      throw error;
    }));
}

async function act<T>(action: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (isSalarError(cause)) throw cause;
    throw new SalarError("unavailable", `Cannot ${action} ${path}: ${messageOf(cause)}`, { cause });
  }
}
