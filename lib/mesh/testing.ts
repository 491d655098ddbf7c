/** A host for tests of this room, on the embedded store and the in-process bus, with three people and one node. */
import type { Bus } from "../bus/bus.ts";
import { type Broker, createBroker } from "../bus/in_process.ts";
import { SalarError } from "../errors.ts";
import { createLog, silentLog } from "../log.ts";
import type { Scope } from "../seams.ts";
import { type Identity, identityFromSeed } from "../secure/keys.ts";
import { signStatement } from "../secure/statement.ts";
import { openSqliteStore } from "../store/sqlite.ts";
import type { Store } from "../store/store.ts";
import type { MeshFunction } from "./function.ts";
import { type Principal, type Role } from "./handler.ts";
import { type Host, type HostOptions, startHost } from "./host.ts";
import { realCrypt } from "./real_crypt.ts";
import { realProbe } from "./real_probe.ts";
import { realScope } from "./real_scope.ts";
import { type Agent, createTrust, type Trust } from "./trust.ts";

export const CLUSTER = "c-test";
const seeded = (byte: number): Identity => identityFromSeed(new Uint8Array(32).fill(byte));
export const clusterKey = seeded(1);
export const nodeKey = seeded(2);
export const systemKey = seeded(3);
export const strangerKey = seeded(4);

/** Bearer tokens are the names of their roles. */
const PEOPLE: readonly Role[] = ["viewer", "operator", "admin"];

export function testTrust(): Trust {
  return createTrust({
    authenticate(_context, token) {
      const role = PEOPLE.find((each) => each === token);
      const principal: Principal | null = role === undefined ? null : { id: `token:${role}`, role, fp: null };
      return Promise.resolve(principal);
    },
    identify(_context, fps) {
      const agents = new Map<string, Agent>([
        [nodeKey.fp, { spki: nodeKey.spki, role: "node" }],
        [systemKey.fp, { spki: systemKey.spki, role: "system" }],
      ]);
      return Promise.resolve(fps.map((fp) => agents.get(fp) ?? null));
    },
  });
}

export interface Rig {
  scope: Scope;
  store: Store;
  broker: Broker;
  bus: Bus;
  /** Log lines of all its hosts. */
  lines: Record<string, unknown>[];
  start(functions: MeshFunction[], options?: Partial<HostOptions>): Promise<Host>;
  /** Drains what was started, closes what was opened. */
  end(): Promise<void>;
}

export function testRig(base?: Scope): Rig {
  const end = new AbortController();
  const scope = base?.child("rig", end.signal) ?? realScope({ name: "rig", signal: end.signal });
  const store = openSqliteStore({ path: ":memory:" });
  const broker = createBroker(scope, { log: silentLog });
  const bus = broker.connect();
  const lines: Record<string, unknown>[] = [];
  const log = createLog({
    level: "debug",
    nowMs: scope.nowMs,
    write: (line) => lines.push(JSON.parse(line)),
  });
  const hosts: Host[] = [];
  let replicas = 0;
  return {
    scope,
    store,
    broker,
    bus,
    lines,
    async start(functions, options = {}) {
      const host = await startHost({
        functions,
        scope,
        store,
        bus: broker.connect(),
        net: noNet,
        crypt: realCrypt(),
        signer: clusterKey,
        probe: realProbe(log),
        log,
        cluster: CLUSTER,
        replica: `r${++replicas}`,
        trust: testTrust(),
        http: null,
        ...options,
      });
      hosts.push(host);
      return host;
    },
    async end() {
      await Promise.all(hosts.map((host) => host.drain()));
      end.abort();
      await bus.close();
      await store.close();
    },
  };
}

const nobody = () =>
  Promise.reject(new SalarError("unavailable", "Cannot reach anybody: a test has no network"));
const noNet = { request: nobody, connectMs: nobody };

/** A function with nothing but what the test gives it. */
export function meshFunction(parts: Partial<MeshFunction>): MeshFunction {
  return { name: "test", routes: [], handlers: [], ticks: [], streams: [], ...parts };
}

/** A statement of the node to the cluster, now. */
export function statement(
  scope: Scope,
  kind: string,
  body: Record<string, unknown>,
  { key = nodeKey, to = clusterKey.fp, ageMs = 0 } = {},
): Uint8Array {
  const iat = Math.floor((scope.nowMs() - ageMs) / 1_000);
  const text = signStatement({ kind, cluster: CLUSTER, to, seq: 1, iat, exp: iat + 60, epoch: 0, body }, key);
  return new TextEncoder().encode(text);
}

/** Waits until `holds`, for 5 s at most. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let round = 0; round < 1_000; round++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error("Cannot wait longer: it does not come true");
}
