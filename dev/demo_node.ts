/**
 * One node of the demo: a twin in memory, and the real node agent's logic beside it.
 *
 * M1. A killed node answers nobody: its agent is gone, its API fails, its master takes no minion.
 */
import type { ChangeSource } from "../agents/node/change_source.ts";
import { enrolNode } from "../agents/node/enrol.ts";
import { runNodeAgent } from "../agents/node/logic.ts";
import type { NodeApi } from "../agents/node/node_api.ts";
import { readState } from "../agents/node/state.ts";
import { CAPTURE_TABLES } from "../lib/cluster/capture_tables.ts";
import { nodeTrust } from "../agents/node/trust.ts";
import type { Bus } from "../lib/bus/bus.ts";
import { SalarError } from "../lib/errors.ts";
import { CHANGES_PER_MESSAGE_MAX } from "../lib/limits.ts";
import type { Log } from "../lib/log.ts";
import type { Crypt, Disk, Net, Probe, Scope } from "../lib/seams.ts";
import type { Identity } from "../lib/secure/keys.ts";
import { findOne, type TwinDb } from "../tests/twin/db.ts";
import { type MemoryDb, memoryDb } from "../tests/twin/memory_db.ts";
import { type MemoryKeys, memoryKeys } from "../tests/twin/minion_keys.ts";
import { type Twin, twin } from "../tests/twin/twin.ts";

export interface DemoNodeOptions {
  name: string;
  identity: Identity;
  /** PEM of the Salt master's key. */
  masterKey: string;
  machineId: string;
  capacity: number;
  directorUrl: string;
  bus: Bus;
  net: Net;
  disk: Disk;
  crypt: Crypt;
  probe: Probe;
  log: Log;
  /** Asked once, when the node is new. */
  joinToken(): Promise<string>;
}

export interface DemoNode {
  readonly name: string;
  readonly fp: string;
  readonly twin: Twin;
  isUp(): boolean;
  /** A minion starts with this node as its master; true when its key is accepted and it is registered. */
  connect(minion: { minionId: string; machineId: string; minionKey: string }): Promise<boolean>;
  /** Resolves when the agent runs. */
  start(scope: Scope): Promise<void>;
  /** M1. */
  kill(): void;
  /** Keeps the twin's tables for the next start. */
  save(): Promise<void>;
}

const PUBLICATION = Object.fromEntries(
  CAPTURE_TABLES.map(({ name, columns }) => [name.toLowerCase(), [...columns]]),
);
const CHANNELS = [
  { label: "sles15-sp6-pool-x86_64", name: "SLES15-SP6-Pool for x86_64" },
  {
    label: "sles15-sp6-updates-x86_64",
    name: "SLES15-SP6-Updates for x86_64",
    parent: "sles15-sp6-pool-x86_64",
  },
];

export async function createDemoNode(options: DemoNodeOptions): Promise<DemoNode> {
  const { name, disk, identity, log } = options;
  const folder = `nodes/${name}`;
  const saved = await disk.read(`${folder}/twin.json`);
  const db = memoryDb(saved === null ? {} : { snapshot: new TextDecoder().decode(saved) });
  const keys = memoryKeys();
  const self = twin({ db, keys, channels: CHANNELS.map(({ label }) => label) });
  await self.seed({
    users: [{ login: "admin", password: "admin" }],
    channels: CHANNELS,
    groups: ["web", "db"],
  });
  let running: AbortController | null = null;

  return {
    name,
    fp: identity.fp,
    twin: self,
    isUp: () => running !== null,
    async connect({ minionId, machineId, minionKey }) {
      if (running === null) return false;
      const profile = await profileOf(db, minionId);
      // Key folders of a real master outlive it; here a profile stands for the key that was accepted with it.
      if (keys.offer(minionId, minionKey) === "pending" && profile !== null) await keys.accept(minionId);
      if (keys.offer(minionId, minionKey) !== "accepted") return false;
      await self.registerMinion({ minionId, machineId, hostname: minionId });
      return true;
    },
    async start(scope) {
      const stop = running = new AbortController();
      const own = scope.child(name, stop.signal);
      const deps = {
        ...options,
        folder,
        trust: nodeTrust(identity, options.crypt),
        log: log.with({ node: name }),
      };
      if (await readState(disk, folder) === null) {
        await enrolNode(own, { ...deps, token: await options.joinToken(), facts: factsOf(options) });
      }
      const source = memorySource(db, own.nowMs());
      own.spawn(
        "node agent",
        () => runNodeAgent(own, { ...deps, source, runner: null, api: twinApi(self, keys) }),
      );
    },
    kill() {
      running?.abort();
      running = null;
    },
    async save() {
      await disk.replace(`${folder}/twin.json`, new TextEncoder().encode(await db.snapshot()));
    },
  };
}

