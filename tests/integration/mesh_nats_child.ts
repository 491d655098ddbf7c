/**
 * A small program on the mesh over NATS, for `mesh_nats_test.ts`: `URL STORE REPLICA [STUCK]`. Its jobs end as they are
 * told to, and leave in the store who ran them at which attempt. With STUCK a job of kind `hold` never ends here.
 */
import { z } from "zod";
import { connectNats } from "../../lib/bus/nats.ts";
import { installNatsGuard } from "../../lib/bus/nats_errors.ts";
import { SalarError } from "../../lib/errors.ts";
import type { MeshFunction } from "../../lib/mesh/function.ts";
import { again, done, handler } from "../../lib/mesh/handler.ts";
import { runChild } from "./mesh_child.ts";

const [url = "", path = "", replica = "", stuck] = Deno.args;
const ACTS = ["done", "again", "retry", "crash", "refuse", "hold"] as const;

const job = handler({
  name: "job",
  subject: "mesh.job.*",
  stream: "MESH",
  input: z.object({ id: z.string(), act: z.enum(ACTS) }),
  async run({ store, scope }, { id, act }, { attempt }) {
    const ran = new TextEncoder().encode(replica);
    await store.write(scope, (tx) => Promise.resolve(tx.put(`ran/${id}/${attempt}`, ran)));
    if (act === "hold" && stuck !== undefined) await scope.sleep(3_600_000);
    if (act === "again" && attempt === 1) return again({ afterMs: 200 });
    if (act === "retry" && attempt < 3) throw new SalarError("unavailable", "Cannot run: a peer is gone");
    if (act === "crash" && attempt < 3) throw new TypeError("a bug");
    if (act === "refuse") throw new SalarError("not-found", "Cannot run: there is no such thing");
    return done();
  },
});

const ask = handler({
  name: "ask",
  subject: "mesh.ask",
  input: z.object({}),
  run: () => Promise.resolve(done({ replica })),
});

const functions: MeshFunction[] = [{
  name: "work",
  routes: [],
  handlers: [job, ask],
  ticks: [],
  streams: [{ name: "MESH", subjects: ["mesh.job.*"], ageMsMax: 3_600_000, bytesMax: 16 * 1024 * 1024 }],
}];

await runChild({
  functions,
  path,
  replica,
  openBus(scope, log) {
    installNatsGuard(log);
    return connectNats(scope, { servers: [url], replicas: 1, name: replica, log });
  },
});
