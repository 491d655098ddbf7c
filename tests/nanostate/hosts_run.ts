/** A state on throw-away hosts, run as `salar state apply` runs it: real SSH, real modules, the real agent. */
import type { Become } from "../../lib/nanostate/agent/protocol.ts";
import { moduleLibrary } from "../../lib/nanostate/modules/module_library.ts";
import type { ModuleLibrary } from "../../lib/nanostate/modules/library.ts";
import { controllerFiles } from "../../lib/nanostate/run/controller_files.ts";
import type { HostResult, RunResult } from "../../lib/nanostate/run/result.ts";
import type { RunOptions, Target } from "../../lib/nanostate/run/run.ts";
import { runState } from "../../lib/nanostate/run/run_state.ts";
import { indexStates } from "../../lib/nanostate/state_index.ts";
import { sshTransport } from "../../lib/nanostate/transport/ssh.ts";
import { resolveHost } from "../../lib/nanostate/transport/ssh_host.ts";
import { ensureAnsible } from "../parts/ansible.ts";
import type { Host, Hosts } from "../parts/hosts.ts";
import { waitFor } from "../parts/wait.ts";

const LEFT_MS_MAX = 10_000;

export interface TargetOptions {
  user?: "root" | "ann" | "bob";
  become?: Become;
  /** @default the hosts' own */
  knownHosts?: string;
}

/** A host as a target, named `name` in results where the host's own name is not enough. */
export async function targetOf(hosts: Hosts, host: Host, options: TargetOptions = {}): Promise<Target> {
  const { user = "root", become = null, knownHosts = hosts.knownHostsPath } = options;
  const sshHost = await resolveHost(host.address, {
    config: [],
    environment: { HOME: "/nowhere", USER: user },
    overrides: {
      port: host.port,
      user,
      identityFiles: [hosts.privateKeyPath],
      identitiesOnly: true,
      knownHosts: [knownHosts],
    },
  });
  return {
    name: host.name,
    transport: sshTransport({ host: sshHost }),
    become,
    params: {},
    environment: {},
  };
}

/** Modules of the newest Ansible that runs here. */
export async function ansibleModules(): Promise<ModuleLibrary> {
  const { package: ansible } = await ensureAnsible("2.19.14");
  return moduleLibrary({ roots: [], collections: [], ansible });
}

export async function apply(
  state: string,
  targets: readonly Target[],
  options: Partial<RunOptions> = {},
): Promise<RunResult> {
  return await runState({
    index: indexStates([{ path: "test.st", bytes: new TextEncoder().encode(state) }]),
    id: "test",
    targets,
    mode: "apply",
    params: {},
    secrets: new Map(),
    modules: await ansibleModules(),
    files: controllerFiles(),
    onFailure: "end-group",
    signal: new AbortController().signal,
    ...options,
  });
}

/** `group/0: changed, ok` for each step of a host. */
export function steps({ groups }: HostResult): string[] {
  return groups.flatMap(({ steps }) =>
    steps.map(({ id, responses }) => `${id}: ${responses.map(({ outcome }) => outcome).join(", ")}`)
  );
}

/** Resolves when no host runs anything but its sshd. */
export async function noneLeft({ list }: Pick<Hosts, "list">): Promise<void> {
  await waitFor("hosts without processes of ours", LEFT_MS_MAX, async () => {
    const left = (await Promise.all(list.map((host) => host.processes()))).flat();
    if (left.length > 0) throw new Error(left.join("\n"));
    return true;
  });
}
