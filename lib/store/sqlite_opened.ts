/** Opens the embedded store for a suite: in memory, or in a file of a new folder that is removed at the end. */
import { openSqliteStore } from "./sqlite.ts";
import type { OpenedStore } from "./store_suite.ts";

export function openedInMemory(): Promise<OpenedStore> {
  return Promise.resolve(opened(":memory:", () => Promise.resolve()));
}

export async function openedInFile(): Promise<OpenedStore> {
  const folder = await Deno.makeTempDir({ prefix: "salar-store-" });
  return opened(`${folder}/store.db`, () => Deno.remove(folder, { recursive: true }));
}

function opened(path: string, remove: () => Promise<void>): OpenedStore {
  let store = openSqliteStore({ path });
  return {
    store,
    async reopen() {
      await store.close();
      return store = openSqliteStore({ path });
    },
    async close() {
      await store.close();
      await remove();
    },
  };
}
