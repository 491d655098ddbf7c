/**
 * What the tests of re-pointing share: two real Salt masters, one real minion, and the client agent as a process of
 * its own that is started, killed and started again. The director is the agent's own fake, over HTTP.
 */
import assert from "node:assert/strict";
import { FakeDirector } from "../../agents/client/testing_director.ts";
import type { MoveReport } from "../../lib/cluster/protocol.ts";
import type { SaltLine } from "../parts/salt.ts";
import { type SaltMaster, startSaltMaster } from "../parts/salt_master.ts";
import { type SaltMinion, startSaltMinion } from "../parts/salt_minion.ts";
import { waitFor } from "../parts/wait.ts";

export const ID = "repoint-1";
/** Several proofs of life fit into it, and two ways of it into a test. */
const VERIFY_MS = 8_000;
const MOVE_MS_MAX = 120_000;
const MAIN = new URL("../../agents/client/main.ts", import.meta.url).pathname;
const CONTROL = new URL("../parts/daemon_control.ts", import.meta.url).pathname;

export interface Site extends AsyncDisposable {
  a: SaltMaster;
  b: SaltMaster;
  minion: SaltMinion;
  director: FakeDirector;
  /** Folder for what the agent reads. */
  own: string;
  startAgent(): void;
  /** Resolves with the exit code; null when no agent ran. What a killed agent had started goes on without it. */
  endAgent(signal: "SIGTERM" | "SIGKILL"): Promise<number | null>;
  /** Orders a move with the next number; the report comes by `reportOf`. Returns the number. */
  order(to: SaltMaster, masterKey?: string): Promise<number>;
  reportOf(seq: number): Promise<MoveReport>;
  /** Runs another command of the agent's program to its end. */
  agentSays(...args: string[]): Promise<string>;
}

/** A minion that master `a` has and `b` accepts ahead, with an enrolled agent that runs. */
export async function startSite(line: SaltLine): Promise<Site> {
  await using stack = new AsyncDisposableStack();
  const a = stack.use(await startSaltMaster({ line }));
  const b = stack.use(await startSaltMaster({ line }));
  const minion = stack.use(await startSaltMinion({ line, id: ID, master: a.address }));
  for (const master of [a, b]) await master.acceptKey(ID, await minion.publicKey());
  await waitFor("the minion with its first master", 60_000, () => a.ping(ID));

  const director = new FakeDirector(Date.now);
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    (request) => director.answer(request, () => new Promise((resolve) => setTimeout(resolve, 100))),
  );
  stack.defer(() => server.shutdown());
  const config = await writeConfig(minion, director, `http://127.0.0.1:${server.addr.port}`);
  const rights = await agentRights(minion.root);
  let agent: Deno.ChildProcess | null = null;
  const endAgent = async (signal: Deno.Signal) => {
    const ending = agent;
    agent = null;
    ending?.kill(signal);
    return (await ending?.status)?.code ?? null;
  };
  stack.defer(async () => void await endAgent("SIGKILL"));
  const startAgent = () => agent = agentCommand(rights, config, ["run"]).spawn();

  startAgent();
  await waitFor("the agent's heartbeat", 60_000, () => director.beats.length > 0);
  const parts = stack.move();
  return {
    a,
    b,
    minion,
    director,
    own: `${minion.root}/etc/salar`,
    startAgent,
    endAgent,
    async order(to, masterKey) {
      const seq = director.orders.length + 1;
      const key = masterKey ?? await to.masterPublicKey();
      director.orders.push({ seq, epoch: seq, master: to.address, masterKey: key });
      return seq;
    },
    reportOf: (seq) =>
      waitFor(
        `report of directive ${seq}`,
        MOVE_MS_MAX,
        () => director.reports.find((report) => report.seq === seq),
      ),
    async agentSays(...args) {
      const { code, stdout, stderr } = await agentCommand(rights, config, args).output();
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      return new TextDecoder().decode(stdout);
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** Answers exactly this one of the two masters. */
export async function assertFollows({ a, b }: Site, which: "a" | "b"): Promise<void> {
  const [there, elsewhere] = which === "a" ? [a, b] : [b, a];
  assert.ok(await there.ping(ID), `the minion answers ${which}`);
  assert.equal(await elsewhere.ping(ID), false, `the minion answers ${which} only`);
}

/** Every file that a move may touch, as text; null where there is none. */
export async function saltFiles(minion: SaltMinion): Promise<Record<string, string | null>> {
  const names = ["minion.d/susemanager.conf", "minion.d/zz-salar.conf", "pki/minion/minion_master.pub"];
  const texts = await Promise.all(names.map((name) => readOrNull(`${minion.configFolder}/${name}`)));
  return Object.fromEntries(names.map((name, at) => [name, texts[at] ?? null]));
}

/** With the rights of its set in deno.json, for the minion's own folders instead of the system's. */
async function agentRights(root: string): Promise<string[]> {
  const { permissions } = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  return Object.entries(permissions["client-agent"]).map(([name, value]) => {
    if (typeof value === "boolean") return `--${value ? "allow" : "deny"}-${name}`;
    assert.ok(Array.isArray(value));
    const isFiles = name === "read" || name === "write";
    return `--allow-${name}=${value.map((each) => isFiles ? `${root}${each}` : each)}`;
  });
}

function agentCommand(rights: string[], config: string, [name = "", ...args]: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", ...rights, MAIN, name, "--config", config, ...args],
    stdin: "null",
    stdout: name === "run" ? "null" : "piped",
    stderr: name === "run" ? "inherit" : "piped",
  });
}

async function writeConfig(minion: SaltMinion, director: FakeDirector, directorUrl: string): Promise<string> {
  const { root } = minion;
  const folder = `${root}/var/lib/salar-client`;
  const own = `${root}/etc/salar`;
  await Deno.mkdir(own, { mode: 0o700 });
  await Deno.writeTextFile(`${own}/join-token`, `${director.joinToken}\n`, { mode: 0o600 });
  // As systemd does, one restart at a time: that of an agent that was killed goes on beside its successor's. Killed
  // rather than asked: a minion takes 5 to 10 s to obey, which is not what is tested here.
  const control = [Deno.execPath(), "run", "-A", CONTROL, `${root}/daemon.json`].join(" ");
  const restart = [
    "flock",
    "--close",
    `${folder}/restart.lock`,
    "sh",
    "-c",
    `${control} kill && ${control} start`,
  ];
  const config = {
    directorUrl,
    folder,
    joinTokenFile: `${own}/join-token`,
    root,
    restart,
    saltCall: minion.saltCall,
    verifyMs: VERIFY_MS,
    logLevel: "warn",
  };
  await Deno.writeTextFile(`${own}/client.json`, JSON.stringify(config));
  return `${own}/client.json`;
}

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
