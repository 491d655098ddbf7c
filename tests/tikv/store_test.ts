/** The cluster's store passes the suite of the Store contract, unchanged, on real placement driver and stores. */
import { realScope } from "../../lib/mesh/real_scope.ts";
import { type OpenedStore, storeSuite } from "../../lib/store/store_suite.ts";
import { storeLargeSuite } from "../../lib/store/store_suite_large.ts";
import { connectTikvStore } from "../../lib/store/tikv.ts";
import { type AnyCluster, anyCluster } from "./any_cluster.ts";

const scope = realScope({ name: "tikv store test" });

let cluster: AnyCluster | null = null;
Deno.test.beforeAll(async () => {
  cluster = await anyCluster();
});
Deno.test.afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]();
});

/** An empty store: a prefix that nobody else has. */
async function opened(): Promise<OpenedStore> {
  const { pd = [], commit } = cluster ?? {};
  const prefix = `test-${crypto.randomUUID()}/`;
  const open = () => connectTikvStore(scope, { pd, prefix, commit });
  let store = await open();
  return {
    store,
    async reopen() {
      await store.close();
      return store = await open();
    },
    close: () => store.close(),
  };
}

storeSuite("tikv", opened, { durable: true });
storeLargeSuite("tikv", opened);
