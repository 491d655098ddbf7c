/**
 * The processes of a run: two replicas of each function on the real host (each function for itself, or all in one
 * process, as the seed has it), node agents and client agents with the real logic, all on simulated seams.
 */
import { runClientAgent } from "../../agents/client/logic.ts";
import { clientTrust } from "../../agents/client/trust.ts";
import { enrolNode } from "../../agents/node/enrol.ts";
import { runNodeAgent } from "../../agents/node/logic.ts";
import { readState } from "../../agents/node/state.ts";
import { nodeTrust } from "../../agents/node/trust.ts";
import { clientBind } from "../../functions/client-bind/client_bind.ts";
import { director } from "../../functions/director/director.ts";
import { nodeEvents } from "../../functions/node-events/node_events.ts";
import { createBroker } from "../../lib/bus/in_process.ts";
import { credentials } from "../../lib/cluster/credentials.ts";
import type { Log } from "../../lib/log.ts";
import type { MeshFunction } from "../../lib/mesh/function.ts";
import { startHost } from "../../lib/mesh/host.ts";
import { createTrust } from "../../lib/mesh/trust.ts";
import type { Crypt, Probe, Random, Signer } from "../../lib/seams.ts";
import type { Faults } from "./faults.ts";
import type { Kernel } from "./kernel.ts";
import { Life, never } from "./life.ts";
import type { OrderedData } from "./ordered_store.ts";
import { Process } from "./process.ts";
import { pick } from "./random.ts";
import { simBus } from "./sim_bus.ts";
import { simDisk } from "./sim_disk.ts";
import { type Answering, simNet } from "./sim_net.ts";
import { cheapCrypt, cheapSigner } from "./signing.ts";
import { simStore } from "./sim_store.ts";
import type { NodeMachine, SystemMachine, World } from "./world.ts";

export const CLUSTER = "c-sim";
export const DIRECTOR_URL = "http://director.sim";
const REPLICAS = 2;
/** Of one way to the store, at most; drawn per seed. */
const LATENCIES_MS = [1, 5, 20, 100, 300];
const FUNCTIONS: readonly MeshFunction[] = [director, nodeEvents, clientBind];
/** As in a small site: every process has all functions. */
const TOGETHER = [{ name: "salar", functions: FUNCTIONS }];
/** As in a large one: each function has processes of its own. */
const APART = FUNCTIONS.map((fn) => ({ name: fn.name, functions: [fn] }));
/** Paths that client-bind answers; the director has all others. */
const CLIENT_BIND = /^\/v1\/(enrol\/(challenge|system)|directives|reports|beat)$/;

export interface MeshOptions {
  kernel: Kernel;
  random: Random;
  faults: Faults;
  data: OrderedData;
  world: World;
  probe: Probe;
  log: Log;
  tell: (text: string) => void;
}

export class Mesh {
  readonly hosts: Process[] = [];
  readonly nodeAgents = new Map<NodeMachine, Process>();
  readonly clientAgents = new Map<SystemMachine, Process>();
  /** Join tokens by `<kind>/<zone>`. */
  readonly joinTokens = new Map<string, string>();
  readonly #options: MeshOptions;
  readonly #signer: Signer = cheapSigner("cluster");
  readonly #crypt: Crypt = cheapCrypt();
  readonly #answering = new Map<string, Answering[]>();
  readonly #netWay;
  readonly #busWay;

