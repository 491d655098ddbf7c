/**
 * The same cases by `ansible -m` and by Salar, on two hosts that are prepared alike, and what differs between their answers.
 *
 * In: a version of ansible-core. Out: for each case its answers in three modes, tidied and made comparable.
 * P1. Both sides take all cases in the same order, so that a case may build on those above.
 * P2. What cannot be equal is taken out by name, each with its reason, on both sides.
 */
import { startAgent } from "../../lib/nanostate/agent/session.ts";
import type { Json, JsonObject } from "../../lib/nanostate/json.ts";
import { moduleLibrary } from "../../lib/nanostate/modules/module_library.ts";
import { tidied } from "../../lib/nanostate/modules/tidy.ts";
import { controllerFiles } from "../../lib/nanostate/run/controller_files.ts";
import { runHosts } from "../../lib/nanostate/run/hosts.ts";
import { indexStates } from "../../lib/nanostate/state_index.ts";
import { localTransport } from "../../lib/nanostate/transport/local.ts";
import type { Transport } from "../../lib/nanostate/transport/transport.ts";
import { type Ansible, type AnsibleVersion, ensureAnsible } from "../parts/ansible.ts";
import { run } from "../parts/command.ts";
import { type Host, type Hosts, startHosts } from "../parts/hosts.ts";
import { CASES, FILES, type ParityCase } from "./parity_cases.ts";

export const MODES = ["check", "fresh", "again"] as const;
export type Mode = typeof MODES[number];

export interface CaseAnswers {
  case: ParityCase;
  /** By key of the result, where the two differ: in which mode, and both values. */
  differences: { key: string; mode: Mode; ansible: Json; salar: Json }[];
  answers: Record<Mode, { ansible: JsonObject; salar: JsonObject }>;
}

const PREPARE_MS_MAX = 60_000;
const ORACLE_MS_MAX = 10 * 60_000;
const ORACLE = new URL("parity_oracle.py", import.meta.url).pathname;

