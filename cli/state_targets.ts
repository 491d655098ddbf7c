/**
 * The hosts of a run: those of `--host`, those of an inventory, or those of the inventory that `--host` names.
 *
 * T1. What is said on the command line comes before the inventory.
 * T2. A host is one target, however often it is named.
 */
import { SalarError } from "../lib/errors.ts";
import type { Become } from "../lib/nanostate/agent/protocol.ts";
import type { JsonObject } from "../lib/nanostate/json.ts";
import type { Target } from "../lib/nanostate/run/run.ts";
import { absolute } from "./settings.ts";
import { type InventoryHost, readInventory } from "./state_inventory.ts";
import type { HostWays, World } from "./world.ts";

export interface TargetsWanted {
  /** Names of hosts, or of hosts and groups of the inventory. */
  hosts: readonly string[];
  /** Path of the file. */
  inventory: string | null;
  /** For all hosts; null leaves it to the inventory. */
  become: string | null;
  /** Of the command line. */
  params: JsonObject;
}

/** @param password for sudo @throws {SalarError} `bad-input`, `not-found` */
export async function targetsOf(
  world: World,
  wanted: TargetsWanted,
  { ways, password }: { ways: HostWays; password: () => Promise<string | null> },
): Promise<Target[]> {
  const hosts = await hostsOf(world, wanted);
  return await Promise.all(hosts.map(async (host): Promise<Target> => {
    const user = wanted.become ?? host.become;
    const become: Become | null = user === null ? null : { user, password };
    const params = { ...host.params, ...wanted.params }; // T1
    return { name: host.name, transport: await ways(host), become, params, environment: host.environment };
  }));
}

async function hostsOf(world: World, { hosts, inventory }: TargetsWanted): Promise<InventoryHost[]> {
  if (inventory === null) {
    if (hosts.length > 0) return [...new Set(hosts)].map(plainHost);
    throw new SalarError(
      "bad-input",
      "Cannot run a state on no host: give --host NAME, --host local or --inventory FILE",
    );
  }
  const bytes = await world.disk.read(absolute(world, inventory));
  if (bytes === null) throw new SalarError("not-found", `Cannot read ${inventory}: there is no such file`);
  const all = readInventory(inventory, new TextDecoder().decode(bytes));
  if (all.length === 0) {
    throw new SalarError("bad-input", `Cannot run on the inventory ${inventory}: it has no host`);
  }
  const unknown = hosts.find((name) => !all.some((host) => isMeant(host, name)));
  if (unknown !== undefined) {
    throw new SalarError(
      "not-found",
      `Cannot find "${unknown}": ${inventory} has no such host, nor a group with hosts`,
    );
  }
  return hosts.length === 0 ? all : all.filter((host) => hosts.some((name) => isMeant(host, name)));
}

function isMeant({ name, groups }: InventoryHost, wanted: string): boolean {
  return name === wanted || groups.includes(wanted);
}

function plainHost(name: string): InventoryHost {
  return {
    name,
    address: name,
    port: null,
    user: null,
    become: null,
    groups: [],
    params: {},
    environment: {},
  };
}
