/** The suite of the Store contract once more, with one-phase and async commits, which the real test servers do wrong. */
import { realScope } from "../../lib/mesh/real_scope.ts";
import { storeSuite } from "../../lib/store/store_suite.ts";
import { connectTikvStore } from "../../lib/store/tikv.ts";
import { ScriptedCluster } from "./scripted/cluster.ts";

const scope = realScope({ name: "tikv store test" });

storeSuite("tikv, scripted", async () => {
  const cluster = await ScriptedCluster.start();
  cluster.topology.split(new TextEncoder().encode("salar/d/c"));
  const open = () => connectTikvStore(scope, { pd: cluster.addresses, prefix: "salar/" });
  let store = await open();
  return {
    store,
    async reopen() {
      await store.close();
      return store = await open();
    },
    async close() {
      await store.close();
      await cluster.stop();
    },
  };
}, { durable: true });
