/**
 * The demo cluster: 3 zones, 5 twin nodes, 500 systems, run by the real agents' logic against the real functions.
 *
 * It uses the API as an administrator would: zones are added, join tokens made, nodes accepted. Everything is derived
 * from one seed in the data folder, so that the next start finds the same machines.
 */
import { createHash } from "node:crypto";
import type { Bus } from "../lib/bus/bus.ts";
import { SalarError } from "../lib/errors.ts";
import type { Log } from "../lib/log.ts";
import type { Crypt, Net, Probe, Scope } from "../lib/seams.ts";
import { type Identity, identityFromSeed } from "../lib/secure/keys.ts";
import { createDemoNode, type DemoNode } from "./demo_node.ts";
import { runDemoSystem } from "./demo_system.ts";
import type { SqliteDisk } from "./sqlite_disk.ts";

const ZONES = [
  { name: "berlin", description: "Two nodes" },
  { name: "nuremberg", description: "Two nodes" },
  { name: "prague", description: "One node; its systems may be helped out by other zones" },
];
const NODES = [
  { name: "node-1", zone: "berlin" },
  { name: "node-2", zone: "berlin" },
  { name: "node-3", zone: "nuremberg" },
  { name: "node-4", zone: "nuremberg" },
  { name: "node-5", zone: "prague" },
];
const SYSTEMS = 500;
const NODE_CAPACITY = 300;
const RESTART_MS = 1_000;
const SAVE_MS = 5_000;

export interface DemoOptions {
  directorUrl: string;
  /** Sends a request to the host with the administrator's token. */
  asAdmin(path: string, body?: unknown): Promise<Response>;
  bus: Bus;
  net: Net;
  disk: SqliteDisk;
  crypt: Crypt;
  probe: Probe;
  log: Log;
}

export interface Demo {
  node(name: string): DemoNode | null;
  /** Takes a dead node back up. */
  start(node: DemoNode): Promise<void>;
  save(): Promise<void>;
}

/** The twins' API under the names by which functions call them; everything else goes to `net`. */
export function withTwins(net: Net, nodeNamed: (host: string) => DemoNode | null): Net {
  return {
    connectMs: (scope, target) => {
      const node = nodeNamed(target.host);
      if (node === null) return net.connectMs(scope, target);
      return node.isUp() ? Promise.resolve(1) : Promise.reject(unreachable(target.host));
    },
    request: (scope, request) => {
      const host = new URL(request.url).hostname;
      const node = nodeNamed(host);
      if (node === null) return net.request(scope, request);
      return node.isUp() ? node.twin.fetch(request) : Promise.reject(unreachable(host));
    },
  };
}

export async function startDemo(scope: Scope, options: DemoOptions): Promise<Demo> {
  const seed = await seedOf(scope, options.disk);
  const identityOf = (name: string) => identityFromSeed(digest(seed, name));
  const nodes = new Map<string, DemoNode>();
  const nodeOf = (host: string) => nodes.get(host.replace(/\.example$/, "")) ?? null;
  const net = withTwins(options.net, nodeOf);
  const shared = { ...options, net, nodeOf };

  for (const zone of ZONES) await call(options, "/v1/zones", zone, { known: 409 });
  for (const { name, zone } of NODES) {
    const node = await createDemoNode({
      ...shared,
      name,
      identity: identityOf(name),
      masterKey: pemOf(identityOf(`${name} master`)),
      machineId: machineIdOf(seed, name),
      capacity: NODE_CAPACITY,
      joinToken: () => joinToken(options, "node", zone),
    });
    nodes.set(name, node);
    await node.start(scope);
    // Already accepted, cordoned or draining at a later start: leave it as people left it.
    await call(options, `/v1/nodes/${node.fp}/accept`, { why: "demo" }, { known: 409 });
  }

  const tokens = new Map<string, Promise<string>>();
  for (let at = 1; at <= SYSTEMS; at++) {
    const name = `client-${String(at).padStart(3, "0")}.example`;
    const zone = ZONES[at % ZONES.length]?.name ?? "berlin";
    const system = {
      ...shared,
      name,
      identity: identityOf(name),
      machineId: machineIdOf(seed, name),
      minionKey: pemOf(identityOf(`${name} minion`)),
      joinToken: () => {
        const token = tokens.get(zone) ?? joinToken(options, "system", zone);
        tokens.set(zone, token);
        return token;
      },
    };
    scope.spawn("demo system", () => keepRunning(scope, options.log, () => runDemoSystem(scope, system)));
  }

  const save = async () => {
    for (const node of nodes.values()) await node.save();
  };
  scope.every(SAVE_MS, "demo save", save);
  return { node: (name) => nodes.get(name) ?? null, start: (node) => node.start(scope), save };
}

/** As under a service manager: what ended with an error is started again after a while. */
async function keepRunning(scope: Scope, log: Log, run: () => Promise<void>): Promise<void> {
  while (!scope.signal.aborted) {
    try {
      return await run();
    } catch (error) {
      if (scope.signal.aborted) throw error;
      log.info("demo system starts again", { error });
    }
    await scope.sleep(RESTART_MS + scope.random.below(RESTART_MS));
  }
}

async function seedOf(scope: Scope, disk: SqliteDisk): Promise<Uint8Array> {
  const known = await disk.read("seed");
  if (known !== null) return known;
  const seed = scope.random.bytes(32);
  await disk.replace("seed", seed);
  return seed;
}

async function joinToken(options: DemoOptions, kind: "node" | "system", zone: string): Promise<string> {
  const uses = kind === "node" ? 1 : SYSTEMS;
  const { token } = await call(options, "/v1/join-tokens", { kind, zone, uses }) as { token: string };
  return token;
}

async function call(
  { asAdmin }: DemoOptions,
  path: string,
  body: unknown,
  { known }: { known?: number } = {},
): Promise<unknown> {
  const response = await asAdmin(path, body);
  const answer = await response.json();
  if (response.ok || response.status === known) return answer;
  throw new SalarError(
    "bad-peer",
    `Cannot prepare the demo: ${path} answered ${response.status}: ${answer.detail}`,
  );
}

function digest(seed: Uint8Array, name: string): Uint8Array {
  return createHash("sha256").update(seed).update(name).digest();
}

function machineIdOf(seed: Uint8Array, name: string): string {
  return digest(seed, `${name} machine`).toHex().slice(0, 32);
}

function pemOf(identity: Identity): string {
  return `-----BEGIN PUBLIC KEY-----\n${identity.spki.toBase64()}\n-----END PUBLIC KEY-----\n`;
}

function unreachable(host: string): SalarError {
  return new SalarError("unavailable", `Cannot reach ${host}: the node is down`);
}
