import { busSuite } from "./bus_suite.ts";
import { createBroker } from "./in_process.ts";
import { testScope } from "./testing_scope.ts";

busSuite("in-process bus", () => {
  const scope = testScope();
  const broker = createBroker(scope);
  return Promise.resolve({
    scope,
    connect: () => Promise.resolve(broker.connect()),
    stop() {
      scope.end();
      return Promise.resolve();
    },
  });
});
