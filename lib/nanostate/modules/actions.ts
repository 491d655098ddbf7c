/**
 * Who does the work of a builtin module: the module alone, or a part beside it that Ansible has in its engine and we in
 * `agent/actions.py`; and which local files that part needs.
 *
 * In: whole names and arguments as `free_form.ts` gives them. Out: plain data, no I/O.
 * A1. A module that is not named here is only run: a module of a state root or of a collection.
 * A2. What an engine does alone is refused with what to use instead, and never runs by half.
 * Source: the list of ansible-core 2.14 and 2.19, and what their `plugins/action` do.
 */
import { isObject, type JsonObject } from "../json.ts";

export interface ModulePart {
  /** The function of `actions.py`; null for a module that is only run. */
  action: string | null;
  /** Whole names of the modules that the action may call, those that the library has of them. Not the module itself. */
  companions: readonly string[];
  /** `runner`: the connection itself ends, so the runner does it. */
  where: "host" | "runner";
}

/** A local file or folder that a module's action asks for. */
export interface LocalSource {
  /** Of the controller, as the arguments have it. */
  path: string;
  /** `WireFile.path` of the source itself: "" for the module's `src`, else how the arguments name it. */
  under: string;
  /** A folder may be sent, too. */
  folder: boolean;
  /** Links in a folder are sent as what they point to. */
  follow: boolean;
}

const SERVICES = ["systemd", "sysvinit", "service"].map(builtin);
const PACKAGES = [...["apt", "dnf", "dnf5", "yum"].map(builtin), "community.general.zypper"];

const PARTS: Readonly<Record<string, { calls: readonly string[]; where?: "runner" }>> = {
  assemble: { calls: ["assemble", "copy"].map(builtin) },
  command: { calls: [builtin("command")] },
  copy: { calls: ["copy", "file"].map(builtin) },
  dnf: { calls: ["setup", "dnf", "dnf5", "yum"].map(builtin) },
  fetch: { calls: [] },
  gather_facts: { calls: [builtin("setup")] },
  package: { calls: [builtin("setup"), ...PACKAGES] },
  raw: { calls: [] },
  reboot: { calls: [], where: "runner" },
  script: { calls: [] },
  service: { calls: [builtin("setup"), ...SERVICES] },
  shell: { calls: [builtin("command")] },
  unarchive: { calls: [builtin("unarchive")] },
  uri: { calls: [builtin("uri")] },
  wait_for_connection: { calls: [], where: "runner" },
  yum: { calls: ["setup", "yum", "dnf", "dnf5"].map(builtin) },
};

const CONDITIONS = "use a condition of the state language (`group ?function`)";
const INCLUDES = "use an include of the state language (`~state/group`)";
const INVENTORY = "hosts and their groups stand in the inventory";
const VALUES = "use a function of the state's .fn file, or a parameter of the run";
const REFUSED: Readonly<Record<string, string>> = {
  _include: INCLUDES,
  add_host: INVENTORY,
  assert: `${CONDITIONS}, or a shell command that fails`,
  async_status: "steps are not detached: give the run a longer step time-out",
  async_wrapper: "steps are not detached: give the run a longer step time-out",
  debug: "use `salar state explain`, or a shell command that prints",
  fail: `${CONDITIONS} that calls error() with the reason`,
  group_by: INVENTORY,
  import_playbook: INCLUDES,
  import_role: INCLUDES,
  import_tasks: INCLUDES,
  include: INCLUDES,
  include_role: INCLUDES,
  include_tasks: INCLUDES,
  include_vars: VALUES,
  meta: "it steers Ansible's own engine, which is not there",
  pause: "nobody is asked during a run: use `ansible.wait_for`, or a shell command that sleeps",
  set_fact: VALUES,
  set_stats: "the counts of a run are in its result",
  template:
    "there is no Jinja2: use `ansible.copy` with `content`, whose text may hold `{call(args)}` of the state language",
  validate_argument_spec: `${VALUES}; a missing parameter is an error by itself`,
};

/** What does a module. @param module whole name */
export function partOf(module: string): ModulePart | { refused: string } {
  const name = shortName(module);
  const refused = name === null ? undefined : ofTable(REFUSED, name);
  if (refused !== undefined) return { refused: `Cannot run ${module}: Ansible's engine does it; ${refused}` };
  const part = name === null ? undefined : ofTable(PARTS, name);
  if (part === undefined) return { action: null, companions: [], where: "host" };
  return { action: name, companions: part.calls, where: part.where ?? "host" };
}

/** Modules that these arguments name, besides the companions: `use` of package and service. Whole names. */
export function chosenModules(module: string, args: JsonObject): string[] {
  const name = shortName(module);
  if (name !== "package" && name !== "service") return [];
  const { use } = args;
  if (typeof use !== "string" || use === "" || use === "auto") return [];
  return [use.includes(".") ? use : builtin(use)];
}

/** The local files that a module's action sends, with its arguments. */
export function localSources(module: string, args: JsonObject): LocalSource[] {
  const { src, remote_src, content } = args;
  const isRemote = isTrue(remote_src ?? (shortName(module) === "assemble"));
  const source = (path: unknown, more: Partial<LocalSource> = {}): LocalSource[] =>
    typeof path === "string" && path !== ""
      ? [{ path, under: "", folder: false, follow: true, ...more }]
      : [];

  switch (shortName(module)) {
    case "assemble":
      return isRemote ? [] : source(src, { folder: true });
    case "copy":
      if (isRemote || content !== undefined && content !== null) return [];
      return source(src, { folder: true, follow: isTrue(args["local_follow"] ?? true) });
    case "script":
      return source(firstWord(args["_raw_params"]));
    case "unarchive":
      return isRemote || args["copy"] !== undefined && !isTrue(args["copy"]) ? [] : source(src);
    case "uri":
      if (isRemote) return [];
      return typeof src === "string" && src !== "" ? source(src) : formFiles(args);
    default:
      return [];
  }
}

/** As Ansible reads a boolean when it is not strict: what it does not know is false. */
export function isTrue(value: unknown): boolean {
  return ["y", "yes", "on", "1", "true", "t", "1.0"].includes(String(value).toLowerCase());
}

function formFiles({ body, body_format }: JsonObject): LocalSource[] {
  if (body_format !== "form-multipart" || !isObject(body)) return [];
  const paths = Object.values(body).flatMap((field) => {
    if (!isObject(field) || field["content"]) return [];
    return typeof field["filename"] === "string" && field["filename"] !== "" ? [field["filename"]] : [];
  });
  return [...new Set(paths)].map((path) => ({ path, under: path, folder: false, follow: true }));
}

/** The first word of a script's line as a shell reads it; null when a quote is not closed. */
function firstWord(line: unknown): string | null {
  if (typeof line !== "string") return null;
  const word = /^\s*((?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+)(?:\s|$)/s.exec(line)?.[1];
  if (word === undefined) return null;
  return word.replace(
    /\\(.)|"((?:[^"\\]|\\.)*)"|'([^']*)'/gs,
    (_, plain, double, single) => plain ?? single ?? double.replace(/\\(["\\])/g, "$1"),
  );
}

function builtin(name: string): string {
  return `ansible.builtin.${name}`;
}

/** Null for another collection's module. */
function shortName(module: string): string | null {
  return /^ansible\.(?:builtin|legacy)\.(\w+)$/.exec(module)?.[1] ?? null;
}

function ofTable<T>(table: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
