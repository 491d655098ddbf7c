/**
 * A cluster for tests of this room: twins in memory behind a network that can play dead, the gateway on a host of its
 * own, and a clock that stands until it is moved.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { SalarError } from "../../lib/errors.ts";
import { GATEWAY_NODE_MS } from "../../lib/limits.ts";
import { nodes, systems } from "../../lib/cluster/records.ts";
import { keys } from "../../lib/cluster/keys.ts";
import type { Node, NodeState } from "../../lib/cluster/types.ts";
import type { Host } from "../../lib/mesh/host.ts";
import { type Rig, testRig } from "../../lib/mesh/testing.ts";
import { TestingClock } from "../../lib/mesh/testing_clock.ts";
import type { Net, Scope } from "../../lib/seams.ts";
import { EMPTY, toBytes } from "../../lib/store/record.ts";
import type { Store } from "../../lib/store/store.ts";
import { UyuniFault } from "../../lib/uyuni/faults.ts";
import { readReply, writeCall, type XmlRpcStruct, type XmlRpcValue } from "../../lib/uyuni/xmlrpc.ts";
import { memoryDb } from "../../tests/twin/memory_db.ts";
import { type Twin, twin } from "../../tests/twin/twin.ts";
import { gateway } from "./gateway.ts";

/** How a node takes requests: as the twin does, not at all, never answering, or as the test says. */
export type Behaviour = "up" | "down" | "hangs" | ((request: Request) => Promise<Response>);

export interface TestNode {
  fp: string;
  twin: Twin;
  behaviour: Behaviour;
  /** Method names of the requests that reached it. */
  asked: string[];
}

export interface TestCluster {
  clock: TestingClock;
  scope: Scope;
  store: Store;
  rig: Rig;
  host: Host;
  node(name: string): TestNode;
  setState(name: string, state: NodeState): Promise<void>;
  /** Registers a minion on a node; its machine-id is made of its name. */
  register(name: string, minionId: string): Promise<number>;
  /** Makes `name` the owner of a system, as a settled move does. */
  giveTo(name: string, system: number): Promise<void>;
  post(body: string, headers?: Record<string, string>): Promise<Response>;
  /** @throws {UyuniFault} */
  call(method: string, ...params: XmlRpcValue[]): Promise<XmlRpcValue | null>;
  /** A call whose result is a list of structs. */
  list(method: string, ...params: XmlRpcValue[]): Promise<XmlRpcStruct[]>;
  logIn(): Promise<string>;
  /** The outcome of work that waits for time to pass: for a node, or to try again. */
  inTime<T>(work: Promise<T>): Promise<T>;
  end(): Promise<void>;
}

const CHANNELS = [{ label: "base", name: "Base" }];