function profileOf(db: TwinDb, minionId: string) {
  return db.transaction((tx) => findOne(tx, "suseMinionInfo", { minion_id: minionId }));
}

function factsOf({ name, machineId, masterKey, capacity }: DemoNodeOptions) {
  return {
    name: `${name}.example`,
    machineId,
    masterKey,
    capacity,
    apiUrl: `http://${name}.example`,
    master: `${name}.example`,
    versions: { uyuni: "2026.07", demo: "1" },
  };
}

/** What directives do to a twin. */
function twinApi({ db }: Twin, keys: MemoryKeys): NodeApi {
  return {
    async acceptKey(_scope, minionId, pem) {
      if (keys.offer(minionId, pem) === "denied") {
        return { ok: false, reason: "another key is known under this id" };
      }
      await keys.preseed(minionId, pem);
      return { ok: true };
    },
    async forgetKey(_scope, minionId) {
      if (await profileOf(db, minionId) === null) await keys.delete(minionId);
      return { ok: true };
    },
    async retire(_scope, minionIds) {
      for (const minionId of minionIds) {
        await db.transaction(async (tx) => {
          const minion = await findOne(tx, "suseMinionInfo", { minion_id: minionId });
          if (minion === null) return;
          const at = { server_id: minion.server_id };
          await tx.delete("rhnServerChannel", at);
          await tx.delete("rhnServerGroupMembers", at);
          await tx.delete("suseMinionInfo", at);
          await tx.delete("rhnServer", { id: minion.server_id });
        });
        await keys.delete(minionId);
      }
      return { ok: true };
    },
    countSystems: () => db.transaction((tx) => tx.count("rhnServer", {})),
    load: () => 0.2,
    versions: () => Promise.resolve({ uyuni: "2026.07", agent: "demo" }),
  };
}

/** The memory database's change feed as the agent's change source; every start is an origin of its own. */
function memorySource(db: MemoryDb, startedAtMs: number): ChangeSource {
  const originNo = Math.floor(startedAtMs / 1000);
  return {
    async run(scope, emit) {
      const name = `salar-${originNo}`;
      const slot = db.openSlot(name, PUBLICATION, { copy: true });
      scope.signal.addEventListener("abort", () => db.dropSlot(name), { once: true });
      for await (const { lsn, changes } of slot.changes(scope.signal)) {
        for (let first = 0; first < changes.length; first += CHANGES_PER_MESSAGE_MAX) {
          const part = changes.slice(first, first + CHANGES_PER_MESSAGE_MAX);
          await emit(scope, {
            origin: `demo.${originNo}`,
            originNo,
            lsn: lsn.toString(16).toUpperCase().padStart(16, "0"),
            first,
            changes: part.map((change) => ({ ...change, oldKey: null })),
          });
        }
        slot.confirm(lsn);
      }
      throw new SalarError("cancelled", "Cannot read changes on: the node has stopped");
    },
    lagBytes: () => Promise.resolve(0),
  };
}
