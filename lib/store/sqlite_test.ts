/** The embedded store passes the suite, and tells its own troubles plainly. */
import { openSqliteStore } from "./sqlite.ts";
import { type OpenedStore, storeSuite } from "./store_suite.ts";

storeSuite("sqlite in memory", () => opened(":memory:"), { durable: false });

storeSuite("sqlite in a file", async () => {
  const folder = await Deno.makeTempDir({ prefix: "salar-store-" });
  return opened(`${folder}/store.db`, () => Deno.remove(folder, { recursive: true }));
}, { durable: true });

function opened(path: string, remove = () => Promise.resolve()): Promise<OpenedStore> {
  let store = openSqliteStore({ path });
  return Promise.resolve({
    store,
    async reopen() {
      await store.close();
      return store = openSqliteStore({ path });
    },
    async close() {
      await store.close();
      await remove();
    },
  });
}
