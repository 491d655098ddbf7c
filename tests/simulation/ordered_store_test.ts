/** The simulation's store keeps the contract of every store. */
import { storeSuite } from "../../lib/store/store_suite.ts";
import { openOrderedStore, OrderedData } from "./ordered_store.ts";

const link = {
  reach: () => Promise.resolve(),
  commit: <T>(_scope: unknown, apply: () => T) => Promise.resolve(apply()),
};

storeSuite("ordered map", () => {
  const data = new OrderedData();
  const store = openOrderedStore(data, link);
  return Promise.resolve({
    store,
    reopen: async () => {
      await store.close();
      return openOrderedStore(data, link);
    },
    close: () => store.close(),
  });
}, { durable: true });