/** Needs root. A few minutes, most of them Ansible's. */
export async function compareAll(version: AnsibleVersion): Promise<CaseAnswers[]> {
  const ansible = await ensureAnsible(version);
  const cases = CASES.filter(({ versions }) => versions?.includes(version) ?? true);
  await using hosts = await startHosts({ count: 2, diskMb: 512 });
  const prepare = await Deno.readTextFile(new URL("parity_prepare.sh", import.meta.url));
  await Promise.all(hosts.list.map((host) => host.exec(prepare, { limitMs: PREPARE_MS_MAX })));
  const [theirs, ours] = hosts.list;
  if (theirs === undefined || ours === undefined) throw new RangeError("two hosts were asked for");

  const folder = await Deno.makeTempDir();
  try {
    // The hosts have the same name in both: it is part of what `fetch` says.
    const ansibleFiles = await makeFiles(`${folder}/a`);
    const salarFiles = await makeFiles(`${folder}/s`);
    const [byAnsible, bySalar] = [
      await ansibleAnswers(ansible, theirs, hosts, withFiles(cases, ansibleFiles), folder),
      await salarAnswers(ansible, ours, withFiles(cases, salarFiles)),
    ];
    return cases.map((each, n) => {
      const answers = Object.fromEntries(MODES.map((mode) => [mode, {
        ansible: comparable(byAnsible[mode][n] ?? {}, ansibleFiles),
        salar: comparable(bySalar[mode][n] ?? {}, salarFiles),
      }])) as CaseAnswers["answers"];
      return { case: each, answers, differences: MODES.flatMap((mode) => differences(mode, answers[mode])) };
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

type Answers = Record<Mode, JsonObject[]>;

async function ansibleAnswers(
  ansible: Ansible,
  host: Host,
  hosts: Hosts,
  cases: readonly ParityCase[],
  folder: string,
): Promise<Answers> {
  const inventory = `${folder}/hosts`;
  const ssh = `-o UserKnownHostsFile=${hosts.knownHostsPath} -o ControlMaster=auto -o ControlPersist=60`;
  const settings = {
    ansible_host: host.address,
    ansible_port: host.port,
    ansible_user: "root",
    ansible_ssh_private_key_file: hosts.privateKeyPath,
    ansible_ssh_common_args: `'${ssh}'`,
    ansible_python_interpreter: "/usr/bin/python3",
    ansible_pipelining: "true",
  };
  const line = Object.entries(settings).map(([key, value]) => `${key}=${value}`).join(" ");
  await Deno.writeTextFile(inventory, `host ${line}\n`);
  const wanted = `${folder}/wanted`;
  const order = MODES.flatMap((mode) =>
    cases.map(({ module, args }) => ({ module, args, check: mode === "check" }))
  );
  await Deno.writeTextFile(wanted, JSON.stringify({ arguments: ["-i", inventory], cases: order }));
  const { stdout } = await run(ansible.python, [ORACLE, wanted], {
    env: { LANG: "C.UTF-8", ANSIBLE_LOCAL_TEMP: `${folder}/tmp`, ANSIBLE_CONFIG: "/dev/null" },
    limitMs: ORACLE_MS_MAX,
  });
  const lines = stdout.trimEnd().split("\n").map((each): JsonObject => JSON.parse(each));
  if (lines.length !== order.length) {
    throw new RangeError(`Ansible answered ${lines.length} of ${order.length} cases`);
  }
  return byMode((n) => lines.slice(n * cases.length, (n + 1) * cases.length));
}

async function salarAnswers(
  { package: ansible }: Ansible,
  host: Host,
  cases: readonly ParityCase[],
): Promise<Answers> {
  const steps = cases.map(({ module, args }) => `    - ${JSON.stringify({ [module]: args })}\n`).join("");
  const state = `id: parity\nstate:\n  all:\n${steps}`;
  const modules = moduleLibrary({ roots: [], collections: [], ansible });
  const answers: JsonObject[][] = [];
  for (const mode of MODES) {
    const result = await runHosts(startAgent, {
      index: indexStates([{ path: "/parity.st", bytes: new TextEncoder().encode(state) }]),
      id: "parity",
      targets: [{ name: "host", transport: inside(host), become: null, params: {}, environment: {} }],
      mode: mode === "check" ? "check" : "apply",
      params: {},
      secrets: new Map(),
      modules,
      files: controllerFiles(),
      onFailure: "go-on",
      signal: AbortSignal.timeout(ORACLE_MS_MAX),
    });
    const [only] = result.hosts;
    if (only === undefined || only.message !== "") {
      throw new RangeError(`Salar's run ended: ${only?.message}`);
    }
    answers.push(only.groups.flatMap(({ steps }) =>
      steps.map(({ responses: [response] }) => ({
        ...response?.json ?? { failed: true, changed: false, msg: response?.message ?? "no answer" },
      }))
    ));
  }
  return byMode((n) => answers[n] ?? []);
}

/** A shell in the host's namespaces; the way there is not what is compared. */
function inside(host: Host): Transport {
  const env =
    "env -i HOME=/root USER=root LOGNAME=root LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin:/usr/games SHELL=/bin/bash";
  const enter =
    `exec nsenter --target=${host.pid} --mount --uts --ipc --net --pid --wd=/root ${env} /bin/sh -c`;
  const local = localTransport();
  return {
    address: host.name,
    start: (command, options) => local.start(`${enter} '${command.replaceAll("'", `'\\''`)}'`, options),
  };
}

/** Files of the controller, at a path of its own for each side. */
async function makeFiles(path: string): Promise<string> {
  const line =
    `set -eu; umask 022; mkdir -p "$0/folder/sub/empty" "$0/frag" "$0/single" "$0/tree" "$0/flat"; cd "$0"
    printf '#!/bin/sh\\necho "$0 $*" | sed "s|/.*/||"; pwd >&2; test "\${1-}" != fail\\n' >script.sh
    chmod 0751 script.sh
    printf 'one' >folder/one; printf 'two' >folder/sub/two; ln -s one folder/link; printf 'only' >single/only
    printf 'b' >frag/2b; printf 'a' >frag/1a; printf 'c' >frag/3c; head -c 1000 /dev/zero >binary
    printf 'tree' >tree/leaf; touch -d '2020-01-02 03:04:05 UTC' tree/leaf tree; tar -C tree -czf tree.tgz .`;
  await Deno.mkdir(path);
  await run("/bin/sh", ["-c", line, path]);
  return path;
}

function withFiles(cases: readonly ParityCase[], folder: string): ParityCase[] {
  return JSON.parse(JSON.stringify(cases).replaceAll(FILES, folder));
}

function byMode<T>(of: (n: number) => T): Record<Mode, T> {
  return Object.fromEntries(MODES.map((mode, n) => [mode, of(n)])) as Record<Mode, T>;
}

/** P2. Keys that are taken out wherever they stand. */
export const VOLATILE: Readonly<Record<string, string>> = {
  start: "a time",
  end: "a time",
  delta: "a duration",
  elapsed: "a duration",
  date: "a time, in the header of an answer",
  atime: "a time",
  mtime: "a time, of a file just made",
  ctime: "a time",
  dev: "a number of the file system",
  inode: "a number of the file system",
  exception: "a traceback with temporary names; Ansible replaces it by the reason that it cannot show it",
  cache_update_time: "a time",
};

/** P2. Parts of texts that are replaced, on both sides, by a word. */
const PLACES: readonly [RegExp, string][] = [
  [/\/root\/\.ansible\/tmp\/ansible-(?:tmp|local)-[^/\s"']+(?:\/tmp\w+)?/g, "TMP"],
  [/\/root\/\.cache\/salar-nanostate\/step-[0-9a-f]+(?:\/tmp\w+)?/g, "TMP"],
  [/\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~/g, ".BACKUP~"],
];

function comparable(result: JsonObject, files: string): JsonObject {
  const walk = (value: Json): Json => {
    if (typeof value === "string") {
      return PLACES.reduce(
        (text, [place, word]) => text.replace(place, word),
        value.replaceAll(files, FILES),
      );
    }
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) return value.map(walk);
    const kept = Object.entries(value).filter(([key]) => !Object.hasOwn(VOLATILE, key));
    return Object.fromEntries(kept.map(([key, each]) => [key, walk(each)]).sort());
  };
  return walk(tidied(result)) as JsonObject;
}

function differences(mode: Mode, { ansible, salar }: { ansible: JsonObject; salar: JsonObject }) {
  const keys = [...new Set([...Object.keys(ansible), ...Object.keys(salar)])].sort();
  return keys.filter((key) => JSON.stringify(ansible[key]) !== JSON.stringify(salar[key]))
    .map((key) => ({ key, mode, ansible: ansible[key] ?? null, salar: salar[key] ?? null }));
}
