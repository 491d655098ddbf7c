/**
 * The far side, as far as agents can see it: node machines with a Salt master and a database, systems with a minion.
 *
 * W1. A minion is connected to a master that is up, whose key it trusts, and that has accepted its own key; nothing
 *     is accepted by itself.
 * W2. A connected minion gets a profile; the database's log tells of it, and is read on from what was confirmed.
 * W3. All of this outlives the agents: their crashes touch none of it.
 */
import type { ChangeSource } from "../../agents/node/change_source.ts";
import type { NodeApi } from "../../agents/node/node_api.ts";
import type { MasterSetting, Minion, MinionLayout, Outcome } from "../../agents/client/minion.ts";
import type { RowChange } from "../../lib/cluster/protocol.ts";
import { SalarError } from "../../lib/errors.ts";
import type { Random } from "../../lib/seams.ts";
import type { Faults } from "./faults.ts";
import type { Kernel } from "./kernel.ts";
import { type Life, never } from "./life.ts";
import { between } from "./random.ts";
import type { Sabotage } from "./sabotage.ts";
import type { Files } from "./sim_disk.ts";
import { cheapPem, cheapSigner } from "./signing.ts";

export class NodeMachine {
  readonly fp: string;
  readonly master: string;
  readonly masterKey: string;
  readonly machineId: string;
  readonly files: Files = new Map();
  /** Minion id → PEM. */
  readonly accepted = new Map<string, string>();
  /** Minion id → id in its database. */
  readonly profiles = new Map<string, number>();
  /** Row changes, one transaction each; its number is the index + 1. */
  readonly log: RowChange[][] = [];
  confirmed = 0;
  isUp = true;
  #lastLocalId = 1_000_000_000;

  constructor(readonly name: string, readonly zone: string, readonly capacity: number) {
    const { fp } = cheapSigner(name);
    this.fp = fp;
    this.master = `${name}.example`;
    this.masterKey = cheapPem(`${name} master`);
    this.machineId = fp.slice(0, 32);
  }

  register(system: SystemMachine): void {
    if (!this.profiles.has(system.minionId)) this.log.push(this.#profile(system));
  }

  /** As `register`, of systems that were there before the log: the first copy of the database shows them together. */
  copy(system: SystemMachine): void {
    const rows = this.#profile(system);
    if (this.log[0] === undefined) this.log.push(rows);
    else this.log[0].push(...rows);
  }

  #profile({ minionId, machineId }: SystemMachine): RowChange[] {
    const localId = ++this.#lastLocalId;
    this.profiles.set(minionId, localId);
    const id = String(localId);
    const server = { id, name: minionId, machine_id: machineId };
    return [
      { table: "rhnserver", op: "insert", row: server, oldKey: null },
      { table: "suseminioninfo", op: "insert", row: { server_id: id, minion_id: minionId }, oldKey: null },
    ];
  }

  remove(minionId: string): void {
    const localId = this.profiles.get(minionId);
    this.accepted.delete(minionId);
    if (localId === undefined) return;
    this.profiles.delete(minionId);
    const id = String(localId);
    this.log.push([
      { table: "suseminioninfo", op: "delete", row: { server_id: id }, oldKey: null },
      { table: "rhnserver", op: "delete", row: { id }, oldKey: null },
    ]);
  }
}

export const LAYOUT: MinionLayout = {
  dropIn: "/minion.d/zz-salar.conf",
  masterKey: "/minion_master.pub",
  kept: [],
};
/** What Uyuni wrote when it onboarded a system before there was a cluster. */
const ONBOARDED = "/minion.d/susemanager.conf";

export class SystemMachine {
  readonly minionId: string;
  readonly machineId: string;
  readonly minionKey: string;
  readonly files: Files = new Map();
  /** What the running minion read when it started. */
  running: { master: string | null; key: string | null } = { master: null, key: null };
  isConnected = false;
  starts = 0;

  constructor(readonly name: string, readonly zone: string, readonly hasAgent: boolean) {
    this.minionId = name;
    this.machineId = cheapSigner(name).fp.slice(0, 32);
    this.minionKey = cheapPem(`${name} minion`);
  }

  /** The master that its files name. */
  master(): string | null {
    for (const path of [LAYOUT.dropIn, ONBOARDED]) {
      const name = /^master: "([^"]+)"$/m.exec(textOf(this.files.get(path)))?.[1];
      if (name !== undefined) return name;
    }
    return null;
  }
}

export interface WorldOptions {
  kernel: Kernel;
  random: Random;
  faults: Faults;
  sabotage: Sabotage | null;
}

export class World {
  readonly nodes: NodeMachine[] = [];
  readonly systems: SystemMachine[] = [];
  readonly #byMinion = new Map<string, SystemMachine>();
  readonly #kernel: Kernel;
  readonly #random: Random;
  readonly #faults: Faults;
  readonly #sabotage: Sabotage | null;

  constructor({ kernel, random, faults, sabotage }: WorldOptions) {
    this.#kernel = kernel;
    this.#random = random;
    this.#faults = faults;
    this.#sabotage = sabotage;
  }

  nodeByMaster(master: string | null): NodeMachine | null {
    return this.nodes.find((node) => node.master === master) ?? null;
  }

  nodeOf(fp: string): NodeMachine | null {
    return this.nodes.find((node) => node.fp === fp) ?? null;
  }

