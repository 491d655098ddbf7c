/**
 * The network that throw-away hosts share, and the process whose end is theirs.
 *
 * Its pid namespace holds those of all hosts: the kernel kills them with its first process, which ends when our pipe does.
 */
import { SalarError } from "../../lib/errors.ts";
import { run } from "./command.ts";
import { waitFor } from "./wait.ts";

const START_MS_MAX = 10_000;
const BITS = 16;
const NETWORK = "10.77";

const SCRIPT = `set -eu
ip link add hub type bridge
ip address add ${NETWORK}.0.1/${BITS} dev hub
ip link set hub up
ip link set lo up
echo up
cat >/dev/null`;

const APART = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--fork", "--kill-child"];

export interface Hub {
  netns: string;
  /** Of host number `index`, from 0. */
  addressOf(index: number): string;
  /**
   * Starts `command` as PID 1 of namespaces of its own (pid, mount, uts, ipc, network) and joins it to the network.
   * @returns its process id here, and when it has ended
   */
  start(
    index: number,
    command: readonly string[],
    log: string,
  ): Promise<{ pid: number; ended: Promise<unknown> }>;
  /** Whether the host's frames pass. */
  setLink(index: number, passes: boolean): Promise<void>;
  /** Resolves when nothing of it is left. */
  stop(): Promise<void>;
}

/** @throws {SalarError} `unavailable` without root, or where namespaces are not allowed */
export async function startHub(): Promise<Hub> {
  const child = new Deno.Command("unshare", {
    args: ["--net", "--pid", "--fork", "--kill-child", "/bin/sh", "-c", SCRIPT],
    cwd: "/",
    detached: true, // an interrupt at the terminal is for the test, which then ends this in order
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const { value } = await child.stdout.getReader().read();
  if (value === undefined) {
    throw new SalarError("unavailable", "Cannot start hosts: they get no network, see above; run as root");
  }
  const hub = await onlyChild(child.pid);
  const netns = `/proc/${hub}/ns/net`;
  const inside = (command: string) => run("nsenter", [`--net=${netns}`, ...command.split(" ")]);
  const hosts: Promise<unknown>[] = [];

  return {
    netns,
    addressOf: (index) => `${NETWORK}.1.${index + 1}/${BITS}`,
    async start(index, command, log) {
      const entering = new Deno.Command("/bin/sh", {
        args: [
          "-c",
          'exec "$@" >"$0" 2>&1',
          log,
          "nsenter",
          `--pid=/proc/${hub}/ns/pid`,
          ...APART,
          ...command,
        ],
        cwd: "/",
        detached: true,
        stdin: "null",
        stdout: "null",
        stderr: "null",
      }).spawn();
      const ended = entering.status;
      hosts.push(ended);
      const pid = await onlyChild(await onlyChild(entering.pid));
      await inside(`ip link add v${index} type veth peer name eth0 netns ${pid}`);
      await inside(`ip link set v${index} master hub up`);
      return { pid, ended };
    },
    async setLink(index, passes) {
      await inside(`bridge link set dev v${index} state ${passes ? "forwarding" : "disabled"}`);
    },
    async stop() {
      await child.stdin.close();
      await Promise.all([child.status, ...hosts]);
    },
  };
}

/** The first child of a process, as soon as it has one. */
function onlyChild(pid: number): Promise<number> {
  return waitFor(`a child of process ${pid}`, START_MS_MAX, async () => {
    const children = await Deno.readTextFile(`/proc/${pid}/task/${pid}/children`);
    return Number(children.split(" ")[0]);
  });
}
