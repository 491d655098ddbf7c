/**
 * A whole cluster on real parts: NATS, PostgreSQL with two Uyuni databases, two Salt masters with a twin beside each, one
 * minion, two node agents, a client agent, and two replicas of every function, each a process of its own.
 */
import { CAPTURE_SETTINGS } from "../integration/capture_support.ts";
import { type Nats, startNats } from "../parts/nats.ts";
import { type Postgres, startPostgres } from "../parts/postgres.ts";
import { partFolder } from "../parts/daemon.ts";
import type { SaltLine } from "../parts/salt.ts";
import type { SaltEvent } from "../parts/salt_events.ts";
import { type SaltMaster, startSaltMaster } from "../parts/salt_master.ts";
import { type SaltMinion, startSaltMinion } from "../parts/salt_minion.ts";
import { freePort, waitFor } from "../parts/wait.ts";
import { folderKeys } from "../twin/minion_keys.ts";
import { pgDb } from "../twin/pg_db.ts";
import { startTwin } from "../twin/twin.ts";
import { startBalancer } from "./balancer.ts";
import { Program } from "./process.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const FUNCTIONS = ["director", "node-events", "client-bind", "gateway"] as const;
const REPLICAS = 2;
const COMMAND_MS_MAX = 120_000;
const MINION_LINES = 60;
const UYUNI = { login: "salar", password: "salar-api" };

export interface LoopNode {
  name: string;
  master: SaltMaster;
  database: string;
  fp: string;
}