  /** The master that the files of that minion name. */
  masterOf(minionId: string): string | null {
    return this.#byMinion.get(minionId)?.master() ?? null;
  }

  /** Whether that node has accepted the key that this minion has. */
  hasAccepted(fp: string, minionId: string): boolean {
    const key = this.#byMinion.get(minionId)?.minionKey;
    return key !== undefined && this.nodeOf(fp)?.accepted.get(minionId) === key;
  }

  add(system: SystemMachine): void {
    this.systems.push(system);
    this.#byMinion.set(system.minionId, system);
  }

  /** As a Uyuni server did it before there was a cluster. */
  onboard(system: SystemMachine, node: NodeMachine): void {
    node.accepted.set(system.minionId, system.minionKey);
    system.files.set(ONBOARDED, bytesOf(`master: "${node.master}"\n`));
    system.files.set(LAYOUT.masterKey, bytesOf(node.masterKey));
    node.copy(system);
    this.start(system);
  }

  /** The minion starts anew with its files as they are, and tries until it is connected (W1). */
  start(system: SystemMachine): void {
    const start = ++system.starts;
    const key = system.files.get(LAYOUT.masterKey);
    system.running = { master: system.master(), key: key === undefined ? null : textOf(key) };
    system.isConnected = false;
    const attempt = () => {
      if (system.starts !== start) return;
      const node = this.nodeByMaster(system.running.master);
      if (node === null) return;
      if (!this.accepts(node, system)) return void this.#kernel.after(3_000, attempt);
      system.isConnected = true;
      this.#kernel.after(between(this.#random, 200, 3_000), () => { // W2
        if (system.starts === start && this.accepts(node, system)) node.register(system);
      });
    };
    attempt();
  }

  accepts(node: NodeMachine, system: SystemMachine): boolean {
    return node.isUp && system.running.key === node.masterKey &&
      node.accepted.get(system.minionId) === system.minionKey;
  }

  minionOf(life: Life, system: SystemMachine): Minion {
    const random = life.random.fork("minion");
    return {
      layout: LAYOUT,
      setting(): Promise<MasterSetting> {
        return Promise.resolve({ master: system.master(), namedIn: [], problems: [] });
      },
      facts: () => {
        const { minionId, machineId, minionKey } = system;
        return Promise.resolve({ minionId, machineId, minionKey });
      },
      restart: (): Promise<Outcome> => {
        if (life.isDead()) return never();
        return new Promise((resolve) => {
          this.#kernel.after(between(random, 200, 2_000), () => {
            if (life.isDead()) return; // whoever gave the order died before the unit was restarted
            this.start(system);
            this.#kernel.after(100, () => life.deliver(() => resolve({ ok: true })));
          });
        });
      },
      verify: async (scope, master): Promise<Outcome> => {
        const isThere = () =>
          system.isConnected && system.running.master === master &&
          (this.nodeByMaster(master)?.isUp ?? false);
        for (let tries = 0; tries < 30; tries++) {
          if (isThere()) return { ok: true };
          await scope.sleep(1_000);
        }
        return { ok: false, reason: `master ${master} does not answer` };
      },
    };
  }

  apiOf(life: Life, node: NodeMachine): NodeApi {
    const random = life.random.fork("uyuni");
    const isUnheard = this.#faults.site("loss", `uyuni.${node.name}`);
    /** Uyuni may answer too late, after it has done what was asked. */
    const act = <T>(work: () => T): Promise<T> => {
      if (life.isDead()) return never();
      return new Promise((resolve, reject) => {
        this.#kernel.after(between(random, 5, 300), () => {
          const fault = new SalarError("unavailable", `Cannot reach ${node.name}: it does not answer`);
          if (!node.isUp) return life.deliver(() => reject(fault));
          const value = work();
          life.deliver(() => isUnheard() ? reject(fault) : resolve(value));
        });
      });
    };
    return {
      acceptKey: (_scope, minionId, pem) =>
        act(() => {
          const known = node.accepted.get(minionId);
          if (known !== undefined && known !== pem) return { ok: false, reason: "another key is known" };
          if (this.#sabotage !== "unaccepted-key") node.accepted.set(minionId, pem);
          return { ok: true };
        }),
      forgetKey: (_scope, minionId) =>
        act(() => {
          if (!node.profiles.has(minionId)) node.accepted.delete(minionId);
          return { ok: true };
        }),
      retire: (_scope, minionIds) =>
        act(() => {
          for (const minionId of minionIds) node.remove(minionId);
          return { ok: true };
        }),
      countSystems: () => act(() => node.profiles.size),
      load: () => 0.2,
      versions: () => Promise.resolve({ uyuni: "2026.07" }),
    };
  }

  /** W2. */
  sourceOf(node: NodeMachine): ChangeSource {
    return {
      async run(scope, emit) {
        for (;;) {
          const changes = node.isUp ? node.log[node.confirmed] : undefined;
          if (changes === undefined) {
            await scope.sleep(1_000);
            continue;
          }
          const lsn = (node.confirmed + 1).toString(16).toUpperCase().padStart(16, "0");
          await emit(scope, { origin: node.name, originNo: 1, lsn, first: 0, changes });
          node.confirmed++;
        }
      },
      lagBytes: () => Promise.resolve(node.log.length - node.confirmed),
    };
  }
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function textOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "" : new TextDecoder().decode(bytes);
}
