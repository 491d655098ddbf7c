/** The NATS adapter passes the suite of the bus on a real server. */
import { busSuite } from "../../lib/bus/bus_suite.ts";
import { connectNats } from "../../lib/bus/nats.ts";
import { testScope } from "../../lib/bus/testing_scope.ts";
import type { Bus } from "../../lib/bus/bus.ts";
import { silentLog } from "../../lib/log.ts";
import { type Nats, startNats } from "../parts/nats.ts";

let nats: Nats;
Deno.test.beforeAll(async () => {
  nats = await startNats();
});
Deno.test.afterAll(() => nats.stop());

busSuite("NATS bus", () => {
  const scope = testScope();
  const open: Bus[] = [];
  return Promise.resolve({
    scope,
    async connect() {
      const bus = await connectNats(scope, {
        servers: [nats.url],
        replicas: 1,
        name: "suite",
        log: silentLog,
      });
      open.push(bus);
      return bus;
    },
    async stop() {
      scope.end();
      await Promise.all(open.map((bus) => bus.close()));
    },
  });
});