export interface Loop {
  url: string;
  nats: Nats;
  postgres: Postgres;
  nodes: LoopNode[];
  minion: SaltMinion;
  /** Every process of Salar's own, by name. */
  programs: Map<string, Program>;
  call<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Runs `salar` with these arguments against the cluster. */
  salar(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  startClientAgent(): Promise<Program>;
  /** Ends of all logs, for a test that failed. */
  logs(): Promise<string>;
  stop(): Promise<void>;
}

export async function startLoop(line: SaltLine): Promise<Loop> {
  const stack = new AsyncDisposableStack();
  try {
    return await build(line, stack);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

async function build(line: SaltLine, stack: AsyncDisposableStack): Promise<Loop> {
  const folder = await partFolder("lp");
  stack.defer(() => folder.remove());
  const nats = stack.use(await startNats());
  const postgres = stack.use(await startPostgres({ logical: true, settings: CAPTURE_SETTINGS }));
  const programs = new Map<string, Program>();
  const run = (name: string, args: string[]) => {
    const program = new Program({ name, args, folder: folder.path });
    programs.set(name, program);
    return program;
  };
  stack.defer(async () => void await Promise.all([...programs.values()].map((program) => program.stop())));

  // --- Functions
  const replicas = new Map<string, string[]>();
  for (const name of FUNCTIONS) {
    for (let at = 0; at < REPLICAS; at++) {
      const port = freePort();
      replicas.set(name, [...replicas.get(name) ?? [], `http://127.0.0.1:${port}`]);
      run(`${name}-${at}`, [
        `${ROOT}functions/main.ts`,
        "run",
        ...["--functions", name, "--replica", `${name}-${at}`, "--cluster", "c-loop"],
        ...["--data-folder", `${folder.path}/functions`, "--http-port", `${port}`],
        ...["--nats-servers", `127.0.0.1:${nats.port}`],
      ]);
      // The first one makes the cluster's key and the store's tables; two at once would both make a key.
      await answers(`http://127.0.0.1:${port}/readyz`);
    }
  }
  const of = (name: string) => replicas.get(name) ?? [];
  const balancer = startBalancer([
    ["/v1/enrol/node", of("director")],
    ["/v1/enrol", of("client-bind")],
    ["/v1/directives", of("client-bind")],
    ["/v1/reports", of("client-bind")],
    ["/v1/beat", of("client-bind")],
    ["/rpc/api", of("gateway")],
    ["/", of("director")],
  ]);
  stack.defer(() => balancer.stop());
  const { url } = balancer;
  const tokenFile = `${folder.path}/functions/admin.token`;

  /** As a good client: 503 is asked again, with the same idempotency key. */
  async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const token = (await Deno.readTextFile(tokenFile)).trim();
    const headers = {
      authorization: `Bearer ${token}`,
      "content-type": "application/json",
      "idempotency-key": crypto.randomUUID(),
    };
    const { status, answer } = await waitFor(`an answer to ${method} ${path}`, 30_000, async () => {
      const response = await fetch(url + path, {
        method,
        headers,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer = await response.json();
      if (response.status === 503) throw new Error(answer.detail);
      return { status: response.status, answer };
    });
    if (status >= 400) throw new Error(`${method} ${path}: ${status} ${JSON.stringify(answer)}`);
    return answer;
  }

  async function joinTokenFile(kind: "node" | "system", name: string): Promise<string> {
    const { token } = await call<{ token: string }>("POST", "/v1/join-tokens", { kind, zone: "loop" });
    const path = `${folder.path}/${name}.join`;
    await Deno.writeTextFile(path, token, { mode: 0o600 });
    return path;
  }

  // --- Nodes
  await call("POST", "/v1/zones", { name: "loop" });
  const secretFile = async (name: string, text: string) => {
    const path = `${folder.path}/${name}`;
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    return path;
  };
  const uyuniPasswordFile = await secretFile("uyuni.password", UYUNI.password);
  const databasePasswordFile = await secretFile("database.password", postgres.password);
  const nodes: LoopNode[] = [];
  /** What each node's master said, and what its twin made of it. */
  const notes = new Map<string, string[]>();
  for (const name of ["node-a", "node-b"]) {
    const database = name.replace("-", "_");
    const master = stack.use(await startSaltMaster({ line }));
    const db = await pgDb({ url: await postgres.createDatabase(database) });
    stack.defer(() => db.close());
    const twin = stack.use(startTwin({ db, keys: folderKeys(master.pkiFolder) }));
    await twin.seed({
      users: [UYUNI, { login: "admin", password: "admin" }],
      channels: [{ label: "pool", name: "Pool" }],
    });
    const events = await master.events();
    const seen: string[] = [];
    notes.set(name, seen);
    const watching = twin.watchSalt(noted(events, seen), {
      onRegistration: (id, { outcome }) => seen.push(`(twin: ${id} is ${outcome})`),
    }).catch((error) => seen.push(`(twin: ${error})`)); // ends with the events
    stack.defer(async () => {
      await events.close();
      await watching;
    });

    run(name, [
      `${ROOT}agents/node/main.ts`,
      "run",
      ...["--folder", `${folder.path}/${name}`, "--director-url", url, "--name", name],
      ...["--join-token-file", await joinTokenFile("node", name)],
      ...["--machine-id", crypto.randomUUID().replaceAll("-", "")],
      ...["--nats-servers", `127.0.0.1:${nats.port}`],
      ...["--master", master.address, "--pki-folder", master.pkiFolder],
      ...["--uyuni-url", twin.url.replace("/rpc/api", ""), "--uyuni-user", UYUNI.login],
      ...["--uyuni-password-file", uyuniPasswordFile],
      ...[
        "--database-host",
        postgres.host,
        "--database-port",
        `${postgres.port}`,
        "--database-name",
        database,
      ],
      ...["--database-user", postgres.user, "--database-password-file", databasePasswordFile],
      "--setup",
    ]);
    const fp = await waitFor(`node ${name} in the pool`, 30_000, async () => {
      const { items } = await call<{ items: { name: string; fp: string }[] }>("GET", "/v1/nodes");
      return items.find((node) => node.name === name)?.fp ?? null;
    });
    await call("POST", `/v1/nodes/${fp}/accept`, { why: "loop" });
    nodes.push({ name, master, database, fp });
  }

  // --- One minion, registered to the first node as Uyuni does it
  const [first] = nodes;
  if (first === undefined) throw new Error("Assertion failed: there is a first node");
  const minion = stack.use(await startSaltMinion({ line, id: "minion-1", master: first.master.address }));
  await first.master.acceptKey(minion.id, await minion.publicKey());

  return {
    url,
    nats,
    postgres,
    nodes,
    minion,
    programs,
    call,
    async salar(...args) {
      const env = { SALAR_SERVER: url, SALAR_TOKEN_FILE: tokenFile, NO_COLOR: "1" };
      const command = new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", `${ROOT}cli/main.ts`, ...args],
        env,
        stdin: "null",
        signal: AbortSignal.timeout(COMMAND_MS_MAX),
      });
      const { code, stdout, stderr } = await command.output();
      const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
      return { code, stdout: text(stdout), stderr: text(stderr) };
    },
    async startClientAgent() {
      return run("client", [
        `${ROOT}agents/client/main.ts`,
        "run",
        ...["--folder", `${folder.path}/client`, "--root", minion.root, "--director-url", url],
        ...["--name", "minion-1.example", "--join-token-file", await joinTokenFile("system", "client")],
        // An agent that was killed begins the restart again: the second must wait for the first, as under systemd.
        `--restart=${
          ["flock", "--close", `${folder.path}/restart.lock`, ...minion.restartCommand].join(",")
        }`,
        `--salt-call=${minion.saltCall.join(",")}`,
      ]);
    },
    async logs() {
      const ends = [...programs.values()].map(async (program) =>
        `--- ${program.name} (started ${program.starts} times)\n${await program.log()}`
      );
      const saltSide = [...notes].map(([name, seen]) => `--- ${name}'s master: ${seen.join(", ")}`);
      const minionLog = (await Deno.readTextFile(minion.logFile)).split("\n").slice(-MINION_LINES);
      return [...await Promise.all(ends), ...saltSide, "--- minion", ...minionLog].join("\n");
    },
    stop: () => stack.disposeAsync(),
  };
}

async function* noted(events: AsyncIterable<SaltEvent>, tags: string[]): AsyncIterable<SaltEvent> {
  for await (const event of events) {
    tags.push(event.tag);
    yield event;
  }
}

async function answers(url: string): Promise<void> {
  await waitFor(`an answer of ${url}`, 30_000, async () => {
    const response = await fetch(url);
    await response.body?.cancel();
    return response.ok;
  });
}
