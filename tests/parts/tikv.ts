/**
 * A real cluster for tests and benches of the TiKV client: PD members and unistore stores on this machine.
 *
 * In: how many of each. Out: their addresses, and handles to kill, stop and start every one of them.
 * V1. It is ready when every region has a leader and a copy on as many stores as there are replicas (at most 3):
 *     a store that is killed then takes no data with it.
 * V2. PD moves no leader and no replica for balance: what a test arranges stays until that test changes it.
 * What unistore shows and what it cannot: docs/tikv.md, "Servers of the tests".
 */
import { SalarError } from "../../lib/errors.ts";
import { signalGroup } from "./command.ts";
import { type DaemonSpec, isRunning, killDaemon, partFolder, startDaemon } from "./daemon.ts";
import { ensureTikv } from "./tikv_build.ts";
import { askPd, type TikvTopology, topologyOf } from "./tikv_topology.ts";
import { type Certificate, makeCertificate } from "./tls.ts";
import { freePort, waitFor } from "./wait.ts";

const REPLICAS = 3;
const READY_MS_MAX = 90_000;
/**
 * Where PD wants regions to begin, for the keyspace "DEFAULT". unistore splits in the middle whatever key PD names,
 * so that PD would wait for ever and meanwhile make no replicas of the regions concerned.
 */
const KEYSPACE_BOUNDS = ["72000000", "72000001", "78000000", "78000001"].map((hex) =>
  Uint8Array.fromHex(hex)
);

export interface TikvOptions {
  stores?: number;
  pdMembers?: number;
  /** PD also listens with TLS and asks clients for a certificate of the authority in `TikvCluster.certificate`. */
  tls?: boolean;
  /** Ends an unfinished start between two of its steps; what runs by then is stopped. */
  signal?: AbortSignal;
}

/** Data and address stay over everything but the cluster's `stop()`. */
export interface TikvServer {
  address: string;
  dataFolder: string;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it again; resolves when it answers. */
  start(): Promise<void>;
  /** SIGSTOP: it keeps its connections and answers nothing, like a machine that hangs. */
  pause(): Promise<void>;
  resume(): Promise<void>;
}