export async function testCluster(names: readonly string[]): Promise<TestCluster> {
  const clock = new TestingClock();
  const rig = testRig(clock.scope({ name: "gateway test" }));
  const { store, scope } = rig;
  const members = new Map<string, TestNode>();
  for (const name of names) {
    const self = twin({
      db: memoryDb({ nowMs: clock.nowMs }),
      nowMs: clock.nowMs,
      channels: ["base"],
      sessionSecret: name,
    });
    await self.seed({ users: [{ login: "admin", password: "secret" }], channels: CHANNELS });
    members.set(name, { fp: fpOf(name), twin: self, behaviour: "up", asked: [] });
    await store.write(scope, (tx) => Promise.resolve(nodes.put(tx, nodeRecord(name), fpOf(name))));
  }
  const host = await rig.start([gateway], { net: netOf(members) });

  const node = (name: string) => {
    const member = members.get(name);
    assert.ok(member, `there is no node ${name}`);
    return member;
  };
  const post = (body: string, headers: Record<string, string> = {}) =>
    host.fetch(new Request("http://gateway.example/rpc/api", { method: "POST", body, headers }));
  const call = async (method: string, ...params: XmlRpcValue[]) => {
    const response = await post(writeCall(method, params));
    assert.equal(response.status, 200, await response.clone().text());
    const reply = readReply(await response.text());
    if (!reply.ok) throw UyuniFault.parse(reply.code, reply.text);
    return reply.value;
  };

  return {
    clock,
    scope,
    store,
    rig,
    host,
    node,
    post,
    call,
    setState: (name, state) =>
      store.write(scope, async (tx) => {
        const record = await nodes.get(tx, fpOf(name));
        assert.ok(record);
        nodes.put(tx, { ...record, state }, record.fp);
      }),
    async register(name, minionId) {
      const machineId = machineIdOf(minionId);
      const registration = await node(name).twin.registerMinion({ minionId, machineId });
      assert.ok("systemId" in registration);
      return registration.systemId;
    },
    giveTo: (name, id) =>
      store.write(scope, async (tx) => {
        const system = await systems.get(tx, id);
        assert.ok(system !== null && system.node !== null);
        tx.delete(keys.onNode(system.node, id));
        tx.put(keys.onNode(fpOf(name), id), EMPTY);
        systems.put(tx, { ...system, node: fpOf(name) }, id);
      }),
    async list(method, ...params) {
      const value = await call(method, ...params);
      assert.ok(Array.isArray(value), "the result is a list");
      return value;
    },
    async logIn() {
      const key = await call("auth.login", "admin", "secret");
      assert.ok(typeof key === "string");
      return key;
    },
    async inTime(work) {
      let settled = false;
      const done = work.finally(() => settled = true);
      for (let waitedMs = 0; !settled && waitedMs <= 2 * GATEWAY_NODE_MS; waitedMs += 100) {
        await clock.advance(100);
      }
      assert.ok(settled, "it does not hang");
      return await done;
    },
    async end() {
      const ending = rig.end();
      await clock.advance(30_000);
      await ending;
    },
  };
}

/** Runs `test` over a cluster and ends it. */
export async function withCluster(
  names: readonly string[],
  test: (cluster: TestCluster) => Promise<void>,
): Promise<void> {
  const cluster = await testCluster(names);
  try {
    await test(cluster);
  } finally {
    await cluster.end();
  }
}

export function fpOf(name: string): string {
  return createHash("sha256").update(name).digest("hex");
}

export function machineIdOf(minionId: string): string {
  return fpOf(minionId).slice(0, 32);
}

export function nodeRecord(name: string, apiUrl = `http://${name}.example`): Node {
  return {
    v: 1,
    fp: fpOf(name),
    identityKey: "",
    name,
    machineId: machineIdOf(name),
    zone: "berlin",
    state: "accepted",
    stateBeforeLost: null,
    capacity: 1_000,
    weight: 1,
    apiUrl,
    master: `${name}.example`,
    masterKey: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
    versions: {},
    pooledAtMs: 0,
    reason: "test",
    revision: 1,
  };
}

function netOf(members: ReadonlyMap<string, TestNode>): Net {
  return {
    connectMs: () => Promise.resolve(1),
    async request(scope, request) {
      const member = members.get(new URL(request.url).hostname.replace(".example", ""));
      if (member === undefined || member.behaviour === "down") {
        throw new SalarError("unavailable", "Cannot reach node: it is down");
      }
      const body = await request.clone().text();
      member.asked.push(/<methodName>(.*)<\/methodName>/.exec(body)?.[1] ?? "");
      const { behaviour } = member;
      if (behaviour === "up") return await member.twin.fetch(request);
      if (behaviour !== "hangs") return await behaviour(request);
      return await new Promise((_resolve, reject) => {
        scope.signal.addEventListener("abort", () => reject(scope.signal.reason), { once: true });
      });
    },
  };
}

/** All that the store holds, as text. */
export async function storeText({ store, scope }: TestCluster): Promise<string> {
  return await store.read(scope, async (tx) => {
    const entries = await tx.scan({ from: " ", to: "\x7f" }, { limit: 10_000 });
    return entries.map(({ key, value }) => `${key} ${new TextDecoder().decode(value)}`).join("\n");
  });
}

/** Marks a profile as deleted the way change capture does. */
export async function tombstone(
  { store, scope, node }: TestCluster,
  name: string,
  localId: number,
): Promise<void> {
  const row = { v: 1, position: "1", atMs: 0, row: null };
  await store.write(
    scope,
    (tx) => Promise.resolve(tx.put(keys.row(node(name).fp, "rhnserver", String(localId)), toBytes(row))),
  );
}
