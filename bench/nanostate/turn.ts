/**
 * One measured run of one tool on hosts, from a known state of theirs.
 *
 * N1. A run counts only when the hosts have all of the work afterwards, and the tool says to have changed as much as
 *     it should have.
 */
import { fileURLToPath } from "node:url";
import type { Hosts } from "../../tests/parts/hosts.ts";
import { tail } from "../../tests/parts/command.ts";
import { ensurePython } from "../../tests/parts/python.ts";
import { waitFor } from "../../tests/parts/wait.ts";
import type { Invocation, Tool } from "./tools.ts";
import { DONE, FORGET, UNDO, WORK_STEPS } from "./work.ts";

const RUN_MS_MAX = 20 * 60_000;
const QUIET_MS_MAX = 30_000;

export interface Usage {
  wallMs: number;
  /** Of the tool's processes on this side. */
  cpuMs: number;
  peakMb: number;
  /** Of all hosts. */
  hostsCpuMs: number;
}

export interface Start {
  /** Whether all steps have something to change, or none. */
  changing: boolean;
  /** Whether hosts have what an earlier run has put there for the next. */
  warm: boolean;
}

export async function measureRun(hosts: Hosts, tool: Tool, folder: string, start: Start): Promise<Usage> {
  const invocation = await tool.prepare(hosts, folder);
  await everywhere(hosts, start.changing ? UNDO : "true");
  if (!start.warm) await everywhere(hosts, FORGET);
  const before = await hostsCpuMs(hosts);
  const { output, ...usage } = await measured(hosts, invocation, folder);
  // What a session has used is in sum when it has ended.
  await waitFor("hosts without sessions", QUIET_MS_MAX, async () => await sessions(hosts) === 0);
  const after = await hostsCpuMs(hosts);

  const changed = invocation.changed(output);
  const expected = start.changing ? WORK_STEPS * hosts.list.length : 0;
  if (changed !== null && changed !== expected) {
    throw new Error(
      `Cannot measure ${tool.name}: it changed ${changed} steps, not ${expected}\n${tail(output)}`,
    );
  }
  await everywhere(hosts, DONE);
  return { ...usage, hostsCpuMs: after - before };
}

async function measured(
  hosts: Hosts,
  { command, env }: Invocation,
  folder: string,
): Promise<Omit<Usage, "hostsCpuMs"> & { output: string }> {
  const { python } = await ensurePython();
  const report = `${folder}/report.json`;
  const measure = fileURLToPath(new URL("measure.py", import.meta.url));
  const [program = "", ...args] = hosts.enter([python, measure, report, ...command]);
  const { stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd: folder,
    env,
    stdin: "null",
    signal: AbortSignal.timeout(RUN_MS_MAX),
  }).output();
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  const { code, ...usage } = JSON.parse(await Deno.readTextFile(report));
  await Deno.remove(report);
  if (code === 0) return { ...usage, output };
  throw new Error(`Cannot measure ${command.join(" ")}: it ended with ${code}\n${tail(output)}`);
}

async function everywhere({ list }: Hosts, line: string): Promise<void> {
  for (const host of list) await host.exec(line);
}

async function hostsCpuMs({ list }: Hosts): Promise<number> {
  const each = await Promise.all(list.map((host) => host.cpuMs()));
  return each.reduce((sum, ms) => sum + ms, 0);
}

/** Only the service that the work starts stays. */
async function sessions({ list }: Hosts): Promise<number> {
  const each = await Promise.all(list.map((host) => host.processes()));
  return each.flat().filter((command) => !command.startsWith("/usr/sbin/cron")).length;
}
