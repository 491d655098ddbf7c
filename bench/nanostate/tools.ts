/**
 * The tools that are measured: how each is installed, and its command line for a set of hosts.
 *
 * All get root's key, the hosts' keys, the path of Python there and 50 hosts at once; none gathers facts.
 * Installed on demand, in the cache of the tests' parts.
 */
import { fileURLToPath } from "node:url";
import { type AnsibleVersion, ensureAnsible } from "../../tests/parts/ansible.ts";
import { cached } from "../../tests/parts/cache.ts";
import { run, tail } from "../../tests/parts/command.ts";
import type { Hosts } from "../../tests/parts/hosts.ts";
import { ensurePython, makeVenv } from "../../tests/parts/python.ts";
import { playbook, state } from "./work.ts";

const MITOGEN = "0.3.54";
const PYINFRA = "3.10.0";
const AT_ONCE = 50;
const ROOT = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const NEWEST = "2.19.14";
/** Faster than the newest, so a harder peer. */
const ELDER = "2.14.18";

export interface Tool {
  name: string;
  /** At least so many times faster than this one. */
  goal?: number;
  /** Not measured with more hosts. */
  hostsMax?: number;
  /** Writes what it needs into `folder`. */
  prepare(hosts: Hosts, folder: string): Promise<Invocation>;
}

export interface Invocation {
  command: string[];
  env: Record<string, string>;
  /** How many steps it says to have changed, over all hosts; null when it cannot tell. */
  changed(output: string): number | null;
}

export const OURS: Tool = { name: "Salar", prepare: prepareSalar };

export const PEERS: readonly Tool[] = [
  { name: `Ansible ${NEWEST}`, prepare: ansible(NEWEST, {}) },
  { name: `Ansible ${NEWEST}, pipelining`, goal: 10, prepare: ansible(NEWEST, { pipelining: true }) },
  { name: `Ansible ${ELDER}, pipelining`, hostsMax: 10, prepare: ansible(ELDER, { pipelining: true }) },
  { name: `Mitogen ${MITOGEN} on ${NEWEST}`, goal: 3, prepare: ansible(NEWEST, { mitogen: true }) },
  { name: `Mitogen ${MITOGEN} on ${ELDER}`, hostsMax: 10, prepare: ansible(ELDER, { mitogen: true }) },
  { name: `pyinfra ${PYINFRA}`, goal: 3, prepare: preparePyinfra },
];

/** As it is installed: started by Deno, with the command line's own permissions. */
async function prepareSalar(hosts: Hosts, folder: string): Promise<Invocation> {
  const { package: modules } = await ensureAnsible(NEWEST);
  const names = hosts.list.map(({ innerAddress }) => innerAddress);
  await Deno.mkdir(`${folder}/.ssh`, { recursive: true });
  await Deno.writeTextFile(
    `${folder}/.ssh/config`,
    `User root\nIdentityFile ${hosts.privateKeyPath}\nUserKnownHostsFile ${hosts.knownHostsPath}\n`,
  );
  await Deno.writeTextFile(`${folder}/bench.st`, state());
  await Deno.writeTextFile(
    `${folder}/hosts.yaml`,
    JSON.stringify({ hosts: Object.fromEntries(names.map((name) => [name, {}])) }),
  );
  const deno = [
    Deno.execPath(),
    "run",
    "--quiet",
    "-P=cli",
    `--config=${ROOT}/deno.json`,
    `${ROOT}/cli/main.ts`,
  ];
  const apply = ["state", "apply", `${folder}/bench.st`, "--inventory", `${folder}/hosts.yaml`, "--json"];
  return {
    command: [...deno, ...apply, "--ansible", modules],
    env: { HOME: folder, USER: "root", DENO_DIR: await denoDir() },
    changed: (output) => JSON.parse(tail(output, 1)).changed,
  };
}

/** Where Deno keeps what it has compiled: not in the home that is given here. */
async function denoDir(): Promise<string> {
  const { stdout } = await run(Deno.execPath(), ["info", "--json"]);
  return JSON.parse(stdout).denoDir;
}

function ansible(
  version: AnsibleVersion,
  options: { pipelining?: boolean; mitogen?: boolean },
): Tool["prepare"] {
  return async (hosts, folder) => {
    const { python, playbook: program } = await ensureAnsible(version);
    const inventory = hosts.list.map(({ innerAddress }) =>
      `${innerAddress} ansible_user=root ansible_ssh_private_key_file=${hosts.privateKeyPath} ` +
      "ansible_python_interpreter=/usr/bin/python3\n"
    );
    await Deno.writeTextFile(`${folder}/inventory.ini`, inventory.join(""));
    await Deno.writeTextFile(`${folder}/playbook.yml`, playbook());
    return {
      command: [python, program, "-i", `${folder}/inventory.ini`, `${folder}/playbook.yml`],
      env: {
        ANSIBLE_HOME: `${folder}/ansible`,
        ANSIBLE_NOCOLOR: "1",
        ANSIBLE_FORKS: `${AT_ONCE}`,
        ANSIBLE_SSH_ARGS:
          `-C -o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=${hosts.knownHostsPath}`,
        ...options.pipelining && { ANSIBLE_PIPELINING: "1" },
        ...options.mitogen && {
          ANSIBLE_STRATEGY: "mitogen_linear",
          ANSIBLE_STRATEGY_PLUGINS: `${await ensureMitogen()}/ansible_mitogen/plugins/strategy`,
        },
      },
      changed: (output) => sumOf(output.matchAll(/ changed=(\d+) /g)),
    };
  };
}

async function preparePyinfra(hosts: Hosts, folder: string): Promise<Invocation> {
  const { python, script } = await ensurePyinfra();
  const data = {
    ssh_user: "root",
    ssh_key: hosts.privateKeyPath,
    ssh_known_hosts_file: hosts.knownHostsPath,
    ssh_strict_host_key_checking: "yes",
  };
  const inventory = hosts.list.map(({ innerAddress }) => `("${innerAddress}", ${JSON.stringify(data)}),\n`);
  await Deno.writeTextFile(`${folder}/inventory.py`, `hosts = [\n${inventory.join("")}]\n`);
  const deploy = fileURLToPath(new URL("deploy.py", import.meta.url));
  return {
    command: [python, script, "-y", "--parallel", `${AT_ONCE}`, `${folder}/inventory.py`, deploy],
    env: {},
    changed: () => null, // its shell operations always say so
  };
}

/** The folder that has the packages `mitogen` and `ansible_mitogen`, for whichever Ansible. */
async function ensureMitogen(): Promise<string> {
  const folder = await cached({
    name: "mitogen",
    version: MITOGEN,
    async build(folder) {
      await makeVenv((await ensurePython()).python, folder, [`mitogen==${MITOGEN}`]);
    },
  });
  const { stdout } = await run(`${folder}/bin/python`, [
    "-c",
    'import sysconfig; print(sysconfig.get_path("purelib"))',
  ]);
  return stdout.trim();
}

async function ensurePyinfra(): Promise<{ python: string; script: string }> {
  const folder = await cached({
    name: "pyinfra",
    version: PYINFRA,
    async build(folder) {
      await makeVenv((await ensurePython()).python, folder, [`pyinfra==${PYINFRA}`]);
    },
  });
  return { python: `${folder}/bin/python`, script: `${folder}/bin/pyinfra` };
}

function sumOf(matches: Iterable<RegExpMatchArray>): number {
  return [...matches].reduce((sum, [, count]) => sum + Number(count), 0);
}
