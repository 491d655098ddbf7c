/**
 * ansible-core as tests use it: the oracle for our own runs, and the files that our runs take modules from.
 *
 * 2.14 is the oldest line that works; 2.19 is the newest that runs on Debian 12's Python, and packs modules another way.
 */
import { cached } from "./cache.ts";
import { run } from "./command.ts";
import { ensurePython, makeVenv } from "./python.ts";

export type AnsibleVersion = "2.14.18" | "2.19.14";

export const ANSIBLE_VERSIONS: readonly AnsibleVersion[] = ["2.14.18", "2.19.14"];

/** What both import; the newest releases there were. Only resolvelib has to differ. */
const SHARED = [
  "cffi==2.1.1",
  "cryptography==50.0.2",
  "Jinja2==3.1.6",
  "MarkupSafe==3.0.4",
  "packaging==26.3",
  "pycparser==3.12",
  "PyYAML==6.0.4",
];
const RESOLVELIB: Record<AnsibleVersion, string> = { "2.14.18": "0.8.1", "2.19.14": "1.2.1" };

export interface Ansible {
  version: AnsibleVersion;
  /** The interpreter that can import Ansible. Its scripts are run by it: `python ansible -m ping …`. */
  python: string;
  /** The scripts `ansible` and `ansible-playbook`, to be run by `python`. */
  ansible: string;
  playbook: string;
  /** The folder of the package `ansible`. */
  package: string;
}

/** Installs one version into its own virtual environment: some seconds, once. */
export async function ensureAnsible(version: AnsibleVersion): Promise<Ansible> {
  const folder = await cached({
    name: "ansible-core",
    version,
    async build(folder) {
      const { python } = await ensurePython();
      const pins = [`ansible-core==${version}`, `resolvelib==${RESOLVELIB[version]}`, ...SHARED];
      await makeVenv(python, folder, pins);
    },
  });
  const python = `${folder}/bin/python`;
  const { stdout } = await run(python, ["-c", 'import sysconfig; print(sysconfig.get_path("purelib"))']);
  return {
    version,
    python,
    ansible: `${folder}/bin/ansible`,
    playbook: `${folder}/bin/ansible-playbook`,
    package: `${stdout.trim()}/ansible`,
  };
}
