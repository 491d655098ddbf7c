/**
 * A cluster for tests in this process: members of a placement driver and stores, each with a port of its own, over
 * one model of TiKV's rules. It speaks the true protocol, and a test may step between any call and its execution.
 *
 * It shows what real servers cannot be made to show: lost replies, splits in the middle of a commit, every region
 * error, a clock that jumps. What it shows is only as true as its rules, whose source each file names.
 */
import type { SecureServerOptions } from "node:http2";
import { Kv, Pd, Store } from "../../../lib/tikv/methods.ts";
import { Calls, Fault, type MethodName, METHODS, type Outcome, type Target } from "./calls.ts";
import { Mvcc } from "./mvcc.ts";
import { Oracle } from "./oracle.ts";
import { enabledKeyspace, pdService, type PdState } from "./pd_service.ts";
import { PessimisticLocks } from "./pessimistic.ts";
import { type Dispatch, serve, type Server } from "./server.ts";
import { storeService } from "./store_service.ts";
import { Topology } from "./topology.ts";

export interface ScriptedOptions {
  /** Stores, numbered from 1; the first leads at the start. */
  stores?: number;
  /** Members of the placement driver; the first leads at the start. */
  members?: number;
  apiVersion?: 1 | 2;
  /** Enabled keyspaces by name. */
  keyspaces?: Record<string, number>;
  /** False: the stores do not know BatchCommands. */
  batches?: boolean;
  tls?: SecureServerOptions;
}

const CLUSTER_ID = 7_012_345_678_901_234_567n;

export class ScriptedCluster implements AsyncDisposable {
  readonly calls = new Calls();
  readonly topology: Topology;
  readonly oracle = new Oracle();
  readonly mvcc = new Mvcc();
  readonly pd: PdState;
  /** While true, stores turn async and one-phase commits into plain ones. */
  fallsBack = false;
  readonly #options: ScriptedOptions;
  readonly #pessimistic: PessimisticLocks;
  /** By the number of the member, or the id of the store. */
  readonly #members = new Map<number, Server>();
  readonly #stores = new Map<bigint, Server>();

  private constructor(options: ScriptedOptions) {
    const { stores = 3, members = 1, keyspaces = {} } = options;
    this.#options = options;
    this.#pessimistic = new PessimisticLocks(this.mvcc);
    this.topology = new Topology(Array.from({ length: stores }, (_, at) => BigInt(at + 1)));
    this.pd = {
      clusterId: CLUSTER_ID,
      members: Array.from({ length: members }, (_, at) => ({ name: `pd-${at}`, address: "" })),
      scheme: options.tls === undefined ? "http" : "https",
      leader: 0,
      hidesLeaders: false,
      gcSafePoint: 0n,
      services: new Map(),
      keyspaces: new Map(Object.entries(keyspaces).map(([name, id]) => [name, enabledKeyspace(id)])),
    };
  }

  static async start(options: ScriptedOptions = {}): Promise<ScriptedCluster> {
    const cluster = new ScriptedCluster(options);
    for (const member of cluster.pd.members.keys()) await cluster.startMember(member);
    for (const id of cluster.topology.stores.keys()) await cluster.startStore(id);
    return cluster;
  }

  /** Addresses of the placement driver. */
  get addresses(): string[] {
    return this.pd.members.map(({ address }) => address);
  }

  /** See `Calls.intercept`. */
  get intercept(): Calls["intercept"] {
    return this.calls.intercept.bind(this.calls);
  }

  async startMember(member: number): Promise<void> {
    const info = this.pd.members[member];
    if (info === undefined) throw new Error(`start member ${member}: there is none of that number`);
    const { pd: state, topology, oracle } = this;
    const handlers = pdService({ member, state, topology, oracle });
    const server = await this.#serve(
      { member },
      portOf(info.address),
      handlers,
      { ...Pd, tso: METHODS.tso },
      false,
    );
    this.#members.set(member, server);
    info.address = `127.0.0.1:${server.port}`;
  }

  async stopMember(member: number): Promise<void> {
    await this.#members.get(member)?.close();
    this.#members.delete(member);
  }

  /** At the port that it had, where it had one. */
  async startStore(id: bigint): Promise<void> {
    await this.#startStore(id, portOf(this.#info(id).address));
  }

  async stopStore(id: bigint): Promise<void> {
    this.#info(id).isUp = false;
    await this.#stores.get(id)?.close();
    this.#stores.delete(id);
  }

  /** The store ends, and comes again at another address, which the placement driver knows at once. */
  async moveStore(id: bigint): Promise<void> {
    await this.stopStore(id);
    await this.#startStore(id, 0);
  }

  /** Two stores change places: each answers at the address of the other. */
  async swapStores(a: bigint, b: bigint): Promise<void> {
    const ports = [a, b].map((id) => portOf(this.#info(id).address));
    await Promise.all([this.stopStore(a), this.stopStore(b)]);
    await Promise.all([this.#startStore(a, ports[1] ?? 0), this.#startStore(b, ports[0] ?? 0)]);
  }

  async stop(): Promise<void> {
    this.#pessimistic.close();
    await Promise.all([...this.#members.values(), ...this.#stores.values()].map((server) => server.close()));
    this.#members.clear();
    this.#stores.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #startStore(id: bigint, port: number): Promise<void> {
    const { topology, mvcc } = this;
    const { apiVersion = 1, batches = true } = this.#options;
    const handlers = storeService({
      storeId: id,
      topology,
      mvcc,
      pessimistic: this.#pessimistic,
      apiVersion,
      fallBack: () => this.fallsBack,
    });
    const server = await this.#serve({ store: id }, port, handlers, { ...Kv, ...Store }, batches);
    this.#stores.set(id, server);
    const info = this.#info(id);
    info.address = `127.0.0.1:${server.port}`;
    info.isUp = true;
  }

  #serve(target: Target, port: number, handlers: object, methods: object, batches: boolean): Promise<Server> {
    const execute = handlers as Record<MethodName, (request: unknown) => Outcome<MethodName>>;
    const dispatch: Dispatch = (call) =>
      this.calls.run({ ...call, target }, async () => await execute[call.method](call.request))
        .catch((error) => Fault.status(2, `the scripted server failed: ${error.stack}`));
    return serve({ dispatch, port, tls: this.#options.tls, knows: (name) => name in methods, batches });
  }

  #info(id: bigint) {
    const info = this.topology.stores.get(id);
    if (info === undefined) throw new Error(`there is no store ${id}`);
    return info;
  }
}

function portOf(address: string): number {
  return Number(address.split(":")[1] ?? 0);
}
