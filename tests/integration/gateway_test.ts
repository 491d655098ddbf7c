/**
 * The gateway over HTTP, by Python's own XML-RPC client, in front of three twins on ports of their own: one of them
 * hangs, one of them dies, a system moves, the gateway is started anew.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { gateway } from "../../functions/gateway/gateway.ts";
import { fpOf, machineIdOf, nodeRecord } from "../../functions/gateway/testing.ts";
import { keys } from "../../lib/cluster/keys.ts";
import { nodes, systems } from "../../lib/cluster/records.ts";
import { realNet } from "../../lib/mesh/real_net.ts";
import { type Rig, testRig } from "../../lib/mesh/testing.ts";
import type { Scope } from "../../lib/seams.ts";
import { EMPTY } from "../../lib/store/record.ts";
import { openSqliteStore } from "../../lib/store/sqlite.ts";
import type { Store } from "../../lib/store/store.ts";
import { run } from "../parts/command.ts";
import { ensurePython } from "../parts/python.ts";
import { memoryDb } from "../twin/memory_db.ts";
import { startTwin, type TwinOptions } from "../twin/twin.ts";

const NOW_MS = Date.UTC(2026, 6, 1, 12, 0, 0);
const STEP_MS_MAX = 60_000;
const SCRIPT = fileURLToPath(new URL("./gateway_wire.py", import.meta.url));
const BASE = { label: "base", name: "Base" };

function startNode(options: Partial<TwinOptions> = {}) {
  const nowMs = () => NOW_MS;
  return startTwin({ db: memoryDb({ nowMs }), nowMs, channels: ["base"], ...options });
}
type TestNode = ReturnType<typeof startNode>;

async function register(node: TestNode, minionId: string, name = minionId): Promise<void> {
  const registration = await node.registerMinion({ minionId, machineId: machineIdOf(minionId) });
  assert.ok("systemId" in registration);
  const id = registration.systemId;
  await node.db.transaction((tx) => tx.update("rhnServer", { id }, { name }));
}

/** A gateway on a port of its own, over the store in `path`. */
async function startGateway(rig: Rig, path: string) {
  const store = openSqliteStore({ path });
  const net = realNet();
  const host = await rig.start([gateway], { store, net, http: { hostname: "127.0.0.1", port: 0 } });
  return {
    store,
    url: `${host.url}/rpc/api`,
    async stop() {
      await host.drain();
      await store.close();
      net.close();
    },
  };
}

/** Makes `name` the owner of the system, as a move does when it settles. */
async function settle(store: Store, scope: Scope, id: number, name: string): Promise<void> {
  await store.write(scope, async (tx) => {
    const system = await systems.get(tx, id);
    assert.ok(system !== null && system.node !== null);
    tx.delete(keys.onNode(system.node, id));
    tx.put(keys.onNode(fpOf(name), id), EMPTY);
    systems.put(tx, { ...system, node: fpOf(name) }, id);
  });
}

Deno.test("Python's xmlrpc.client sees one Uyuni server in three nodes, whatever becomes of them", async () => {
  const { python } = await ensurePython();
  const step = async (url: string, name: string, before = ""): Promise<string> => {
    const { stdout } = await run(python, [SCRIPT, url, name], {
      limitMs: STEP_MS_MAX,
      env: { BEFORE: before },
    });
    return stdout;
  };
  const folder = await Deno.makeTempDir({ prefix: "gateway-" });
  const rig = testRig();
  await using node1 = startNode();
  await using node2 = startNode({
    timeZone: "Europe/Berlin",
    version: { api: "28", system: "2025.10 Uyuni", product: "Uyuni" },
  });
  await using node3 = startNode();
  const members = { "node-1": node1, "node-2": node2, "node-3": node3 };
  try {
    for (const node of Object.values(members)) {
      await node.seed({ users: [{ login: "admin", password: "admin" }], channels: [BASE] });
    }
    await node3.seed({ channels: [{ label: "extra", name: "Extra" }] });
    await register(node1, "web", "web <&> ü");
    await register(node2, "app");
    await register(node3, "db");

    const first = await startGateway(rig, `${folder}/store.db`);
    await first.store.write(rig.scope, (tx) => {
      for (const [name, { port }] of Object.entries(members)) {
        nodes.put(tx, nodeRecord(name, `http://127.0.0.1:${port}/`), fpOf(name));
      }
      return Promise.resolve();
    });
    const seen = await step(first.url, "whole_cluster");
    await step(first.url, "faults");
    const app: number = JSON.parse(seen).ids.app;

    node2.pause();
    await node3.stop();
    await step(first.url, "half_dead", seen);

    await register(node1, "app");
    await settle(first.store, rig.scope, app, "node-1");
    await first.stop();
    const second = await startGateway(rig, `${folder}/store.db`);
    await step(second.url, "moved", seen);

    await node1.stop();
    await step(second.url, "nobody_there", seen);
    await second.stop();
  } finally {
    await rig.end();
    await Deno.remove(folder, { recursive: true });
  }
});
