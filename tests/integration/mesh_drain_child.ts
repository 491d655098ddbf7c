/** A small program on the mesh, for `mesh_drain_test.ts`: slow changing requests, a long poll, a request that hangs. */
import { z } from "zod";
import { openInProcessBus } from "../../lib/bus/in_process.ts";
import type { MeshFunction } from "../../lib/mesh/function.ts";
import { done } from "../../lib/mesh/handler.ts";
import { route } from "../../lib/mesh/route.ts";
import { runChild } from "./mesh_child.ts";

const Nothing = z.object({});
const base = { role: "public", summary: "For a test", reply: Nothing } as const;

const add = route({
  ...base,
  name: "add",
  method: "POST",
  path: "/add/{id}",
  params: z.object({ id: z.string() }),
  async run({ scope, store }, { params }) {
    await scope.sleep(scope.random.below(60));
    await store.write(scope, (tx) => Promise.resolve(tx.put(`added/${params.id}`, new Uint8Array())));
    await scope.sleep(scope.random.below(20));
    return done({});
  },
});

const poll = route({
  ...base,
  name: "poll",
  method: "GET",
  path: "/poll",
  waits: true,
  async run({ scope, log }) {
    log.info("poll waits");
    return done(void await scope.sleep(25_000));
  },
});

const hang = route({
  ...base,
  name: "hang",
  method: "GET",
  path: "/hang",
  async run({ scope, log }) {
    log.info("request hangs");
    return done(void await scope.sleep(25_000));
  },
});

const functions: MeshFunction[] = [
  { name: "drained", routes: [add, poll, hang], handlers: [], ticks: [], streams: [] },
];

const [path = ""] = Deno.args;
await runChild({
  functions,
  path,
  replica: "r1",
  openBus: (scope, log) => Promise.resolve(openInProcessBus({ scope, log })),
});
