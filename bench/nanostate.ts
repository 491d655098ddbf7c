/**
 * `salar state apply` beside Ansible, Mitogen and pyinfra: ten real modules and fifty shell steps on 1, 10 and 50 hosts
 * with real sshd, all of it changing and nothing to change.
 *
 * M1. Every run is a new process with new connections, in the hosts' own network. Its processes are those that it starts
 *     until its last one has ended.
 * M2. Peers keep nothing on hosts for their next run, so one figure is theirs for cold and warm; ours is measured with
 *     and without what the agent keeps there.
 */
import { startHosts } from "../tests/parts/hosts.ts";
import type { Hosts } from "../tests/parts/hosts.ts";
import { type BenchOptions, judged, median, type Report } from "./figure.ts";
import { OURS, PEERS, type Tool } from "./nanostate/tools.ts";
import { measureRun, type Usage } from "./nanostate/turn.ts";

const COUNTS = [1, 10, 50];
const TURNS_MAX = 5;
const METRICS = [
  { name: "wall", of: "wallMs", unit: "ms" },
  { name: "controller CPU", of: "cpuMs", unit: "ms" },
  { name: "controller memory", of: "peakMb", unit: "MB" },
  { name: "CPU of hosts", of: "hostsCpuMs", unit: "ms" },
] as const;

/** What one tool took, with all steps changing something and with none. */
interface Taken {
  all: Usage;
  none: Usage;
}

export async function run(report: Report, { seconds }: BenchOptions): Promise<void> {
  for (const count of COUNTS) {
    await using hosts = await startHosts({ count });
    const peers = PEERS.filter(({ hostsMax = Infinity }) => count <= hostsMax);
    for (const peer of peers) await measureBeside(hosts, peer, report, seconds);
  }
}

/** Ours is measured again for each peer: what else the machine does meanwhile changes by the minute. */
async function measureBeside(hosts: Hosts, peer: Tool, report: Report, seconds: number): Promise<void> {
  const cold = await measureTool(hosts, OURS, { warm: false, seconds });
  const theirs = await measureTool(hosts, peer, { warm: true, seconds });
  const warm = await measureTool(hosts, OURS, { warm: true, seconds });
  const count = hosts.list.length;
  for (const changing of ["all", "none"] as const) {
    const head = `${count} ${count === 1 ? "host" : "hosts"}, ${changing} changing`;
    compare(report, peer, `${head}, cold`, cold[changing], theirs[changing]);
    compare(report, peer, `${head}, warm`, warm[changing], theirs[changing]);
  }
}

function compare(report: Report, { name, goal }: Tool, head: string, ours: Usage, theirs: Usage): void {
  for (const { name: metric, of, unit } of METRICS) {
    report(judged({
      bench: "nanostate",
      case: `${head}: ${metric}`,
      value: ours[of],
      unit,
      peer: { name, value: theirs[of] },
      ...metric === "wall" && goal !== undefined && { goal: { ratio: goal } },
    }));
  }
}

/** Medians of as many runs as fit into the time, one at least. First all, then none: a tool knows its own work again. */
async function measureTool(
  hosts: Hosts,
  tool: Tool,
  options: { warm: boolean; seconds: number },
): Promise<Taken> {
  const { warm, seconds } = options;
  const folder = await Deno.makeTempDir({ prefix: "salar-bench-" });
  try {
    const measure = async (changing: boolean) => {
      const turns: Usage[] = [];
      const untilMs = performance.now() + seconds * 1_000;
      while (turns.length === 0 || turns.length < TURNS_MAX && performance.now() < untilMs) {
        turns.push(await measureRun(hosts, tool, folder, { changing, warm }));
      }
      const middle = (of: keyof Usage) => median(turns.map((turn) => turn[of]));
      return {
        wallMs: middle("wallMs"),
        cpuMs: middle("cpuMs"),
        peakMb: middle("peakMb"),
        hostsCpuMs: middle("hostsCpuMs"),
      };
    };
    return { all: await measure(true), none: await measure(false) };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
