/**
 * A real server under test: its own folder, its own process session, started, killed and started again.
 *
 * A daemon is plain data plus a pid file in its folder, so that another process can restart it as well
 * (an agent restarts its Salt minion).
 * D1. The members of a daemon are its process group and whatever works in its folder: PostgreSQL's children
 *     leave the group. `kill()` and `stop()` resolve only when no member is left.
 * D2. When the starting process dies, by whatever signal, a keeper kills the daemon and removes its folder.
 */
import { dirname } from "node:path";
import { messageOf, SalarError } from "../../lib/errors.ts";
import { exists } from "./cache.ts";
import { signalGroup, tail } from "./command.ts";
import { waitFor } from "./wait.ts";

const START_MS_MAX = 30_000;
const KILL_MS_MAX = 10_000;

/** Everything needed to start a server again, as JSON. */
export interface DaemonSpec {
  name: string;
  /** Working folder, the daemon's own; `<folder>/<name>.pid` and `<folder>/<name>.log` are kept there. */
  folder: string;
  command: string;
  args: string[];
  env?: Record<string, string>;
  uid?: number;
  gid?: number;
  stopSignal?: Deno.Signal;
  /** How long a server may take to obey `stopSignal` before it is killed. */
  graceMs?: number;
  /**
   * The pid file that the server itself writes: it has started once this is there. It and its `*.pid`
   * neighbours, which a killed server leaves behind and which stop its next start, are removed before one.
   */
  ownPidFile?: string;
}

/** What each starter returns, beside what is particular to its server. */
export interface Part {
  /** Stops the server and removes its folder. */
  stop(): Promise<void>;
  /** SIGKILL to the whole server; data and addresses stay for `restart()`. */
  kill(): Promise<void>;
  /** Stops the server where it runs, starts it on the same data and addresses, waits until it answers. */
  restart(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface PartFolder {
  path: string;
  /** Removes the folder; to be called when its daemons are gone. */
  remove(): Promise<void>;
}

/**
 * A throw-away folder for daemons, guarded by a keeper (D2). Short path: Unix sockets end at 107 bytes.
 * Daemons must live in it directly or one level below.
 */
export async function partFolder(name: string, owner?: { uid: number; gid: number }): Promise<PartFolder> {
  const path = await Deno.makeTempDir({ prefix: `${name}-` });
  if (owner) await Deno.chown(path, owner.uid, owner.gid);
  // `read` ends when the pipe from this process closes. The pause lets orphans see that their parent is gone.
  const script =
    'read -r _; for f in "$0"/*.pid "$0"/*/*.pid; do [ -f "$f" ] && kill -s KILL -- -"$(cat "$f")"; done; ' +
    'sleep 1; rm -rf -- "$0"';
  const keeper = new Deno.Command("/bin/sh", {
    args: ["-c", script, path],
    cwd: "/",
    detached: true,
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  keeper.unref();
  return {
    path,
    async remove() {
      keeper.ref(); // from here on its end is waited for
      keeper.kill("SIGKILL");
      await keeper.status;
      await keeper.stdin.abort().catch(() => {}); // the reader is gone, which is what was wanted
      await Deno.remove(path, { recursive: true });
    },
  };
}

/** Starts the server and waits until `ready()` is true. Throws with the end of its log when it dies or is late. */
export async function startDaemon(spec: DaemonSpec, ready: () => Promise<boolean>): Promise<void> {
  const { ownPidFile } = spec;
  if (ownPidFile) await removePidFiles(dirname(ownPidFile));
  const { uid, gid } = spec;
  const child = new Deno.Command("/bin/sh", {
    args: ["-c", 'echo $$ >"$0.pid"; exec "$@" >>"$0.log" 2>&1', spec.name, spec.command, ...spec.args],
    cwd: spec.folder,
    detached: true, // a session of its own: the group is exactly this server
    stdin: "null",
    stdout: "null",
    stderr: "null",
    ...(spec.env && { env: spec.env }),
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
  }).spawn();
  child.unref();
  const isUp = async () =>
    await groupOf(spec) === child.pid && (!ownPidFile || await exists(ownPidFile)) && await ready();
  let ended = false;
  child.status.then(() => ended = true);
  try {
    const up = await waitFor(
      `${spec.name} ready`,
      START_MS_MAX,
      async () => ended ? "ended" : await isUp() && "up",
    );
    if (up === "ended") throw new SalarError("unavailable", "it ended at once");
  } catch (error) {
    const log = await Deno.readTextFile(`${spec.folder}/${spec.name}.log`).catch(() => "");
    await killDaemon(spec);
    const message = `Cannot start ${spec.name}: ${messageOf(error)}\n${tail(log)}`;
    throw new SalarError("unavailable", message, { cause: error });
  }
}

/** Asks the server to stop, kills what is left after its grace time. */
export async function stopDaemon(spec: DaemonSpec): Promise<void> {
  const group = await groupOf(spec);
  if (group !== null) signalGroup(group, spec.stopSignal ?? "SIGTERM");
  try {
    await waitFor(`${spec.name} stopped`, spec.graceMs ?? KILL_MS_MAX, async () => !await isRunning(spec));
  } catch {
    // The grace time is over: killed below like anything that does not obey.
  }
  await killDaemon(spec);
}

/** SIGKILL to every member; resolves when none is left. */
export async function killDaemon(spec: DaemonSpec): Promise<void> {
  const group = await groupOf(spec);
  await waitFor(`${spec.name} killed`, KILL_MS_MAX, () => {
    if (group !== null) signalGroup(group, "SIGKILL");
    const left = members(spec.folder, group);
    for (const pid of left) killOne(pid);
    return left.length === 0;
  });
  await Deno.remove(`${spec.folder}/${spec.name}.pid`).catch(() => {}); // a pid file of nothing invites a wrong kill
}

/** True while a member of the server lives. */
export async function isRunning(spec: DaemonSpec): Promise<boolean> {
  return members(spec.folder, await groupOf(spec)).length > 0;
}

async function removePidFiles(folder: string): Promise<void> {
  if (!await exists(folder)) return;
  for await (const { name } of Deno.readDir(folder)) {
    if (name.endsWith(".pid")) await Deno.remove(`${folder}/${name}`);
  }
}

async function groupOf(spec: DaemonSpec): Promise<number | null> {
  const file = `${spec.folder}/${spec.name}.pid`;
  if (!await exists(file)) return null;
  const group = Number(await Deno.readTextFile(file));
  return Number.isInteger(group) && group > 1 ? group : null;
}

/** Processes of D1. Zombies do not count: in a container their new parent may never collect them. */
function members(folder: string, group: number | null): number[] {
  const found: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === Deno.pid) continue;
    try {
      const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
      // "pid (any name) state ppid pgrp": the name may hold blanks and brackets
      const [state, , processGroup] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (state === "Z") continue;
      if (Number(processGroup) === group || Deno.readLinkSync(`/proc/${pid}/cwd`) === folder) found.push(pid);
    } catch {
      // It ended while it was looked at, or belongs to somebody else.
    }
  }
  return found;
}

function killOne(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
