/**
 * The same cases by `ansible -m` and by Salar, on two hosts that are prepared alike, and what differs between their answers.
 *
 * In: a version of ansible-core. Out: for each case its answers in three modes, tidied and made comparable.
 * P1. Both sides take all cases in the same order, so that a case may build on those above.
 * P2. What cannot be equal is taken out by name, each with its reason, on both sides.
 */
import { startAgent } from "../../lib/nanostate/agent/session.ts";
import { isObject, type Json, type JsonObject } from "../../lib/nanostate/json.ts";
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
import { CASES, type Differing, FILES, type Mode, MODES, type ParityCase } from "./parity_cases.ts";

export type Side = "ansible" | "salar";
/** Of all cases of a version, in their order; null in a mode that a case does not run in. */
export type Answers = Record<Mode, (JsonObject | null)[]>;

const PREPARE_MS_MAX = 60_000;
const RUN_MS_MAX = 10 * 60_000;
const ORACLE = new URL("parity_oracle.py", import.meta.url).pathname;

export function casesOf(version: AnsibleVersion): ParityCase[] {
  return CASES.filter(({ versions }) => versions?.includes(version) ?? true);
}

/** Needs root. By Ansible it takes minutes, by Salar seconds. */
export async function answersOf(side: Side, version: AnsibleVersion): Promise<Answers> {
  const ansible = await ensureAnsible(version);
  await using hosts = await startHosts({ count: 1, diskMb: 512 });
  const [host] = hosts.list;
  if (host === undefined) throw new RangeError("one host was asked for");
  const prepare = await Deno.readTextFile(new URL("parity_prepare.sh", import.meta.url));
  await host.exec(prepare, { limitMs: PREPARE_MS_MAX });

  const folder = await Deno.makeTempDir();
  try {
    const files = await makeFiles(`${folder}/files`);
    const cases: ParityCase[] = JSON.parse(JSON.stringify(casesOf(version)).replaceAll(FILES, files));
    const answers = side === "ansible"
      ? await byAnsible(ansible, await inventoryOf(host, hosts, folder), cases, folder)
      : await bySalar(ansible, host, cases);
    return byMode((mode) => answers[mode].map((each) => each && comparable(each, files)));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** @returns the arguments that make it the only host of Ansible */
async function inventoryOf(host: Host, hosts: Hosts, folder: string): Promise<string[]> {
  const ssh = `-o UserKnownHostsFile=${hosts.knownHostsPath} -o ControlMaster=auto -o ControlPersist=60`;
  const settings = {
    ansible_host: host.address,
    ansible_port: host.port,
    ansible_user: "root",
    ansible_ssh_private_key_file: hosts.privateKeyPath,
    ansible_ssh_common_args: `'${ssh}'`,
    ansible_python_interpreter: "/usr/bin/python3.11", // as ours, which takes the newest name
    ansible_pipelining: "true",
    ansible_ssh_use_tty: "false", // raw and script would mix both streams, with CRLF
  };
  const line = Object.entries(settings).map(([key, value]) => `${key}=${value}`).join(" ");
  await Deno.writeTextFile(`${folder}/hosts`, `host ${line}\n`);
  return ["-i", `${folder}/hosts`];
}

async function byAnsible(
  { python }: Ansible,
  argv: string[],
  cases: readonly ParityCase[],
  folder: string,
): Promise<Answers> {
  const order = MODES.flatMap((mode) =>
    runIn(mode, cases).map(({ module, args }) => ({ module, args, check: mode === "check" }))
  );
  const wanted = `${folder}/wanted`;
  await Deno.writeTextFile(wanted, JSON.stringify({ arguments: argv, cases: order }));
  await Deno.writeTextFile(`${folder}/none.cfg`, ""); // this machine's own settings are of no matter
  const { stdout } = await run(python, [ORACLE, wanted], {
    env: { LANG: "C.UTF-8", ANSIBLE_HOME: `${folder}/home`, ANSIBLE_CONFIG: `${folder}/none.cfg` },
    limitMs: RUN_MS_MAX,
  });
  const lines = stdout.trimEnd().split("\n").map((each): JsonObject => tidied(JSON.parse(each)));
  if (lines.length !== order.length) {
    throw new RangeError(`Ansible answered ${lines.length} of ${order.length}`);
  }
  return byMode((mode) => placed(cases, mode, lines.splice(0, runIn(mode, cases).length)));
}

/** As one state with a step for each case, run as any other. */
async function bySalar(
  { package: ansible }: Ansible,
  host: Host,
  cases: readonly ParityCase[],
): Promise<Answers> {
  const modules = moduleLibrary({ roots: [], collections: [], ansible });
  const answers = new Map<Mode, JsonObject[]>();
  for (const mode of MODES) {
    const steps = runIn(mode, cases).map(({ module, args }) =>
      `    - ${JSON.stringify({ [module]: args })}\n`
    );
    const state = new TextEncoder().encode(`id: parity\nstate:\n  all:\n${steps.join("")}`);
    const { hosts: [result] } = await runHosts(startAgent, {
      index: indexStates([{ path: "/parity.st", bytes: state }]),
      id: "parity",
      targets: [{ name: "host", transport: inside(host), become: null, params: {}, environment: {} }],
      mode: mode === "check" ? "check" : "apply",
      params: {},
      secrets: new Map(),
      modules,
      files: controllerFiles(),
      onFailure: "go-on",
      signal: AbortSignal.timeout(RUN_MS_MAX),
    });
    if (result === undefined || result.message !== "") {
      throw new RangeError(`Salar's run ended: ${result?.message}`);
    }
    const responses = result.groups.flatMap(({ steps }) => steps.flatMap(({ responses }) => responses));
    answers.set(
      mode,
      responses.map(({ json, message }) => json ?? { failed: true, changed: false, msg: message }),
    );
  }
  return byMode((mode) => placed(cases, mode, answers.get(mode) ?? []));
}

function runIn(mode: Mode, cases: readonly ParityCase[]): ParityCase[] {
  return cases.filter(({ modes = MODES }) => modes.includes(mode));
}

/** Answers of the cases that ran, by the numbers of all. */
function placed(
  cases: readonly ParityCase[],
  mode: Mode,
  answers: readonly JsonObject[],
): (JsonObject | null)[] {
  const ran = runIn(mode, cases);
  return cases.map((each) => answers[ran.indexOf(each)] ?? null);
}

/** A shell in the host's namespaces; the way there is not what is compared. */
function inside(host: Host): Transport {
  const env = "env -i HOME=/root USER=root LOGNAME=root LANG=C.UTF-8 SHELL=/bin/bash " +
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const enter = `exec nsenter --target=${host.pid} --mount --uts --ipc --net --pid ${env} /bin/sh -c`;
  const local = localTransport();
  return {
    address: host.name,
    start: (command, options) => local.start(`${enter} 'cd; ${command.replaceAll("'", `'\\''`)}'`, options),
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

function byMode<T>(of: (mode: Mode) => T): Record<Mode, T> {
  return { check: of("check"), fresh: of("fresh"), again: of("again") };
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
  [/(?:\/[\w.-]+)+\/ansible-(?:tmp|local|moduletmp)-[^/\s"']+(?:\/tmp\w+)?/g, "TMP"],
  [/\/root\/\.cache\/salar-nanostate\/step-[0-9a-f]+(?:\/tmp\w+)?/g, "TMP"],
  [/\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~/g, ".BACKUP~"],
];

/** P2. Lists that a module makes of a set, so their order is by chance. */
const UNORDERED = "diff";

function comparable(result: JsonObject, files: string): JsonObject {
  const walk = (value: Json, key = ""): Json => {
    if (typeof value === "string") {
      return PLACES.reduce(
        (text, [place, word]) => text.replace(place, word),
        value.replaceAll(files, FILES),
      );
    }
    if (value === null || typeof value !== "object") return value;
    if (Array.isArray(value)) {
      const items = value.map((each) => walk(each));
      return key === UNORDERED ? items.sort((a, b) => JSON.stringify(a) < JSON.stringify(b) ? -1 : 1) : items;
    }
    const kept = Object.entries(value).filter(([key]) => !Object.hasOwn(VOLATILE, key));
    return Object.fromEntries(kept.map(([key, each]): [string, Json] => [key, walk(each, key)]).sort());
  };
  const { skipped, ...rest } = result;
  return walk(skipped === true ? result : rest) as JsonObject; // a callback gets it in any case
}

export interface Difference {
  key: string;
  mode: Mode;
  ansible: Json | undefined;
  salar: Json | undefined;
}

/** What differs for one case, in any mode, besides some keys. @param n its number */
export function differencesOf(
  n: number,
  ansible: Answers,
  salar: Answers,
  passed: readonly Differing[],
): Difference[] {
  const without = new Set(passed.map(({ key }) => key));
  return MODES.flatMap((mode) => {
    const theirs = leftOut(ansible[mode][n] ?? {}, without);
    const ours = leftOut(salar[mode][n] ?? {}, without);
    const keys = [...new Set([...Object.keys(theirs), ...Object.keys(ours)])].sort();
    return keys.filter((key) => JSON.stringify(theirs[key]) !== JSON.stringify(ours[key]))
      .map((key) => ({ key, mode, ansible: theirs[key], salar: ours[key] }));
  });
}

/** A result without some keys, at any depth. */
function leftOut(result: JsonObject, keys: ReadonlySet<string>): JsonObject {
  const walk = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(walk);
    return isObject(value) ? leftOut(value as JsonObject, keys) : value;
  };
  const kept = Object.entries(result).filter(([key]) => !keys.has(key));
  return Object.fromEntries(kept.map(([key, each]): [string, Json] => [key, walk(each)]));
}