  constructor(options: MeshOptions) {
    const { kernel, random, faults, world, probe, tell } = options;
    this.#options = options;
    const broker = new Life({
      kernel,
      name: "broker",
      random: random.fork("broker"),
      skewMs: () => 0,
      isCut: () => false,
      onError: (work, error) => tell(`broker: ${work} failed: ${error}`),
    });
    this.#busWay = { broker: createBroker(broker.scope), brokerScope: broker.scope, faults, probe };
    this.#netWay = {
      faults,
      replicasFor: (path: string) =>
        this.#answering.get(CLIENT_BIND.test(path) ? clientBind.name : director.name) ?? [],
      kept: new Map(),
      masterAnswers: (host: string) => world.nodeByMaster(host)?.isUp ?? false,
    };
    const latencyMsMax = pick(random.fork("latency"), LATENCIES_MS);
    for (const { name, functions } of pick(random.fork("shape"), [TOGETHER, APART])) {
      for (let n = 1; n <= REPLICAS; n++) this.#addHost(functions, `${name}-${n}`, latencyMsMax);
    }
    for (const node of world.nodes) this.nodeAgents.set(node, this.#nodeAgent(node));
    for (const system of world.systems) {
      if (system.hasAgent) this.clientAgents.set(system, this.#clientAgent(system));
    }
  }

  get signer(): Signer {
    return this.#signer;
  }

  /** All processes that faults may hit. */
  processes(): Process[] {
    return [...this.hosts, ...this.nodeAgents.values(), ...this.clientAgents.values()];
  }

  net(life: Life) {
    return simNet(life, this.#netWay);
  }

  #process(name: string, boot: (life: Life) => Promise<void>): Process {
    const { kernel, random, tell } = this.#options;
    return new Process({ kernel, random, name, boot, tell });
  }

  #addHost(functions: readonly MeshFunction[], replica: string, latencyMsMax: number): void {
    const { faults, data, probe, log } = this.#options;
    const process = this.#process(replica, async (life) => {
      const host = await startHost({
        functions,
        scope: life.scope,
        store: simStore(life, { data, faults, latencyMsMax }),
        bus: simBus(life, this.#busWay),
        net: this.net(life),
        crypt: this.#crypt,
        signer: this.#signer,
        probe,
        log: log.with({ process: replica }),
        cluster: CLUSTER,
        replica,
        trust: createTrust(credentials),
        http: null,
      });
      for (const { name } of functions) {
        this.#answer(name, { life, fetch: (request) => host.fetch(request) });
      }
      await never();
    });
    this.hosts.push(process);
  }

  /** A balancer notices at once when a replica is gone, and only then. */
  #answer(name: string, answering: Answering): void {
    this.#answering.set(name, [...this.#answering.get(name) ?? [], answering]);
    answering.life.onKill(() => {
      this.#answering.set(name, this.#answering.get(name)?.filter((other) => other !== answering) ?? []);
    });
  }

  #nodeAgent(node: NodeMachine): Process {
    const { world, probe, log } = this.#options;
    return this.#process(`agent-${node.name}`, async (life) => {
      const disk = simDisk(life, node.files);
      const shared = { disk, folder: "/agent", trust: nodeTrust(cheapSigner(node.name), this.#crypt) };
      if (await readState(disk, shared.folder) === null) {
        const { name, machineId, masterKey, master, capacity } = node;
        const facts = {
          name,
          machineId,
          masterKey,
          master,
          capacity,
          apiUrl: `http://${master}`,
          versions: {},
        };
        const token = this.joinTokens.get(`node/${node.zone}`) ?? "";
        await enrolNode(life.scope, {
          ...shared,
          net: this.net(life),
          directorUrl: DIRECTOR_URL,
          facts,
          token,
        });
      }
      await runNodeAgent(life.scope, {
        ...shared,
        bus: simBus(life, this.#busWay),
        api: world.apiOf(life, node),
        source: world.sourceOf(node),
        runner: null,
        probe,
        log: log.with({ process: node.name }),
      });
    });
  }

  #clientAgent(system: SystemMachine): Process {
    const { world, probe, log } = this.#options;
    return this.#process(`agent-${system.name}`, (life) =>
      runClientAgent(life.scope, {
        disk: simDisk(life, system.files),
        crypt: this.#crypt,
        minion: world.minionOf(life, system),
        folder: "/agent",
        net: this.net(life),
        trust: clientTrust(cheapSigner(system.name), this.#crypt),
        log: log.with({ process: system.name }),
        probe,
        directorUrl: DIRECTOR_URL,
        name: system.name,
        joinToken: () => Promise.resolve(this.joinTokens.get(`system/${system.zone}`) ?? ""),
      }));
  }
}