export interface TikvCluster extends TikvTopology {
  stores: TikvServer[];
  members: TikvServer[];
  /** `https://` addresses of PD; empty without `tls`. */
  pdTls: string[];
  /** With `tls`: the authority, and a certificate that servers and clients may use. */
  certificate: Certificate | null;
  killPd(): Promise<void>;
  startPd(): Promise<void>;
  /** Kills the member that leads and resolves with it, for `start()`. */
  killPdLeader(): Promise<TikvServer>;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startTikv(options: TikvOptions = {}): Promise<TikvCluster> {
  const { stores: storeCount = 3, pdMembers = 1, signal } = options;
  const programs = await ensureTikv();
  const folder = await partFolder("tikv");
  const certificate = options.tls ? await makeCertificate(folder.path) : null;
  const ports = Array.from({ length: pdMembers }, () => ({
    client: freePort(),
    peer: freePort(),
    tls: certificate ? freePort() : null,
  }));
  const replicas = Math.min(REPLICAS, storeCount);

  const members = ports.map((_, index) =>
    pdMember({ program: programs.pd, folder: folder.path, ports, index, replicas, certificate })
  );
  const topology = topologyOf(ports.map(({ client }) => `http://127.0.0.1:${client}`));
  const stores = Array.from({ length: storeCount }, (_, index) =>
    store({
      program: programs.unistore,
      folder: `${folder.path}/store${index + 1}`,
      pd: ports.map(({ client }) => `127.0.0.1:${client}`),
    }));

  const stop = async () => {
    await Promise.all([...stores, ...members].map((server) => server.kill())); // their data go with them
    await folder.remove();
  };
  try {
    const [first, ...others] = stores;
    signal?.throwIfAborted();
    await startAll(members); // together: one alone is no majority
    signal?.throwIfAborted();
    await first?.start(); // alone: it creates the cluster
    signal?.throwIfAborted();
    await topology.splitAt(KEYSPACE_BOUNDS);
    signal?.throwIfAborted();
    await startAll(others);
    signal?.throwIfAborted();
    await waitFor("every region led and replicated", READY_MS_MAX, () => isReplicated(topology, replicas));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    ...topology,
    stores,
    members,
    pdTls: ports.flatMap(({ tls }) => tls === null ? [] : [`https://127.0.0.1:${tls}`]),
    certificate,
    async killPd() {
      await Promise.all(members.map((member) => member.kill()));
    },
    startPd: () => startAll(members),
    async killPdLeader() {
      const { name } = await askPd<{ name: string }>(topology.pd, "leader");
      const leader = members.find((member) => member.name === name);
      if (!leader) throw new SalarError("unavailable", `Cannot kill the PD leader: no member is "${name}"`);
      await leader.kill();
      return leader;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

async function startAll(servers: readonly TikvServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.start()));
}

/** V1. */
async function isReplicated({ regions }: TikvTopology, replicas: number): Promise<boolean> {
  const known = await regions();
  return known.length > 0 && known.every(({ leader, stores }) => leader && stores.length === replicas);
}

interface MemberOptions {
  program: string;
  folder: string;
  /** Of all members. */
  ports: { client: number; peer: number; tls: number | null }[];
  index: number;
  replicas: number;
  certificate: Certificate | null;
}

function pdMember({ program, folder, ports, index, replicas, certificate }: MemberOptions) {
  const own = ports[index];
  if (!own) throw new RangeError(`no ports for PD member ${index}`);
  const name = `pd${index + 1}`;
  const dataFolder = `${folder}/${name}/data`;
  const address = `127.0.0.1:${own.client}`;
  const clientUrls = [`http://${address}`, ...own.tls === null ? [] : [`https://127.0.0.1:${own.tls}`]];
  const flags = {
    name,
    "data-dir": dataFolder,
    config: `${folder}/${name}/pd.toml`,
    "client-urls": clientUrls.join(","),
    "peer-urls": `http://127.0.0.1:${own.peer}`,
    "initial-cluster": ports.map(({ peer }, at) => `pd${at + 1}=http://127.0.0.1:${peer}`).join(","),
    ...certificate && { cacert: certificate.caFile, cert: certificate.certFile, key: certificate.keyFile },
  };
  const spec: DaemonSpec = {
    name: "pd-server",
    folder: `${folder}/${name}`,
    command: program,
    args: Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
  };
  // V2: every scheduler has no room to act in; replicas that are missing are still made.
  const config = `
[log]
level = "warn"
[replication]
max-replicas = ${replicas}
[schedule]
leader-schedule-limit = 0
region-schedule-limit = 0
hot-region-schedule-limit = 0
merge-schedule-limit = 0
`;
  const server = serverOf(spec, {
    address,
    dataFolder,
    async prepare() {
      await Deno.mkdir(spec.folder, { recursive: true });
      await Deno.writeTextFile(`${spec.folder}/pd.toml`, config);
    },
    async ready() {
      const { name } = await askPd<{ name: string }>([`http://${address}`], "leader");
      return name !== "";
    },
  });
  return { ...server, name };
}

interface StoreOptions {
  program: string;
  folder: string;
  /** `host:port` of each PD member. */
  pd: string[];
}

function store({ program, folder, pd }: StoreOptions): TikvServer {
  const address = `127.0.0.1:${freePort()}`;
  const status = `127.0.0.1:${freePort()}`;
  const dataFolder = `${folder}/data`;
  const spec: DaemonSpec = {
    name: "unistore-server",
    folder,
    command: program,
    args: [`--config=${folder}/store.toml`],
  };
  // Ticks of 200 instead of 1000 ms: a dead leader is replaced after 2 to 4 s, not 10 to 20.
  const config = `
[server]
store-addr = "${address}"
status-addr = "${status}"
pd-addr = "${pd.join(",")}"
log-level = "warn"
[raftstore]
raft-base-tick-interval = "200ms"
raft-store-max-leader-lease = "1800ms"
pd-heartbeat-tick-interval = "1s"
[engine]
db-path = "${dataFolder}"
`;
  return serverOf(spec, {
    address,
    dataFolder,
    async prepare() {
      await Deno.mkdir(dataFolder, { recursive: true });
      await Deno.writeTextFile(`${folder}/store.toml`, config);
    },
    async ready() {
      const answer = await fetch(`http://${status}/status`);
      await answer.body?.cancel();
      return answer.ok;
    },
  });
}

interface Lifecycle {
  address: string;
  dataFolder: string;
  prepare(): Promise<void>;
  ready(): Promise<boolean>;
}

function serverOf(spec: DaemonSpec, { address, dataFolder, prepare, ready }: Lifecycle): TikvServer {
  const send = async (signal: Deno.Signal) => {
    const group = Number(await Deno.readTextFile(`${spec.folder}/${spec.name}.pid`));
    signalGroup(group, signal);
  };
  return {
    address,
    dataFolder,
    kill: () => killDaemon(spec),
    async start() {
      if (await isRunning(spec)) return;
      await prepare();
      await startDaemon(spec, ready);
    },
    pause: () => send("SIGSTOP"),
    resume: () => send("SIGCONT"),
  };
}
