/**
 * Nanostates on the real machine: states of the configured folders, run here by `sh`, or over SSH with the staging key.
 *
 * N1. A state is known by its id, and found in the agent's own folders only: the cluster gives names, never a text.
 * N2. Folders are read for each run, so a state that was changed is run as it is now.
 * N3. Secrets are files of one folder, by their names; their values go to the machine and nowhere else.
 * N4. A host's key must be in the agent's own known_hosts; there is no password on this way, and no key but the configured.
 */
import { dirname } from "node:path";
import { progressCounter, runEnd } from "../../lib/cluster/nanostate_runs.ts";
import { RUN_MS_MAX } from "../../lib/limits.ts";
import type { Disk } from "../../lib/seams.ts";
import { findingText } from "../../lib/nanostate/lint.ts";
import { moduleLibrary } from "../../lib/nanostate/modules/module_library.ts";
import { controllerFiles } from "../../lib/nanostate/run/controller_files.ts";
import { runState } from "../../lib/nanostate/run/run_state.ts";
import { indexStates, type SourceFile, type StateIndex } from "../../lib/nanostate/state_index.ts";
import { localTransport } from "../../lib/nanostate/transport/local.ts";
import { sshTransport } from "../../lib/nanostate/transport/ssh.ts";
import { resolveHost } from "../../lib/nanostate/transport/ssh_host.ts";
import type { Transport } from "../../lib/nanostate/transport/transport.ts";
import type { StateRunner } from "./state_runner.ts";

export interface NanostateOptions {
  disk: Disk;
  /** The first that has a state wins. Modules of their own are below `modules` in each. */
  statesFolders: readonly string[];
  secretsFolder: string;
  /** Of an installed `ansible` package; null for none. */
  ansibleFolder: string | null;
  /** How machines are reached that this node stages; null for not at all. */
  ssh: SshAccess | null;
}

export interface SshAccess {
  /** The one private key that is offered, without a passphrase. */
  keyFile: string;
  knownHostsFile: string;
  /** Unless the host is named with another. */
  user: string;
}

/** The state's secret that is a staging's join token. */
const JOIN_TOKEN = "join_token";

export function nanostateRunner(options: NanostateOptions): StateRunner {
  const { disk, statesFolders, secretsFolder, ansibleFolder, ssh } = options;
  const collections = ansibleFolder === null ? [] : [dirname(ansibleFolder)]; // an `ansible` brings them beside it

  async function secretsOf(joinToken: string | null): Promise<Map<string, () => Promise<string>>> {
    const secrets = new Map<string, () => Promise<string>>();
    for (const name of await disk.list(secretsFolder)) {
      secrets.set(name, () => readText(disk, `${secretsFolder}/${name}`));
    }
    if (joinToken !== null) secrets.set(JOIN_TOKEN, () => Promise.resolve(joinToken));
    return secrets;
  }

  return {
    async refusal({ nanostate, host }) {
      if (host !== null && ssh === null) {
        return "this agent has no key to reach hosts with (stagingKeyFile), and no password passes this way: " +
          "stage from the admin tool";
      }
      const index = await readIndex(disk, statesFolders);
      const state = index.state(nanostate);
      if (state === null) return `it has no state "${nanostate}" in ${statesFolders.join(", ")}`; // N1
      const problem = index.clash(nanostate) ?? state.findings.find(({ severity }) => severity === "error");
      return problem === undefined ? null : `its state is wrong: ${findingText(problem)}`;
    },
    async run(scope, { nanostate, check, host, params }, { joinToken, onProgress }) {
      const transport = host === null || ssh === null ? localTransport() : await wayTo(host, ssh);
      const progressAfter = progressCounter();
      const target = { name: host ?? "local", transport, become: null, params: {}, environment: {} };
      const result = await runState({
        index: await readIndex(disk, statesFolders), // N2
        id: nanostate,
        targets: [target],
        mode: check ? "check" : "apply",
        params,
        secrets: await secretsOf(joinToken),
        modules: moduleLibrary({ roots: statesFolders, collections, ansible: ansibleFolder }),
        files: controllerFiles(),
        onFailure: "end-run",
        limits: { runMs: RUN_MS_MAX }, // the scope ends by the order's deadline, which is sooner
        signal: scope.signal,
        onEvent: (event) => onProgress(progressAfter(event)),
      });
      return runEnd(result, { isCancelled: scope.signal.aborted });
    },
  };
}

/** N4. Nobody's ssh_config is asked: what the agent may do is in its own configuration. */
async function wayTo(host: string, { keyFile, knownHostsFile, user }: SshAccess): Promise<Transport> {
  return sshTransport({
    host: await resolveHost(host, {
      config: [],
      environment: { HOME: "/", USER: user },
      overrides: {
        identityFiles: [keyFile],
        identitiesOnly: true,
        knownHosts: [knownHostsFile],
        trust: "known-only",
      },
    }),
  });
}

async function readIndex(disk: Disk, folders: readonly string[]): Promise<StateIndex> {
  const files: SourceFile[] = [];
  for (const folder of folders) {
    for (const name of (await disk.list(folder)).filter((each) => /\.(st|nst|fn)$/.test(each))) {
      const path = `${folder}/${name}`;
      const bytes = await disk.read(path);
      if (bytes !== null) files.push({ path, bytes }); // null: removed meanwhile
    }
  }
  return indexStates(files);
}

/** Without the line's end that editors leave. @throws {Error} when it is gone */
async function readText(disk: Disk, path: string): Promise<string> {
  const bytes = await disk.read(path);
  if (bytes === null) throw new Error(`Cannot read ${path}: there is no such file`);
  return new TextDecoder().decode(bytes).replace(/\r?\n$/, "");
}
