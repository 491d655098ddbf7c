/**
 * A director and NATS for one throw-away host, in that host's own network: there an agent reaches them by loopback, where no TLS is
 * asked for. Their programs and files are this machine's.
 */
import { run } from "../parts/command.ts";
import { partFolder } from "../parts/daemon.ts";
import type { Host } from "../parts/hosts.ts";
import { ensureNats } from "../parts/nats.ts";
import { waitFor } from "../parts/wait.ts";

const FUNCTIONS = new URL("../../functions/main.ts", import.meta.url).pathname;
const READY_MS_MAX = 30_000;

export interface HostCluster extends AsyncDisposable {
  directorUrl: string;
  natsServers: string;
  /** Asks the director as an administrator. */
  call<T>(method: string, path: string, body?: unknown): Promise<T>;
}

export async function startClusterFor(host: Host): Promise<HostCluster> {
  await using making = new AsyncDisposableStack();
  const folder = await partFolder("stage");
  making.defer(() => folder.remove());
  const inside = (command: string[]) => ["nsenter", `--net=/proc/${host.pid}/ns/net`, ...command];
  const start = (name: string, command: string[]) => {
    const [program = "", ...args] = inside(command);
    const log = `${folder.path}/${name}.log`;
    const child = new Deno.Command("/bin/sh", {
      args: ["-c", 'log=$1; shift; exec "$@" >"$log" 2>&1', "sh", log, program, ...args],
      stdin: "null",
    }).spawn();
    making.defer(async () => {
      child.kill("SIGKILL");
      await child.status;
    });
    return log;
  };

  const { server } = await ensureNats();
  start("nats", [server, "-a", "127.0.0.1", "-p", "4222", "-js", "-sd", `${folder.path}/nats`]);
  const flags = [
    "--functions=director,node-events,client-bind",
    "--replica=r1",
    "--cluster=c-staging",
    "--http-port=8480",
  ];
  const data = [`--data-folder=${folder.path}/functions`, "--nats-servers=127.0.0.1:4222"];
  const log = start("functions", [Deno.execPath(), "run", "-A", FUNCTIONS, "run", ...flags, ...data]);

  const directorUrl = "http://127.0.0.1:8480";
  const curl = async (args: string[]) => {
    const [program = "", ...rest] = inside(["curl", "-sS", "--fail-with-body", ...args]);
    return (await run(program, rest)).stdout;
  };
  await waitFor("a director", READY_MS_MAX, () => curl([`${directorUrl}/readyz`])).catch(async (cause) => {
    throw new Error(await Deno.readTextFile(log), { cause });
  });
  const made = making.move();
  return {
    directorUrl,
    natsServers: "127.0.0.1:4222",
    async call(method, path, body) {
      const token = (await Deno.readTextFile(`${folder.path}/functions/admin.token`)).trim();
      const headers = {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        "idempotency-key": crypto.randomUUID(),
      };
      const lines = Object.entries(headers).flatMap(([name, value]) => ["-H", `${name}: ${value}`]);
      const sent = body === undefined ? [] : ["-d", JSON.stringify(body)];
      return JSON.parse(await curl(["-X", method, ...lines, ...sent, directorUrl + path]));
    },
    [Symbol.asyncDispose]: () => made.disposeAsync(),
  };
}
