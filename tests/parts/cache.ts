/**
 * What was downloaded or built for the tests, kept outside the work tree so that a second run starts at once.
 *
 * In: a name, a version and how to build. Out: the folder `${XDG_CACHE_HOME:-~/.cache}/salar/parts/<name>-<version>`.
 * K1. A folder under its final name is complete: it is built under another name and renamed.
 * K2. Two processes never build the same thing at once: a file lock, which the kernel drops when its holder dies.
 */
import { SalarError } from "../../lib/errors.ts";

const LOCK_WAIT_MS_MAX = 15 * 60_000;
const LOCK_POLL_MS = 100;

export interface CacheEntry {
  name: string;
  /** Exact: another version is another folder. */
  version: string;
  /** Fills the empty `folder`, which is renamed afterwards: nothing in it may depend on its present path. */
  build(folder: string): Promise<void>;
}

/** The folder of a part; built first, with one line on standard error, where it is absent. */
export async function cached({ name, version, build }: CacheEntry): Promise<string> {
  const folder = `${cacheRoot()}/${name}-${version}`;
  if (await exists(folder)) return folder;
  return await withLock(`${name}-${version}`, async () => {
    if (await exists(folder)) return folder; // another process built it while this one waited
    say(`Installing ${name} ${version} into ${folder}`);
    const unfinished = await Deno.makeTempDir({ dir: cacheRoot(), prefix: `.${name}-` });
    try {
      await build(unfinished);
      await Deno.chmod(unfinished, 0o755); // servers that refuse to run as root read it as somebody else
      await Deno.rename(unfinished, folder);
    } catch (error) {
      await Deno.remove(unfinished, { recursive: true });
      throw error;
    }
    return folder;
  });
}

/** Runs `work` while no other process of this user runs work under the same `name`. */
export async function withLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  await Deno.mkdir(cacheRoot(), { recursive: true });
  const path = `${cacheRoot()}/.${name}.lock`;
  using file = await Deno.open(path, { create: true, write: true });
  const untilMs = performance.now() + LOCK_WAIT_MS_MAX;
  while (!await file.tryLock(true)) {
    if (performance.now() > untilMs) {
      throw new SalarError(
        "deadline",
        `Cannot lock ${path}: another process has held it for ${LOCK_WAIT_MS_MAX} ms`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, LOCK_POLL_MS));
  }
  return await work(); // closing the file, by any way out, gives the lock back
}

export async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** One line of progress for the person who waits. */
export function say(line: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(`${line}\n`));
}

function cacheRoot(): string {
  const home = Deno.env.get("XDG_CACHE_HOME") ?? `${Deno.env.get("HOME") ?? "/root"}/.cache`;
  return `${home}/salar/parts`;
}
