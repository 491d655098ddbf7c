/** The host on a real NATS server: what each outcome does to a message, and what replicas do for each other. */
import assert from "node:assert/strict";
import { connect as connectRaw } from "nats";
import { z } from "zod";
import type { Bus } from "../../lib/bus/bus.ts";
import { connectNats } from "../../lib/bus/nats.ts";
import { BUS_ACK_WAIT_MS } from "../../lib/limits.ts";
import { silentLog } from "../../lib/log.ts";
import { decodeReply } from "../../lib/mesh/reply.ts";
import { realScope } from "../../lib/mesh/real_scope.ts";
import { openSqliteStore } from "../../lib/store/sqlite.ts";
import { prefixRange } from "../../lib/store/store.ts";
import { type Nats, startNats } from "../parts/nats.ts";
import { waitFor } from "../parts/wait.ts";
import { type Child, startChild } from "./mesh_process.ts";

const Answer = z.object({ replica: z.string() });
const SETTLE_MS = 30_000;
const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
const scope = realScope({ name: "test" });

Deno.test("over NATS: done acks, again and retry come again, a crash comes again, a refusal and no JSON do not", async () => {
  await withMesh(async ({ start, append, bus, runs, settled }) => {
    await using one = await start("r1");
    for (const act of ["done", "again", "retry", "crash", "refuse"]) await append(act, act);
    await bus.append(scope, "mesh.job.x", new TextEncoder().encode("{"), { id: "no-JSON" });
    await settled();
    assert.deepEqual(Object.fromEntries([...await runs()].map(([id, by]) => [id, by.length])), {
      done: 1,
      again: 2,
      retry: 3,
      crash: 3,
      refuse: 1,
    });
    const refused = one.text().split("\n").filter((line) => line.includes('"message refused"'));
    assert.equal(refused.length, 2, one.text());
  });
});

Deno.test("over NATS: two hosts share stored messages and requests; each is answered once", async () => {
  await withMesh(async ({ start, append, ask, runs, settled }) => {
    await using _one = await start("r1");
    await using _two = await start("r2");
    const ids = Array.from({ length: 200 }, (_, at) => `${at}`);
    await Promise.all(ids.map((id) => append(id, "done")));
    await settled();
    const all = await runs();
    assert.deepEqual([...all.keys()].sort(), [...ids].sort());
    assert.ok([...all.values()].every((by) => by.length === 1), "each ran once");
    assert.deepEqual(new Set([...all.values()].flat()), new Set(["r1", "r2"]));
    const answers = await Promise.all(ids.map(() => ask()));
    assert.deepEqual(new Set(answers), new Set(["r1", "r2"]));
  });
});

Deno.test("over NATS: what a killed host had taken comes to the other; a drained one leaves the rest for the next", async () => {
  await withMesh(async ({ start, append, ask, runs, settled }) => {
    await using one = await start("r1", "stuck");
    await using two = await start("r2");
    const ids = Array.from({ length: 40 }, (_, at) => `held-${at}`);
    await Promise.all(ids.map((id) => append(id, "hold")));
    const begun = await waitFor("all are begun", SETTLE_MS, async () => {
      const all = await runs();
      return all.size === ids.length ? all : null;
    });
    const stuck = ids.filter((id) => begun.get(id)?.[0] === "r1");
    assert.ok(stuck.length > 0, "the one that will be killed holds some");

    one.process.kill("SIGKILL");
    await one.process.status;
    await append("meanwhile", "done");
    await waitFor("the other goes on", SETTLE_MS, async () => (await runs()).has("meanwhile"));
    await settled(BUS_ACK_WAIT_MS + SETTLE_MS);
    const all = await runs();
    for (const id of ids) assert.deepEqual(all.get(id), stuck.includes(id) ? ["r1", "r2"] : ["r2"]);
    assert.equal(await ask(), "r2");

    two.process.kill("SIGTERM");
    assert.equal((await two.process.status).code, 0, two.text());
    await append("late", "done");
    await using _three = await start("r3");
    await settled();
    assert.deepEqual((await runs()).get("late"), ["r3"]);
  });
});

interface Mesh {
  bus: Bus;
  start(replica: string, ...more: string[]): Promise<Child>;
  append(id: string, act: string): Promise<void>;
  /** The replica that answers. */
  ask(): Promise<string>;
  /** Of each job the replicas that ran it, by attempt. */
  runs(): Promise<Map<string, string[]>>;
  /** Until the stream's consumer has nothing left and nothing under way. */
  settled(limitMs?: number): Promise<void>;
}

async function withMesh(test: (mesh: Mesh) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/salar.db`;
  const nats = await startNats();
  const store = openSqliteStore({ path });
  const bus = await connectNats(scope, { servers: [nats.url], replicas: 1, name: "test", log: silentLog });
  try {
    await test({
      bus,
      start: (replica, ...more) => startChild("mesh_nats_child.ts", [nats.url, path, replica, ...more]),
      append: async (id, act) => void await bus.append(scope, `mesh.job.${id}`, encode({ id, act }), { id }),
      async ask() {
        return decodeReply(Answer, await bus.request(scope, "mesh.ask", encode({}))).replica;
      },
      async runs() {
        const found = await store.read(scope, (tx) => tx.scan(prefixRange("ran/"), { limit: 10_000 }));
        const runs = new Map<string, string[]>();
        for (const { key, value } of found) {
          const [, id = ""] = key.split("/");
          runs.set(id, [...runs.get(id) ?? [], new TextDecoder().decode(value)]);
        }
        return runs;
      },
      settled: (limitMs = SETTLE_MS) => settled(nats, limitMs),
    });
  } finally {
    await bus.close();
    await store.close();
    await nats.stop();
    await Deno.remove(folder, { recursive: true });
  }
}

async function settled(nats: Nats, limitMs: number): Promise<void> {
  const raw = await connectRaw({ servers: nats.urls });
  try {
    const manager = await raw.jetstreamManager();
    await waitFor("nothing left", limitMs, async () => {
      const { num_pending, num_ack_pending } = await manager.consumers.info("MESH", "work-job");
      return num_pending === 0 && num_ack_pending === 0;
    });
  } finally {
    await raw.close();
  }
}
