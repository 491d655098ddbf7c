/** A machine's files: replaced whole, old or new after a crash in the middle, never a mix (lib/seams.ts, `Disk`). */
import type { Disk } from "../../lib/seams.ts";
import { type Life, never } from "./life.ts";

/** They outlive the processes that write them. */
export type Files = Map<string, Uint8Array>;

const LATENCY_MS_MAX = 10;

export function simDisk(life: Life, files: Files): Disk {
  const { kernel } = life;
  const random = life.random.fork("disk");

  function soon<T>(work: () => T): Promise<T> {
    if (life.isDead()) return never();
    return new Promise((resolve) => {
      const value = work();
      queueMicrotask(() => life.deliver(() => resolve(value)));
    });
  }
  /** The rename happens at one instant; a crash before it leaves the old file, one after it the new. */
  function change(work: () => void): Promise<void> {
    if (life.isDead()) return never();
    return new Promise((resolve) => {
      const ms = 1 + random.below(LATENCY_MS_MAX);
      kernel.after(ms, () => {
        if (life.isDead()) return;
        work();
        kernel.after(1, () => life.deliver(resolve));
      });
    });
  }

  return {
    read: (path) => soon(() => files.get(path)?.slice() ?? null),
    replace: (path, bytes) => {
      const copy = bytes.slice();
      return change(() => void files.set(path, copy));
    },
    remove: (path) => change(() => void files.delete(path)),
    list: (folder) =>
      soon(() =>
        [...files.keys()].filter((path) => path.startsWith(`${folder}/`))
          .map((path) => path.slice(folder.length + 1)).filter((name) => !name.includes("/")).sort()
      ),
  };
}
