// deno-lint-ignore-file no-console -- a program speaks through its console
/** A small program on the mesh, for `mesh_drain_test.ts`: slow changing requests, a long poll, a request that hangs. */
import { z } from "zod";
import { openInProcessBus } from "../../lib/bus/in_process.ts";
import { createLog } from "../../lib/log.ts";
import type { MeshFunction } from "../../lib/mesh/function.ts";
import { done } from "../../lib/mesh/handler.ts";
import { startHost } from "../../lib/mesh/host.ts";
import { realCrypt } from "../../lib/mesh/real_crypt.ts";
import { realNet } from "../../lib/mesh/real_net.ts";
import { realProbe } from "../../lib/mesh/real_probe.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { route } from "../../lib/mesh/route.ts";
import { runUntilSignal } from "../../lib/mesh/run.ts";
import { createTrust } from "../../lib/mesh/trust.ts";
import { generateIdentity } from "../../lib/secure/keys.ts";
import { openSqliteStore } from "../../lib/store/sqlite.ts";

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
  run: async ({ scope }) => done(void await scope.sleep(25_000)),
});

const hang = route({
  ...base,
  name: "hang",
  method: "GET",
  path: "/hang",
  run: async ({ scope }) => done(void await scope.sleep(25_000)),
});

const functions: MeshFunction[] = [
  { name: "drained", routes: [add, poll, hang], handlers: [], ticks: [], streams: [] },
];

const [path = ""] = Deno.args;
const log = createLog({ level: "info", nowMs: Date.now, write: (line) => console.error(line) });
const scope = realScope({ name: "child", log });
const store = openSqliteStore({ path });
const bus = openInProcessBus({ scope, log });
const net = realNet();
const host = await startHost({
  functions,
  scope,
  store,
  bus,
  net,
  crypt: realCrypt(),
  signer: generateIdentity(),
  probe: realProbe(log),
  log,
  cluster: "c-test",
  replica: "r1",
  trust: createTrust({
    authenticate: () => Promise.resolve(null),
    identify: () => Promise.resolve(null),
  }),
  http: { hostname: "127.0.0.1", port: 0 },
});
console.log(host.url);
await runUntilSignal([host], {
  log,
  async close() {
    await bus.close();
    await store.close();
    net.close();
  },
});
